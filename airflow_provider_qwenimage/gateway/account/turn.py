"""One request's way through its account: it waits for its turn, holds a seat and money while it is under way."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_qwenimage.defaults import LONGEST_WAIT
from airflow_provider_qwenimage.exceptions import GatewayUnreachable, QwenImageError, TemporaryRefusal
from airflow_provider_qwenimage.gateway.account.local import LocalStore
from airflow_provider_qwenimage.models.results import Job
from airflow_provider_qwenimage.transport.exchange import RunningFlow
from airflow_provider_qwenimage.wire.protocol import Pause

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from airflow_provider_qwenimage.gateway.account.claims import Told
    from airflow_provider_qwenimage.gateway.account.local import Answer
    from airflow_provider_qwenimage.gateway.account.money import Purse
    from airflow_provider_qwenimage.gateway.account.place import RedisPlace
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.results import Generation
    from airflow_provider_qwenimage.transport import Endpoint

log = logging.getLogger(__name__)

FAR = 10.0  # seconds a task that could wait elsewhere waits for its turn on its worker
TARDY = 0.05  # seconds after its moment a request may still leave
LEASE = 45.0  # seconds a seat outlives the last sign of who holds it
JOB_LEASE = 180.0  # the same of a job, whose next sign comes with its next poll
REFUSALS = 10  # of one request whose wait nothing else bounds

# What is paid must not be lost by it, and what is held expires.
_UNSETTLED = "A turn could not be given back to its account"
UNBOUNDED = {"gaps": (0.0, 0.0), "caps": (0.0, 0.0)}

Value = TypeVar("Value")


class Ask(NamedTuple):
    """One operation of a store, by name."""

    name: str
    asked: dict[str, Any]


# As in wire.flows: it yields what it needs done and gets back what came of it.
Steps = Generator[Ask | Pause, Any, Value]


class Store(Protocol):
    """Where the processes of an account meet; each operation is undivided."""

    def perform(self, name: str, **asked: Any) -> Any: ...  # noqa: D102
    async def aperform(self, name: str, **asked: Any) -> Any: ...  # noqa: D102


def drive(store: Store, steps: Steps[Value]) -> Value:
    """Drive ``steps`` to their end; what breaks a step off is thrown into them, so that they can clean up."""
    running = RunningFlow(steps)
    while (step := running.step) is not None:
        try:
            answer: Any = None
            if isinstance(step, Pause):
                time.sleep(step.seconds)
            else:
                answer = store.perform(step.name, **step.asked)
        except BaseException as error:  # noqa: BLE001 - the steps raise it again
            running.fail(error)
        else:
            running.answer(answer)
    return running.value


async def adrive(store: Store, steps: Steps[Value]) -> Value:
    """See ``drive``."""
    running = RunningFlow(steps)
    while (step := running.step) is not None:
        try:
            answer: Any = None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                answer = await store.aperform(step.name, **step.asked)
        except BaseException as error:  # noqa: BLE001 - the steps raise it again
            running.fail(error)
        else:
            running.answer(answer)
    return running.value


_ACCOUNTS: dict[tuple[str, object], Store] = {}


class Place(NamedTuple):
    """Where in the line a task stands that waits elsewhere: it comes back to it."""

    holder: str
    ticket: float
    refusals: int = 0


def account(settings: Settings) -> Store:
    """Return the store in which all that use the connection's key meet, as far as they share one."""
    known = (_name(settings.endpoint), settings.store)
    return _ACCOUNTS.get(known) or _ACCOUNTS.setdefault(known, _opened(*known))


@cache
def _name(endpoint: Endpoint) -> str:
    """Return a digest: what is shared names no host and no key."""
    return hashlib.sha256(f"{endpoint.base_url}\n{endpoint.key or ''}".encode()).hexdigest()[:32]


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
    caller enters once more. The block says when it has ``sent`` the request, and what its ``outcome`` is.

    :param line: the model's name.
    :param bounds: seconds between requests, and requests at once, of the account and of the model; 0 for none.
    :param purse: what the request may cost, and of what; ``None`` where nothing bounds it.
    :param told: tells the others of it before it leaves; ``None`` where it makes no job, or nobody listens.
    :param longest: seconds to wait for a turn, ``None`` for as long as it takes; the configuration's where omitted.
    :param most: times the gateway may turn it away.
    :param far: called where the turn is more than ten seconds away, with the place in the line and the seconds, as far
        as they are known; it raises.
    """

    store: Store
    line: str
    bounds: dict[str, tuple[float, float]]
    purse: Purse | None = None
    told: Told | None = None
    longest: float | None = -1.0
    most: int | None = None
    far: Callable[[Place, float], None] | None = None
    place: Place | None = None
    outcome: Generation | Job | None = None
    sent: bool = False
    _holder: str = ""
    _ticket: float = 0.0
    _began: float = 0.0
    _leaves: float = 0.0
    _level: int = 0
    _refusals: int = 0
    _problem: TemporaryRefusal | None = None

    def __post_init__(self) -> None:
        self._holder, self._ticket, self._refusals = self.place or Place(os.urandom(16).hex(), 0.0)
        self._began = time.monotonic()

    @classmethod
    def of(cls, settings: Settings, model: str | None, *, is_job: bool, **facts: Any) -> Self:
        """Return the turn of a request for ``model``."""
        allowed = settings.allowed(model or "", is_job=is_job)
        bounds = allowed.bounds if allowed else UNBOUNDED
        return cls(account(settings), model or "", bounds, **facts)

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

    def hold(self, owner: str | None = None) -> None:
        """Wait for the very moment it may leave; what had to be written down first is, as ``owner``'s."""
        drive(self.store, self._left(owner))

    async def ahold(self, owner: str | None = None) -> None:
        """See ``hold``."""
        await adrive(self.store, self._left(owner))

    def _left(self, owner: str | None) -> Steps[None]:
        if self.told is not None:
            yield from self.told.begun(owner or self._holder, self._holder)
        if self._leaves - time.monotonic() < -TARDY:  # the next moment: it would be too near the one after it
            missed = {"holder": self._holder, "line": self.line, "gaps": self.bounds["gaps"]}
            ahead = yield Ask("missed", missed)
            self._leaves = time.monotonic() + ahead
        if (left := self._leaves - time.monotonic()) > 0:
            yield Pause(left)

    def _taken(self) -> Steps[None]:
        """Wait for the turn and a seat, then reserve the money."""
        self.outcome, self.sent = None, False
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
            if not self._has_time(waited + min(answer.wait, answer.estimate)):
                from airflow_provider_qwenimage.gateway.account.line import too_late

                raise too_late(self.line, answer, waited, self._problem)
            yield Pause(answer.wait)

    def _asked(self) -> Ask:
        asked = {"holder": self._holder, "line": self.line, "ticket": self._ticket, "life": LEASE}
        return Ask("ask", {**asked, **self.bounds})

    def _end(self, *, accepted: bool = False, refused: bool = False) -> Ask:
        held = {"holder": self._holder, "line": self.line, "level": self._level}
        return Ask("end", {**held, "accepted": accepted, "refused": refused})

    def _ended(self, error: BaseException | None) -> Steps[bool]:
        """Claim the job, settle the money and give the seat back; return whether to come again."""
        unbilled = not self.sent or (isinstance(error, QwenImageError) and not error.may_be_billed)
        if self.told is not None:
            yield from self.told.ended(self.outcome, unbilled=unbilled)
        if self.purse is not None:
            yield from self.purse.settled(self.outcome, unbilled=unbilled)
        if isinstance(self.outcome, Job):
            held = {"holder": self._holder, "line": self.line, "level": self._level}
            yield Ask("job", {**held, "job": seat_of(self.outcome), "life": JOB_LEASE})
            return False
        if not (isinstance(error, TemporaryRefusal) and error.throttled):
            unheard = not self.sent or isinstance(error, GatewayUnreachable)
            yield self._end(accepted=error is None and self.sent, refused=unheard)
            return False
        from airflow_provider_qwenimage.gateway.account.line import learnt

        yield from learnt(self._holder, self.line, error, refusals=self._refusals)
        yield self._end(refused=True)
        return self._comes_again(error)

    def _comes_again(self, error: TemporaryRefusal) -> bool:
        self._refusals, self._problem = self._refusals + 1, error
        self.place = Place(self._holder, self._ticket, self._refusals)
        if self.most is not None and self._refusals >= self.most:
            return False
        return self._has_time(time.monotonic() - self._began)

    def _has_time(self, waited: float) -> bool:
        if self.longest is None:
            return True
        if self.longest < 0:
            self.longest = float(conf.getfloat("qwenimage", "longest_wait", fallback=LONGEST_WAIT))
        return waited <= self.longest
