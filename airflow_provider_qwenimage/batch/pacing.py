"""How fast a batch asks: the author's limits, and what the gateway bears."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiolimiter import AsyncLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = logging.getLogger(__name__)

_BETWEEN_LINES = 10.0  # seconds
_FIRST_HUSH, _LONGEST_HUSH = 1.0, 60.0  # seconds of silence after a refusal that names none, doubling


class Pace:
    """
    Requests under way at once, requests per minute, and a brake for all of them.

    Additive increase, multiplicative decrease: a throttled request halves how many go on at once, and every round
    of successes allows one more, up to the author's limit again.

    :param concurrency: requests under way at most.
    :param per_minute: requests started; evenly spread, because limits per second punish a burst first.
    """

    def __init__(self, *, concurrency: int, per_minute: float | None = None) -> None:
        self._most = concurrency
        self._window = float(concurrency)
        self._under_way = 0
        self._free = asyncio.Condition()
        self._limiter = AsyncLimiter(1, 60.0 / per_minute) if per_minute else None
        self._quiet_until = 0.0
        self._braked_at = -1.0
        self._told_at = -_BETWEEN_LINES
        self._hush = _FIRST_HUSH
        self._queue: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing more may begin."""
        return self._closed

    @property
    def allowed(self) -> int:
        """How many requests may be under way now."""
        return max(1, int(self._window))

    @property
    def under_way(self) -> int:
        """How many requests are."""
        return self._under_way

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """Wait for a place and keep it while the block runs; yields when it began, for ``brake``."""
        if self._closed:
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None
        self._queue.add(task)
        try:
            await self._place()
            try:
                await self._moment()
                self._queue.discard(task)
                yield asyncio.get_running_loop().time()
            finally:
                self._under_way -= 1
                async with self._free:
                    self._free.notify_all()
        finally:
            self._queue.discard(task)

    async def _place(self) -> None:
        async with self._free:
            await self._free.wait_for(lambda: self._under_way < self.allowed)
            self._under_way += 1

    async def _moment(self) -> None:
        await self._quiet()
        if self._limiter:  # only then, or what waits out a silence would burst at its end
            await self._limiter.acquire()
            await self._quiet()

    async def _quiet(self) -> None:
        loop = asyncio.get_running_loop()
        while (ahead := self._quiet_until - loop.time()) > 0:  # noqa: ASYNC110 - a moment, which may move on
            await asyncio.sleep(ahead)

    def close(self) -> None:
        """Let no further request begin: what waits for its turn is cancelled, what is under way goes on."""
        self._closed = True
        for task in self._queue:
            task.cancel()

    def brake(self, began: float, *, retry_after: float | None, cause: object = "throttled") -> None:
        """
        Slow the whole batch down, once for all requests that ran into the same wall.

        :param began: when the refused request began.
        :param cause: what the log says of it.
        :param retry_after: seconds the gateway asks for.
        """
        now = asyncio.get_running_loop().time()
        if began > self._braked_at:
            self._braked_at = now
            self._window = max(1.0, self._window / 2)
            pause = self._hush if retry_after is None else retry_after
            self._hush = min(self._hush * 2, _LONGEST_HUSH)
            if now - self._told_at >= _BETWEEN_LINES:
                self._told_at = now
                log.warning("The batch slows down to %d requests at once: %s", self.allowed, cause)
        else:
            pause = retry_after or 0.0
        self._quiet_until = max(self._quiet_until, now + min(pause, _LONGEST_HUSH))

    def ease(self) -> None:
        """Speed up again: one more at once for each round of successes."""
        self._hush = _FIRST_HUSH
        self._window = min(float(self._most), self._window + 1.0 / self._window)
