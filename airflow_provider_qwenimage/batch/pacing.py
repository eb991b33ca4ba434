"""How fast a batch asks: its author's limits. What the gateway bears is its account's to know."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.gateway.account.limits import spaced

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = logging.getLogger(__name__)

_BETWEEN_LINES = 10.0  # seconds
_FIRST_HUSH, _LONGEST_HUSH = 1.0, 20.0  # seconds of silence after a failure that names none, doubling
_LONGEST_ASKED = 60.0  # seconds of silence after one that does


class Pace:
    """
    A batch's own view of the account: requests under way at once, requests per minute, silence for all of them.

    One request at a time stands at the door, where it waits for its turn in the account: beside other tasks a batch is
    one of them, however many requests it has.

    :param concurrency: requests under way at most.
    :param per_minute: requests started; evenly spread, because limits per second punish a burst first.
    """

    def __init__(self, *, concurrency: int, per_minute: float | None = None) -> None:
        self._seats = asyncio.Semaphore(concurrency)
        self._gap = spaced(60.0 / per_minute) if per_minute else 0.0
        self._door = asyncio.Lock()
        self._next = self._quiet_until = 0.0
        self._silenced_at = -1.0
        self._hush = _FIRST_HUSH
        self._told_at = -_BETWEEN_LINES
        self._under_way = 0
        self._queue: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing more may begin."""
        return self._closed

    @property
    def under_way(self) -> int:
        """How many requests are."""
        return self._under_way

    @asynccontextmanager
    async def seat(self) -> AsyncIterator[None]:
        """Wait for one of the batch's own seats and keep it while the block runs."""
        with self._waiting():
            await self._seats.acquire()
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._seats.release()

    @asynccontextmanager
    async def door(self) -> AsyncIterator[None]:
        """Be the one request that waits for its turn, at the author's pace, while the block runs."""
        with self._waiting():
            async with self._door:
                loop = asyncio.get_running_loop()
                while (ahead := max(self._next, self._quiet_until) - loop.time()) > 0:  # noqa: ASYNC110 - it may move
                    await asyncio.sleep(ahead)
                yield
                self._next = max(self._next, loop.time()) + self._gap

    def _waiting(self) -> _Waiting:
        if self._closed:
            raise asyncio.CancelledError
        return _Waiting(self._queue)

    def close(self) -> None:
        """Let no further request begin: what waits for its turn is cancelled, what is under way goes on."""
        self._closed = True
        for task in self._queue:
            task.cancel()

    def brake(self, began: float, *, retry_after: float | None, cause: object = "overloaded") -> None:
        """
        Hold the whole batch back, once for all requests that ran into the same wall.

        :param began: when the failed request began.
        :param cause: what the log says of it.
        :param retry_after: seconds the gateway asks for.
        """
        now = asyncio.get_running_loop().time()
        if began > self._silenced_at:
            self._silenced_at = now
            pause = self._hush if retry_after is None else retry_after
            self._hush = min(self._hush * 2, _LONGEST_HUSH)
            if now - self._told_at >= _BETWEEN_LINES:
                self._told_at = now
                log.warning("The batch slows down, nothing is sent for %.0f s: %s", pause, cause)
        else:
            pause = retry_after or 0.0
        self._quiet_until = max(self._quiet_until, now + min(pause, _LONGEST_ASKED))

    def ease(self) -> None:
        """Forget the silence: a request was answered."""
        self._hush = _FIRST_HUSH


class _Waiting:
    """The running task among those that are cancelled when nothing more may begin."""

    def __init__(self, queue: set[asyncio.Task[Any]]) -> None:
        self._queue = queue

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._queue.add(task)

    def __exit__(self, *_: object) -> None:
        self._queue.discard(self._task)
