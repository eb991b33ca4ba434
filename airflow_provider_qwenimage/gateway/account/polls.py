"""
The polls of an account take turns: a gateway counts them all, whoever sends them.

So 500 triggers or the jobs of a batch stand in line here, and all of them fall silent after a 429.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import conf

from airflow_provider_qwenimage.gateway.account.local import LocalStore
from airflow_provider_qwenimage.gateway.account.turn import JOB_LEASE, account, seat_of
from airflow_provider_qwenimage.wire.protocol import retry_after

if TYPE_CHECKING:
    from airflow_provider_qwenimage.gateway.account.turn import Store
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.results import Job
    from airflow_provider_qwenimage.wire.protocol import Reply

POLLS_PER_SECOND = 20.0  # GET /tasks/{id} per account and second (contract 4.1)
_EVENNESS = 0.85  # polls that leave evenly arrive less so: without a margin, a second would see one too many
_HUSH, _LONGEST_HUSH = 5.0, 60.0  # seconds of silence after a 429 that names none, doubling


class _Queue:
    """Where the polls of a process wait: one of them asks the store, and hands its place on in the order of arrival."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.hushed = False
        self._of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    @property
    def here(self) -> asyncio.Lock:
        """The one of the running event loop."""
        return self._of_loops.setdefault(asyncio.get_running_loop(), asyncio.Lock())


_QUEUES: WeakKeyDictionary[Any, _Queue] = WeakKeyDictionary()


class PollTurns:
    """
    Spaces polls evenly, in the order they are asked for: a limit per second punishes bursts first.

    :param per_second: polls per second that may arrive, of all jobs of the account together.
    :param seats: what is held while it is polled, by holder: its model, and seconds until the next sign of it.
    """

    def __init__(
        self, store: Store, per_second: float, seats: dict[str, tuple[str, float]] | None = None
    ) -> None:
        self._store = store
        self._asked: dict[str, Any] = {"gap": 1.0 / (per_second * _EVENNESS), "leases": seats or {}}
        self._queue = _QUEUES.setdefault(store, _Queue())

    @classmethod
    def of(cls, settings: Settings, job: Job, *, interval: float) -> PollTurns:
        """Return the turns in which a job is polled, which keep its seat."""
        limits = settings.limits
        per_second = (limits.polls_per_second if limits else None) or _per_second()
        held = {seat_of(job): (job.asked.model or "", JOB_LEASE + 2 * interval)}
        return cls(account(settings), per_second, held)

    def turn(self) -> None:
        """Wait for the next free place."""
        with self._queue.lock:
            while (ahead := self._store.perform("poll", **self._asked)) > 0:
                time.sleep(ahead)

    async def aturn(self) -> None:
        """See ``turn``."""
        async with self._queue.here:
            while (ahead := await self._store.aperform("poll", **self._asked)) > 0:  # noqa: ASYNC110 - a moment
                await asyncio.sleep(ahead)

    def heard(self, reply: Reply) -> None:
        """
        Hold every poll of the account back after a 429, twice as long after each further one.

        A task that waits on its worker has one job: where it is alone, its own pause is all the silence there is.
        """
        if not isinstance(self._store, LocalStore) and (said := self._said(reply)):
            self._store.perform("heard", **said)

    async def aheard(self, reply: Reply) -> None:
        """Hold every poll of the account back, see ``heard``: an event loop has many jobs."""
        if said := self._said(reply):
            await self._store.aperform("heard", **said)

    def _said(self, reply: Reply) -> dict[str, Any] | None:
        """Return what the store has to know of a reply: a refusal, or the first good one after it."""
        refused = reply.status == 429
        if not refused and not self._queue.hushed:
            return None
        self._queue.hushed = refused
        asked = retry_after(reply.headers.get("retry-after", ""), now=time.time()) if refused else None
        hush = (asked or 0.0) if refused else None
        return {"hush": hush, "first": _HUSH, "longest": _LONGEST_HUSH}


def _per_second() -> float:
    return float(conf.getfloat("qwenimage", "polls_per_second", fallback=POLLS_PER_SECOND))
