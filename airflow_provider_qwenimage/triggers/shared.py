"""What job triggers in one triggerer share: a client per connection."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_FRESH = 300.0  # seconds a resolved connection is handed to new triggers, so that a rotated key arrives


class _SharedHook:
    """A hook with an open client, and how many triggers use it."""

    def __init__(self, hook: QwenImageHook, *, opened: float) -> None:
        self.hook = hook
        self.opened = opened
        self.users = 0


class _SharedHooks:
    """The hooks of one event loop, by connection id; they are opened one after the other."""

    def __init__(self) -> None:
        self.opening = asyncio.Lock()
        self.by_conn_id: dict[str, _SharedHook] = {}


_SHARED: WeakKeyDictionary[asyncio.AbstractEventLoop, _SharedHooks] = WeakKeyDictionary()


@asynccontextmanager
async def shared_hook(conn_id: str) -> AsyncIterator[QwenImageHook]:
    """
    Lend the connection's hook to a trigger.

    One client for all: opening one reads the CA bundle, which 500 triggers must not do on the event loop.
    """
    loop = asyncio.get_running_loop()
    hooks = _SHARED.setdefault(loop, _SharedHooks())
    async with hooks.opening:
        shared = hooks.by_conn_id.get(conn_id)
        if shared is None or loop.time() - shared.opened > _FRESH:
            hook = QwenImageHook(conn_id)
            await hook.aget_conn()
            shared = hooks.by_conn_id[conn_id] = _SharedHook(hook, opened=loop.time())
        shared.users += 1
    try:
        yield shared.hook
    finally:
        shared.users -= 1
        if not shared.users:
            if hooks.by_conn_id.get(conn_id) is shared:
                del hooks.by_conn_id[conn_id]
            await shared.hook.aclose()
