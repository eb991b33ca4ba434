"""The turns and seats of an account as far as this process uses it; ``account.lua`` does the same for many."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_qwenimage.gateway.account.learning import Evidence, Learned

if TYPE_CHECKING:
    from collections.abc import Callable

LATE = 0.01  # seconds a timer may be late without the line losing time by it
LEAD = (
    0.2  # seconds before its moment a turn is given: what is written down before the request takes that long
)
GRACE = 2.0  # seconds after which who did not ask again has no place in the line any more
PATIENCE = 5.0  # seconds until who waits asks again, however far its turn is
SEAT = 0.05  # seconds between looks whether a seat is free, for the first of a line
COMING = 30.0  # seconds a task that was told to come may take from the triggerer to its worker
SOON = 5.0  # seconds before its turn it is told to
REMEMBERED = 60.0  # seconds; vendors count by the second or the minute
# Of a model nobody knows the limit of, all but a few leave one after the other, faster and faster: the first refusal
# comes before all of them are sent.
_AT_ONCE, _FIRST_GAP, _RAMP, _FASTER = 4, 0.05, 32, 4.0


class Answer(NamedTuple):
    """
    What a store says to who asks for a turn.

    :param wait: seconds: until the request may leave where it is granted, until the next question where it is not.
    :param ticket: the place in the line.
    :param estimate: seconds until the turn comes; at least, where a seat has to become free.
    :param level: requests under way, this one included.
    :param now: the store's clock.
    """

    granted: bool
    wait: float
    ticket: float
    estimate: float
    level: int
    now: float


@dataclass(slots=True)
class _Line:
    """Those who want the same model, and what was learnt of it."""

    next: float = 0.0
    begun: int = 0
    peak: int = 0
    learned: Learned | None = None
    waiting: dict[str, float] = field(default_factory=dict)
    promised: dict[str, float] = field(default_factory=dict)
    coming: dict[str, float] = field(default_factory=dict)
    seats: dict[str, float] = field(default_factory=dict)
    sent: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=256))

    def known(self) -> tuple[float, int, float]:
        """Return the gap, the seats and the silence that were learnt."""
        learned = self.learned
        return (0.0, 0, 0.0) if learned is None else (learned.gap, learned.seats, learned.quiet)

    def ramp(self) -> float:
        """Return the gap of a model nothing is known of."""
        begun = self.begun - _AT_ONCE
        return _FIRST_GAP / 2.0 ** (begun / _FASTER) if 0 <= begun < _RAMP else 0.0


class LocalStore:
    """
    One process's own count. Safe to use from any thread.

    :param clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}
        self._next = self._quiet = 0.0
        self._seats: dict[str, float] = {}
        self._poll_next = self._poll_quiet = 0.0
        self._hushes = 0

    def perform(self, name: str, **asked: Any) -> Any:
        """Do one operation, undivided."""
        with self._lock:
            return getattr(self, f"_{name}")(self._clock(), **asked)

    async def aperform(self, name: str, **asked: Any) -> Any:
        """See ``perform``; it never waits for anything."""
        return self.perform(name, **asked)

    def _ask(
        self,
        now: float,
        *,
        holder: str,
        line: str,
        ticket: float,
        gaps: tuple[float, float],
        caps: tuple[int, int],
        life: float,
        look: bool = False,
    ) -> Answer:
        """Ask for a turn and a seat; the bounds are those of the account and of the model, 0 for none."""
        its = self._line(line, now)
        if not look:
            its.coming.pop(holder, None)
        ticket = its.waiting.setdefault(holder, ticket or now)
        rank = sum(other < ticket for other in its.waiting.values()) if len(its.waiting) > 1 else 0
        gap, seats, quiet = its.known()
        gap = max(gaps[1], gap) or (0.0 if gaps[0] else its.ramp())
        each = max(gap, gaps[0])
        ahead = max(self._next, its.next, self._quiet, quiet) - now
        free = min((caps[0] or inf) - len(self._seats), min(caps[1] or inf, seats or inf) - len(its.seats))
        place = rank + len(its.coming) if look else rank
        estimate = max(ahead, 0.0) + place * each
        if look and estimate <= SOON and place < free:
            its.coming[holder] = now + COMING
            self._forget(its, holder)
            return Answer(True, 0.0, ticket, estimate, 0, now)
        if not look and rank == 0 and free > 0 and ahead <= LEAD:
            leaves = max(ahead + now, now - LATE)
            if gaps[0]:
                self._next = leaves + gaps[0]
            its.next, its.begun = leaves + gap, its.begun + 1
            its.seats[holder] = self._seats[holder] = now + life
            its.sent.append((max(leaves, now), holder))
            self._forget(its, holder)
            return Answer(True, max(ahead, 0.0), ticket, 0.0, len(its.seats), now)
        wait = estimate - LEAD if place < free else max(estimate - LEAD, SEAT * (place + 1))
        wait = min(max(wait, LATE), PATIENCE)
        its.promised[holder] = now + wait + GRACE
        return Answer(False, wait, ticket, estimate, 0, now)

    def _missed(self, now: float, *, holder: str, line: str, gaps: tuple[float, float]) -> float:
        """Give who has a seat, and was too slow for its turn, the next one: seconds until it may leave."""
        its = self._line(line, now)
        gap, _, quiet = its.known()
        leaves = max(self._next, its.next, self._quiet, quiet, now)
        if gaps[0]:
            self._next = leaves + gaps[0]
        its.next = leaves + max(gaps[1], gap)
        its.sent = deque((each for each in its.sent if each[1] != holder), maxlen=its.sent.maxlen)
        its.sent.append((leaves, holder))
        return leaves - now

    def _line(self, name: str, now: float) -> _Line:
        """Return a line without those whose time is over."""
        its = self._lines.setdefault(name, _Line())
        if its.promised:
            for gone in [holder for holder, until in its.promised.items() if until < now]:
                self._forget(its, gone)
        for leases in (its.seats, self._seats, its.coming):
            if leases:
                for gone in [holder for holder, until in leases.items() if until < now]:
                    del leases[gone]
        while its.sent and its.sent[0][0] < now - REMEMBERED:
            its.sent.popleft()
        return its

    @staticmethod
    def _forget(its: _Line, holder: str) -> None:
        its.waiting.pop(holder, None)
        its.promised.pop(holder, None)

    def _leave(self, now: float, *, holder: str, line: str) -> None:
        """Give up a place in the line, and a seat that came too late."""
        its = self._line(line, now)
        self._forget(its, holder)
        its.seats.pop(holder, None)
        self._seats.pop(holder, None)

    def _end(self, now: float, *, holder: str, line: str, level: int, accepted: bool, refused: bool) -> None:
        """
        Give a seat back.

        :param accepted: the gateway took the request; one that it turned away (``refused``) was never asked.
        """
        its = self._line(line, now)
        its.seats.pop(holder, None)
        self._seats.pop(holder, None)
        if accepted:
            self._took(its, level, now)
        elif refused:
            its.sent = deque((each for each in its.sent if each[1] != holder), maxlen=its.sent.maxlen)

    def _job(self, now: float, *, holder: str, line: str, level: int, job: str, life: float) -> None:
        """Hand a seat over from a request to the job that came of it."""
        its = self._line(line, now)
        its.seats.pop(holder, None)
        self._seats.pop(holder, None)
        its.seats[job] = self._seats[job] = now + life
        self._took(its, level, now)

    @staticmethod
    def _took(its: _Line, level: int, now: float) -> None:
        its.peak = max(its.peak, level)
        if its.learned is not None:
            its.learned = its.learned.eased(now)

    def _evidence(self, now: float, *, holder: str, line: str) -> Evidence:
        """Tell what is known of a model, for who was refused."""
        its = self._line(line, now)
        at = next((when for when, who in its.sent if who == holder), now)
        sent = [when for when, who in its.sent if who != holder and when <= at]
        running = sum(who != holder for who in its.seats)
        return Evidence(
            now=now, at=at, sent=sent, running=running, peak=its.peak, learned=its.learned or Learned()
        )

    def _learn(self, now: float, *, line: str, learned: Learned, before: float, silence: float) -> bool:
        """Keep what was learnt, unless others have learnt meanwhile; ``silence`` is what the gateway asked all for."""
        its = self._line(line, now)
        self._quiet = max(self._quiet, now + silence)
        if its.learned is not None and its.learned.judged != before:
            return False
        its.learned = learned
        return True

    def _renew(self, now: float, *, leases: dict[str, tuple[str, float]]) -> None:
        """Keep seats for those who live."""
        for holder, (line, life) in leases.items():
            its = self._line(line, now)
            its.seats[holder] = self._seats[holder] = now + life

    def _poll(self, now: float, *, gap: float, leases: dict[str, tuple[str, float]]) -> float:
        """Take the turn of a poll: 0, or the seconds until one is free; it keeps the seat of its job."""
        ahead = max(self._poll_next, self._poll_quiet) - now
        if ahead > 0:
            return ahead
        self._poll_next = max(self._poll_next, self._poll_quiet, now - LATE) + gap
        self._renew(now, leases=leases)
        return 0.0

    def _heard(self, now: float, *, hush: float | None, first: float, longest: float) -> None:
        """Learn of the answer to a poll: ``hush`` is ``None`` for a good one, else seconds (0: not said) of silence."""
        if hush is None:
            self._hushes = 0
            return
        if now >= self._poll_quiet:  # not one of those that were under way when the silence began
            self._hushes += 1
        asked = hush or first * 2.0 ** (self._hushes - 1)
        self._poll_quiet = max(self._poll_quiet, now + min(asked, longest))
