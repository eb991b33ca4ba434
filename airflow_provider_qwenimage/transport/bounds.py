"""
What one exchange may cost, whatever the other side does: a wall-clock deadline, and a bound for what is expanded.

A read timeout begins anew with every byte, so a peer that drips headers or ``103`` answers is waited for without end.
"""

from __future__ import annotations

import threading
import weakref
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

ENCODINGS = "gzip, deflate"  # what replies are asked for; anything else is refused
_WINDOWS = {"gzip": 31, "deflate": 15}  # zlib's own words for the two formats
_PIECE = 64 * 1024  # bytes; what is expanded at a time, so that a bound counts before the memory is full

# The sockets a synchronous client has opened: shutting one down is what ends a read in another thread.
_LOCK = threading.Lock()
_SOCKETS: weakref.WeakKeyDictionary[httpx.Client, list[socket.socket]] = weakref.WeakKeyDictionary()


def longest(client: httpx.Client | httpx.AsyncClient, timeout: httpx.Timeout | None) -> float:
    """Return the seconds from connect to last byte: a read timeout for the first byte, and one for the rest."""
    held = timeout or client.timeout
    return (held.connect or 0.0) + 2 * (held.read or 0.0)


class NotTaken(httpx.DecodingError):
    """A body that is refused before it is read to its end."""


class Deadline:
    """Whether the deadline of an exchange has passed."""

    passed = False


@contextmanager
def ending(client: httpx.Client, seconds: float) -> Iterator[tuple[Deadline, dict[str, Any]]]:
    """
    End what is read inside the block after ``seconds``.

    Yields the deadline, and the extensions that the request has to be sent with.
    """
    own: list[socket.socket] = []
    with _LOCK:
        held = _SOCKETS[client] = [each for each in _SOCKETS.get(client, ()) if each.fileno() != -1]
    deadline = Deadline()

    def opened(name: str, info: dict[str, Any]) -> None:
        if name == "connection.connect_tcp.complete":
            own.append(info["return_value"].get_extra_info("socket"))
            with _LOCK:
                _SOCKETS[client].append(own[-1])

    def end() -> None:
        deadline.passed = True
        # Which pooled connection was taken up again nobody tells: what others lose by it they fetch again.
        for each in own or held:
            _shut(each)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield deadline, {"trace": opened}
    finally:
        timer.cancel()


def _shut(connection: socket.socket) -> None:
    import socket

    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return  # the other side was faster


class Expanding:
    """
    Expands the body of a reply piece by piece.

    :raises NotTaken: for an encoding that was not asked for, or one within another.
    """

    def __init__(self, response: httpx.Response) -> None:
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", *_WINDOWS):
            raise NotTaken(f"the body has the encoding {encoding[:40]!r}, which was not asked for")
        self._inflate = zlib.decompressobj(_WINDOWS[encoding]) if encoding in _WINDOWS else None

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a chunk expands to, a bounded piece at a time."""
        if self._inflate is None:
            yield chunk
            return
        try:
            while chunk:
                yield self._inflate.decompress(chunk, _PIECE)
                chunk = self._inflate.unconsumed_tail
        except zlib.error as error:
            raise httpx.DecodingError(f"the body cannot be expanded: {error}") from error
