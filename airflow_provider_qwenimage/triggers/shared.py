"""
What job triggers in one triggerer share: a client per connection, a budget of polls per account.

Airflow gives each deferred task a trigger of its own, the gateway counts the polls of an account. So 500
triggers take turns here: each waits for its place in line, and all of them fall silent after a 429.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import conf

from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.wire.protocol import retry_after

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POLLS_PER_SECOND = 20.0  # GET /tasks/{id} per account and second (contract 4.1)
_EVENNESS = 0.85  # polls that leave evenly arrive less so: without a margin, a second would see one too many
_LATE = 0.01  # seconds a timer may be late without the line losing time by it
_FRESH = 300.0  # seconds a resolved connection is handed to new triggers, so that a rotated key arrives
_HUSH = 5.0  # seconds of silence after a 429 that names none
_LONGEST_HUSH = 60.0


class PollBudget:
    """
    Spaces polls evenly, in the order they are asked for: a limit per second punishes bursts first.

    :param per_second: polls per second that may arrive, all triggers of the account together.
    """

    def __init__(self, per_second: float) -> None:
        self._gap = 1.0 / (per_second * _EVENNESS)
        self._next = 0.0
        self._hush_ends = 0.0
        self._hushes = 0
        self._queue = asyncio.Lock()  # hands itself on in the order of arrival

    async def turn(self, _request: object = None) -> None:
        """Wait for the next free place."""
        async with self._queue:
            while (ahead := self._next - _now()) > 0:  # noqa: ASYNC110 - a 429 may move it meanwhile
                await asyncio.sleep(ahead)
            # Who leaves a little late, as timers do, does not make everybody after it later.
            self._next = max(self._next, _now() - _LATE) + self._gap

    async def heard(self, response: Any) -> None:
        """Hold every poll of the account back after a 429, twice as long after each further one."""
        if response.status_code != 429:
            self._hushes = 0
            return
        now = _now()
        if now >= self._hush_ends:  # not one of those that were under way when the silence began
            self._hushes += 1
        asked = retry_after(response.headers.get("retry-after", ""), now=time.time())
        hush = _HUSH * 2.0 ** (self._hushes - 1) if asked is None else asked
        self._hush_ends = max(self._hush_ends, now + min(hush, _LONGEST_HUSH))
        self._next = max(self._next, self._hush_ends)


class _Desk:
    """A hook with an open client, and how many triggers sit at it."""

    def __init__(self, hook: QwenImageHook) -> None:
        self.hook = hook
        self.opened = _now()
        self.seats = 0


class _Room:
    """The desks by connection id and the budgets by account, of one event loop."""

    def __init__(self) -> None:
        self.door = asyncio.Lock()
        self.desks: dict[str, _Desk] = {}
        self.budgets: dict[tuple[str, str | None], PollBudget] = {}

    async def open(self, conn_id: str) -> _Desk:
        """Resolve a connection; its client polls within the budget of its account."""
        hook = QwenImageHook(conn_id)
        client = await hook.aget_conn()
        endpoint = hook.settings.endpoint
        budget = self.budgets.setdefault((endpoint.base_url, endpoint.key), PollBudget(_per_second()))
        client.event_hooks = {"request": [budget.turn], "response": [budget.heard]}
        return _Desk(hook)


_ROOMS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Room] = WeakKeyDictionary()


@asynccontextmanager
async def shared_hook(conn_id: str) -> AsyncIterator[QwenImageHook]:
    """
    Lend the connection's hook to a trigger; its requests wait for the shared budget.

    One client for all: opening one reads the CA bundle, which 500 triggers must not do on the event loop.
    """
    room = _ROOMS.setdefault(asyncio.get_running_loop(), _Room())
    async with room.door:
        desk = room.desks.get(conn_id)
        if desk is None or _now() - desk.opened > _FRESH:
            desk = room.desks[conn_id] = await room.open(conn_id)
        desk.seats += 1
    try:
        yield desk.hook
    finally:
        desk.seats -= 1
        if not desk.seats:
            if room.desks.get(conn_id) is desk:
                del room.desks[conn_id]
            await desk.hook.aclose()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _per_second() -> float:
    return float(conf.getfloat("qwenimage", "polls_per_second", fallback=POLLS_PER_SECOND))
