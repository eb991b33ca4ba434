"""What an ordinary request does not meet in the line of its model: a refusal, a wait elsewhere, the end of a job."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from airflow_provider_qwenimage.exceptions import JobFailed, TemporaryRefusal
from airflow_provider_qwenimage.gateway.account.learning import judge
from airflow_provider_qwenimage.gateway.account.turn import (
    LEASE,
    UNBOUNDED,
    Ask,
    account,
    adrive,
    drive,
    seat_of,
)
from airflow_provider_qwenimage.wire.protocol import Pause

if TYPE_CHECKING:
    from airflow_provider_qwenimage.gateway.account.local import Answer
    from airflow_provider_qwenimage.gateway.account.turn import Place, Steps
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.results import Generation, Job

log = logging.getLogger(__name__)

_LONGEST_SILENCE = 60.0  # seconds everybody is silent at the word of one reply


def too_late(line: str, answer: Answer, waited: float, problem: TemporaryRefusal | None) -> TemporaryRefusal:
    """Return what a request fails with whose turn does not come; ``problem`` is its last refusal."""
    error = TemporaryRefusal(
        f"No turn came within {waited:.0f} s: {line or 'the account'} is asked for more than it bears"
        + (f" ({problem.what})" if problem else ""),
        status=problem.status if problem and problem.status else 429,
        retry_after=round(answer.estimate, 1),
        advice="Nothing was sent. A retry stands in line again; [qwenimage] longest_wait says for how long.",
    )
    error.scope = "account"
    return error


def learnt(holder: str, line: str, error: TemporaryRefusal, *, refusals: int) -> Steps[None]:
    """Learn from a refusal, for all; ``refusals`` is how many the request has met before it."""
    for _ in range(3):
        seen = yield Ask("evidence", {"holder": holder, "line": line})
        if refusals > seen.learned.slow:  # a process that is new does not know how often it was refused
            seen = replace(seen, learned=replace(seen.learned, slow=refusals))
        learned = judge(seen, asked=error.retry_after, jitter=int(holder[:4], 16) / 0xFFFF)
        silence = min(error.retry_after or 0.0, _LONGEST_SILENCE)
        kept = {"learned": learned, "before": seen.learned.judged, "silence": silence}
        if (yield Ask("learn", {"line": line, **kept})):
            if str(learned) != str(seen.learned):
                log.warning(
                    "Throttled: %s bears %s, it seems; what is known of it can be written into the "
                    "connection's limits",
                    line or "the account",
                    learned,
                )
            return


def looked(settings: Settings, model: str, place: Place, *, is_job: bool) -> Steps[Place]:
    """Stand in the line without taking a turn, until it is so near that a task can go back to its worker for it."""
    allowed = settings.allowed(model, is_job=is_job)
    bounds = allowed.bounds if allowed else UNBOUNDED
    while True:
        asked = {"holder": place.holder, "line": model, "ticket": place.ticket, "life": LEASE, "look": True}
        answer: Answer = yield Ask("ask", {**asked, **bounds})
        place = place._replace(ticket=answer.ticket)
        if answer.granted:
            return place
        yield Pause(answer.wait)


class JobEnd:
    """
    Where a job ends: its seat is given back and its money settled when the block has its ``generation``, knows it
    ``cancelled``, or raises that it failed. A block that only gives up waiting leaves both as they are.
    """

    def __init__(self, settings: Settings, job: Job) -> None:
        self._settings, self._job = settings, job
        self.generation: Generation | None = None
        self.cancelled: bool = False

    def __enter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        drive(account(self._settings), self._ended(error))

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        await adrive(account(self._settings), self._ended(error))

    def _ended(self, error: BaseException | None) -> Steps[None]:
        if self.generation is None and not self.cancelled and not isinstance(error, JobFailed):
            return
        held = {"holder": seat_of(self._job), "line": self._job.asked.model or "", "level": 0}
        yield Ask("end", {**held, "accepted": False, "refused": False})
        if self._settings.budget is not None and self._settings.store is not None:
            from airflow_provider_qwenimage.gateway.account.money import job_settled

            yield job_settled(self._job.id, self._cost(error))

    def _cost(self, error: BaseException | None) -> float | None:
        """Return what the job cost, ``None`` where nobody knows."""
        if self.generation is not None:
            return self.generation.usage.cost
        return None if isinstance(error, JobFailed) and error.may_be_billed else 0.0
