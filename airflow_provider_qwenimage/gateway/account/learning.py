"""
What a refusal tells of a limit nobody has written down: the speed of a model, or how many may be under way at once.

::

    as many in a second as never before? ─► that is its speed
    as many at once as never before?     ─► those are its seats
    neither: somebody else uses it, too  ─► slower
    nothing was sent for a second        ─► it counts by the minute

Pure: the stores keep what comes of it, for every process of the account.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.gateway.account.limits import spaced

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECOND, _MINUTE = 1.0, 60.0
_LEAST = 1.0  # seconds of silence, whatever the gateway asks for
_AFTER_SECOND = 1.1  # seconds of silence after which a second's count begins anew
_AFTER_MINUTE = 0.5  # seconds beyond a minute, the same
_LOOKS = 2  # times somebody looks again before a limit is taken for one of the minute, after 1 s and after 2
_SLOWER, _MUCH_SLOWER = 1.15, 1.5  # the first refusal of that kind may be of requests that came unevenly
_FASTER = 0.95  # of the gap when it has gone well for long enough; each further time it is squared
_HELD, _LONGEST_HELD = 60.0, 900.0  # seconds it has to, twice as long after each refusal
_STEADY = 20  # requests that have to leave meanwhile


@dataclass(frozen=True, slots=True)
class Learned:
    """
    What is known of a model by trying.

    :param gap: seconds between requests, 0 where none is needed.
    :param seats: requests at once, 0 for any number.
    :param quiet: nobody asks before this moment.
    :param judged: when it was learnt; what was sent before has met the same wall.
    :param held: when it may become faster; ``step`` is how long it has to hold then.
    :param eases: how often it became faster since.
    :param slow: how often nothing but time could have been the reason.
    :param cause: of the last refusal: ``speed``, ``seats``, ``others`` or ``minute``.
    """

    gap: float = 0.0
    seats: int = 0
    quiet: float = 0.0
    judged: float = 0.0
    held: float = 0.0
    step: float = _HELD
    eases: int = 0
    slow: int = 0
    cause: str = ""

    def eased(self, now: float) -> Learned:
        """Return it a little faster where it has held for long enough."""
        if now < self.held or not (self.gap or self.seats):
            return self
        held = now + max(self.step, _STEADY * self.gap)
        if self.seats and (self.cause == "seats" or self.eases % 2):
            return replace(self, seats=self.seats + 1, held=held, eases=self.eases + 1)
        return replace(self, gap=self.gap * _FASTER**2.0**self.eases, slow=0, held=held, eases=self.eases + 1)

    def __str__(self) -> str:
        told = []
        if self.gap:
            speed = 1 / self.gap
            told.append(f"about {speed:.2g} a second" if speed >= 1 else f"about {speed * 60:.2g} a minute")
        if self.seats:
            told.append(f"{self.seats} at once")
        return ", ".join(told)


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What is known when a request is turned away.

    :param at: when it was sent.
    :param sent: when the requests before it were sent, those that were refused left out.
    :param running: requests under way beside it.
    :param peak: the most there have been under way and were taken.
    """

    now: float
    at: float
    sent: Sequence[float]
    running: int
    peak: int
    learned: Learned


def judge(seen: Evidence, *, asked: float | None = None, jitter: float = 0.0) -> Learned:
    """
    Return what a refusal teaches.

    :param asked: seconds the gateway asks to wait.
    :param jitter: 0..1, so that processes that know nothing of each other do not march in step.
    """
    learned = seen.learned
    again = learned.judged > 0.0 and seen.at <= learned.judged  # sent before it was learnt: the same wall
    new = _blamed(seen, jitter, again=again)
    quiet = new.quiet if asked is None else seen.now + max(asked, _LEAST)
    step = learned.step if again or not learned.judged else min(learned.step * 2, _LONGEST_HELD)
    held = max(seen.now, quiet) + max(step, _STEADY * new.gap)
    return replace(new, quiet=quiet, judged=seen.now, held=held, step=step, eases=0)


def _blamed(seen: Evidence, jitter: float, *, again: bool) -> Learned:
    learned = seen.learned
    second = sum(each > seen.at - _SECOND for each in seen.sent)
    if second and second + 1 > _busiest(seen.sent, before=seen.at - _SECOND):
        # The fastest of those that met the same wall at once is no better known than the slowest.
        gap = max(learned.gap, spaced(_SECOND / second))
        return replace(learned, gap=gap, quiet=seen.now + _AFTER_SECOND, cause="speed")
    # Refusals of one wall arrive in any order: the first of them has said which it is.
    if seen.running and seen.running + 1 > seen.peak and (not again or learned.cause == "seats"):
        seats = min(learned.seats or seen.running, seen.running)
        return replace(learned, seats=seats, cause="seats")
    if again:
        return learned
    if second:
        slower = _MUCH_SLOWER if learned.cause == "others" else _SLOWER
        gap = max(learned.gap * slower, _SECOND / (second + 1))
        return replace(learned, gap=gap, quiet=seen.now + _AFTER_SECOND, cause="others")
    return _by_the_minute(seen, jitter)


def _by_the_minute(seen: Evidence, jitter: float) -> Learned:
    """Wait until a minute's count has room again, once short silences have not helped."""
    learned = seen.learned
    minute = [each for each in seen.sent if each > seen.at - _MINUTE]
    hush = min(2.0**learned.slow * (1.0 + jitter), _MINUTE)
    if learned.slow < _LOOKS or not minute:
        return replace(learned, quiet=seen.now + hush, slow=learned.slow + 1, cause="minute")
    gap = max(learned.gap, spaced(_MINUTE / len(minute)))
    free = min(minute) + _MINUTE + _AFTER_MINUTE
    # What looked like too many at once, on the way here, was this.
    quiet = max(free, seen.now + _SECOND)
    return replace(learned, gap=gap, seats=0, quiet=quiet, slow=learned.slow + 1, cause="minute")


def _busiest(sent: Sequence[float], *, before: float) -> int:
    """Return the most requests within any one second that was over by then."""
    times = sorted(each for each in sent if each <= before)
    most, first = 0, 0
    for last, when in enumerate(times):
        while times[first] <= when - _SECOND:
            first += 1
        most = max(most, last - first + 1)
    return most
