"""One request's way through its account: it waits for its turn, holds a seat and money while it is under way."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from uuid import uuid4

from airflow.providers.common.compat.sdk import conf

from airflow_provider_qwenimage.defaults import LONGEST_WAIT
from airflow_provider_qwenimage.exceptions import GatewayUnreachable, QwenImageError, TemporaryRefusal
from airflow_provider_qwenimage.gateway.account.local import LocalStore
from airflow_provider_qwenimage.gateway.account.store import Ask, adrive, drive
from airflow_provider_qwenimage.models.results import Job
from airflow_provider_qwenimage.wire.protocol import Pause

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from airflow_provider_qwenimage.gateway.account.limits import Allowed
    from airflow_provider_qwenimage.gateway.account.local import Answer
    from airflow_provider_qwenimage.gateway.account.money import Purse
    from airflow_provider_qwenimage.gateway.account.place import RedisPlace
    from airflow_provider_qwenimage.gateway.account.store import Steps, Store
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.results import Generation

log = logging.getLogger(__name__)

FAR = 10.0  # seconds a task that could wait elsewhere waits for its turn on its worker
LEASE = 45.0  # seconds a seat outlives the last sign of who holds it
JOB_LEASE = 180.0  # the same of a job, whose next sign comes with its next poll
REFUSALS = 10  # of one request whose wait nothing else bounds
_LONGEST_SILENCE = 60.0  # seconds everybody is silent at the word of one reply

# What is paid must not be lost by it, and what is held expires.
_UNSETTLED = "A turn could not be given back to its account"
_NEITHER = {"accepted": False, "refused": False}

_ACCOUNTS: dict[tuple[str, object], Store] = {}


class Place(NamedTuple):
    """Where in the line a task stands that waits elsewhere: it comes back to it."""

    holder: str
    ticket: float
    refusals: int = 0


def account(settings: Settings) -> Store:
    """Return the store in which all that use the connection's key meet, as far as they share one."""
    endpoint = settings.endpoint
    # A digest: what is shared names no host and no key.
    told = f"{endpoint.base_url}\n{endpoint.key or ''}"
    name = hashlib.sha256(told.encode()).hexdigest()[:32]
    store = _ACCOUNTS.get((name, settings.store))
    return store or _ACCOUNTS.setdefault((name, settings.store), _opened(name, settings.store))


def _opened(name: str, place: RedisPlace | None) -> Store:
    if place is None:
        return LocalStore()
    from airflow_provider_qwenimage.gateway.account.shared import SharedStore

    return SharedStore(name, place)


def seat_of(job: Job) -> str:
    """Return the holder of a job's seat."""
    return f"job:{job.id}"


@dataclass(eq=False, slots=True)
class Turn:
    """
    The turn of one request; a context manager, for ``with`` and ``async with``, around what sends it.

    Entering waits. A refusal of the rate inside the block is swallowed: the place in the line is taken again, and the
    caller enters once more. ``outcome`` is what the block got.

    :param line: the model's name.
    :param purse: what the request may cost, and of what; ``None`` where nothing bounds it.
    :param longest: seconds to wait for a turn, ``None`` for as long as it takes.
    :param most: times the gateway may turn it away.
    :param far: called where the turn is more than ten seconds away, with the place in the line and the seconds, as far
        as they are known; it raises.
    """

    store: Store
    line: str
    allowed: Allowed
    purse: Purse | None = None
    longest: float | None = None
    most: int | None = None
    far: Callable[[Place, float], None] | None = None
    place: Place | None = None
    outcome: Generation | Job | None = None
    _holder: str = ""
    _ticket: float = 0.0
    _began: float = 0.0
    _leaves: float = 0.0
    _level: int = 0
    _refusals: int = 0
    _problem: TemporaryRefusal | None = None

    def __post_init__(self) -> None:
        self._holder, self._ticket, self._refusals = self.place or Place(uuid4().hex, 0.0)
        self._began = time.monotonic()

    @classmethod
    def of(cls, settings: Settings, model: str | None, *, is_job: bool, **facts: Any) -> Self:
        """Return the turn of a request for ``model``."""
        allowed = settings.allowed(model or "", is_job=is_job)
        facts.setdefault("longest", _longest_wait())
        return cls(account(settings), model or "", allowed, **facts)

    def __enter__(self) -> Self:
        drive(self.store, self._taken())
        return self

    async def __aenter__(self) -> Self:
        await adrive(self.store, self._taken())
        return self

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> bool:
        try:
            return drive(self.store, self._ended(error))
        except Exception:
            log.exception(_UNSETTLED)
            return False

    async def __aexit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> bool:
        try:
            return await adrive(self.store, self._ended(error))
        except Exception:
            log.exception(_UNSETTLED)
            return False

    def hold(self) -> None:
        """Wait for the very moment the request may leave; what had to be written down first is."""
        if (left := self._leaves - time.monotonic()) > 0:
            time.sleep(left)

    async def ahold(self) -> None:
        """See ``hold``."""
        if (left := self._leaves - time.monotonic()) > 0:
            await asyncio.sleep(left)

    def _taken(self) -> Steps[None]:
        """Wait for the turn and a seat, then reserve the money."""
        self.outcome = None
        try:
            answer = yield from self._waited()
        except BaseException:
            yield Ask("leave", {"holder": self._holder, "line": self.line})
            raise
        self._leaves, self._level = time.monotonic() + answer.wait, answer.level
        if self.purse is not None:
            try:
                yield from self.purse.reserved(answer.now)
            except BaseException:
                yield self._end(refused=True)
                raise

    def _waited(self) -> Steps[Answer]:
        while True:
            answer: Answer = yield self._asked()
            self._ticket = answer.ticket
            if answer.granted:
                return answer
            waited = time.monotonic() - self._began
            self.place = Place(self._holder, self._ticket, self._refusals)
            if self.far is not None and max(answer.estimate, waited) > FAR:
                self.far(self.place, answer.estimate)
            if self.longest is not None and waited + min(answer.wait, answer.estimate) > self.longest:
                raise self._too_late(answer, waited)
            yield Pause(answer.wait)

    def _asked(self) -> Ask:
        asked = {"holder": self._holder, "line": self.line, "ticket": self._ticket, "life": LEASE}
        return Ask("ask", {**asked, **self.allowed.bounds})

    def _too_late(self, answer: Answer, waited: float) -> TemporaryRefusal:
        problem = self._problem
        error = TemporaryRefusal(
            f"No turn came within {waited:.0f} s: {self.line or 'the account'} is asked for more than it bears"
            + (f" ({problem.what})" if problem else ""),
            status=problem.status if problem and problem.status else 429,
            retry_after=round(answer.estimate, 1),
            advice="Nothing was sent. A retry stands in line again; [qwenimage] longest_wait says for how long.",
        )
        error.scope = "account"
        return error

    def _end(self, *, accepted: bool = False, refused: bool = False) -> Ask:
        held = {"holder": self._holder, "line": self.line, "level": self._level}
        return Ask("end", {**held, "accepted": accepted, "refused": refused})

    def _ended(self, error: BaseException | None) -> Steps[bool]:
        """Settle the money and give the seat back; return whether to come again."""
        unbilled = isinstance(error, QwenImageError) and not error.may_be_billed
        if self.purse is not None:
            yield from self.purse.settled(self.outcome, unbilled=unbilled)
        if isinstance(self.outcome, Job):
            job = seat_of(self.outcome)
            held = {"holder": self._holder, "line": self.line, "level": self._level}
            yield Ask("job", {**held, "job": job, "life": JOB_LEASE})
            return False
        if not (isinstance(error, TemporaryRefusal) and error.throttled):
            yield self._end(accepted=error is None, refused=isinstance(error, GatewayUnreachable))
            return False
        yield from self._learnt(error)
        yield self._end(refused=True)
        return self._comes_again(error)

    def _learnt(self, error: TemporaryRefusal) -> Steps[None]:
        from airflow_provider_qwenimage.gateway.account.learning import judge

        for _ in range(3):
            seen = yield Ask("evidence", {"holder": self._holder, "line": self.line})
            if (
                self._refusals > seen.learned.slow
            ):  # a process that is new does not know how often it was refused
                seen = replace(seen, learned=replace(seen.learned, slow=self._refusals))
            learned = judge(seen, asked=error.retry_after, jitter=int(self._holder[:4], 16) / 0xFFFF)
            silence = min(error.retry_after or 0.0, _LONGEST_SILENCE)
            kept = {"learned": learned, "before": seen.learned.judged, "silence": silence}
            if (yield Ask("learn", {"line": self.line, **kept})):
                if str(learned) != str(seen.learned):
                    log.warning(
                        "Throttled: %s bears %s, it seems; what is known of it can be written into the "
                        "connection's limits",
                        self.line or "the account",
                        learned,
                    )
                return

    def _comes_again(self, error: TemporaryRefusal) -> bool:
        self._refusals, self._problem = self._refusals + 1, error
        self.place = Place(self._holder, self._ticket, self._refusals)
        if self.most is not None and self._refusals >= self.most:
            return False
        return self.longest is None or time.monotonic() - self._began < self.longest


def looked(settings: Settings, model: str, place: Place, *, is_job: bool) -> Steps[Place]:
    """Stand in the line without taking a turn, until it is so near that a task can go back to its worker for it."""
    bounds = settings.allowed(model, is_job=is_job).bounds
    while True:
        asked = {"holder": place.holder, "line": model, "ticket": place.ticket, "life": LEASE, "look": True}
        answer: Answer = yield Ask("ask", {**asked, **bounds})
        place = place._replace(ticket=answer.ticket)
        if answer.granted:
            return place
        yield Pause(answer.wait)


def job_ended(settings: Settings, job: Job, cost: float | None) -> Steps[None]:
    """Give the seat of a job back, and settle its money: ``None`` where nobody knows what it cost."""
    yield Ask("end", {"holder": seat_of(job), "line": job.asked.model or "", "level": 0, **_NEITHER})
    if settings.budget is not None and settings.store is not None:
        from airflow_provider_qwenimage.gateway.account.money import job_settled

        yield job_settled(job.id, cost)


def _longest_wait() -> float:
    return float(conf.getfloat("qwenimage", "longest_wait", fallback=LONGEST_WAIT))
