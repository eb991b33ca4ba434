"""Open connections, so that a fault can end one the way a broken network does."""

from __future__ import annotations

import re
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from airflow_provider_qwenimage.simulator.faults import FaultQueue

_REQUEST_LINE = re.compile(rb"^(GET|POST|HEAD) /([a-z-]+)(/[^ ?]*)")
_ZERO_LINGER = struct.pack("ii", 1, 0)
Client = tuple[str, int]


class Sockets:
    """Transports by client address, and the faults that need them."""

    def __init__(self, faults: FaultQueue, count: Callable[[str, str], None]) -> None:
        self._faults = faults
        self._count = count
        self._open: dict[Client, asyncio.Transport] = {}
        self._lock = threading.Lock()

    def opened(self, client: Client, transport: asyncio.Transport) -> None:
        """Note a new connection; a fault `drop_on_accept` ends it at once."""
        with self._lock:
            self._open[client] = transport
        if self._faults.pick_unread(gateway="", on="accept", path=""):
            self._count("", "dropped_on_accept")
            transport.abort()

    def lost(self, client: Client) -> None:
        """Forget a connection."""
        with self._lock:
            self._open.pop(client, None)

    def get(self, client: Client | None) -> asyncio.Transport | None:
        """The transport of a client; None when the server is not ours."""
        with self._lock:
            return self._open.get(client) if client else None

    def struck_unread(self, transport: asyncio.Transport, data: bytes) -> bool:
        """End the connection if a fault waits for the request whose first bytes are `data`.

        The request line is looked at to find the right victim and to count it; nothing else of it is read.
        """
        line = _REQUEST_LINE.match(data)
        if not line or line[2].startswith(b"_"):
            return False
        method, gateway, path = line[1].decode(), line[2].decode(), line[3].decode()
        on = where(method, gateway, path)
        armed = self._faults.pick_unread(
            gateway=path.split("/")[1] if on == "file" else gateway, on=on, path=path
        )
        if armed is None:
            return False
        if on == "generate":
            self._count(gateway, "posts")
        end(transport, armed.row.connection or "close")
        return True

    def abort_all(self) -> None:
        """End every connection."""
        with self._lock:
            transports = list(self._open.values())
        for transport in transports:
            transport.abort()


def where(method: str, gateway: str, path: str) -> str:
    """Which kind of request a path is: generate, poll, cancel, check or file."""
    if gateway == "files":
        return "file"
    if method == "POST":
        return "cancel" if path.endswith("/cancel") else "generate"
    return "poll" if "/tasks/" in path else "check"


def end(transport: asyncio.Transport, how: str) -> None:
    """Close a connection (FIN, after what is written) or reset it (RST at once)."""
    if how == "close":
        transport.close()
        return
    raw = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ZERO_LINGER)
    transport.abort()


def protocol(base: Any, sockets: Sockets) -> type[Any]:
    """The HTTP protocol class `base` of uvicorn, with `sockets` told about its connections."""

    class Watched(base):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            sockets.opened(self.client, transport)

        def connection_lost(self, exc: Exception | None) -> None:
            sockets.lost(self.client)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            idle = self.cycle is None or self.cycle.response_complete
            if self.transport.is_closing() or (idle and sockets.struck_unread(self.transport, data)):
                return
            super().data_received(data)

    return Watched
