"""
What a key may do, shared by all that use it: turns, seats, polls and money (docs/account.md).

::

    turn ─► seat ─► reserve money ─► [intent on record] ─► [told] ─► POST ─► settle money, give the seat back
                                                                    (a job is claimed, and keeps both until its end)

``limits`` is what a connection says of it. ``turn`` takes one request through these states, ``polls`` the polls of
jobs. Both ask a store: ``local`` is this process alone, ``shared`` a Redis server with the same in ``account.lua``.
``learning`` reads a refusal where no limit is known, ``money`` counts what is spent, ``claims`` says whose each job is.
"""
