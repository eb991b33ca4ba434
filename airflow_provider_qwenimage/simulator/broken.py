"""ASGI responses that no well-behaved server can give: ended connections, bodies shorter than announced."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.simulator.sockets import Sockets, end

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

# Long enough for the kernel to hand the bytes over before a reset throws the rest away.
_SETTLE_SECONDS = 0.05


class BrokenReply:
    """Writes `raw` to the socket as it stands, then ends the connection.

    :param raw: bytes from the status line on; empty for no reply at all.
    :param how: close (FIN) or reset (RST).
    """

    def __init__(self, sockets: Sockets, raw: bytes = b"", *, how: str = "close") -> None:
        self._sockets = sockets
        self._raw = raw
        self._how = how

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer one request."""
        client = scope.get("client")
        transport = self._sockets.get((client[0], client[1]) if client else None)
        if transport is None:
            raise RuntimeError("connection faults need the simulator's own server: running() or python -m")
        if self._raw:
            transport.write(self._raw)
            if self._how == "reset":
                await asyncio.sleep(_SETTLE_SECONDS)
        end(transport, self._how)
        while (await receive())["type"] != "http.disconnect":
            pass


def head(media_type: str, *, length: int | None) -> bytes:
    """A 200 head; without a length the body is chunked."""
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return f"HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\n{framing}\r\n\r\n".encode()


def chunk(content: bytes) -> bytes:
    """One chunk of a chunked body."""
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"
