"""Runs the simulator: in a thread for tests, in the foreground for a shell."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvicorn

from airflow_provider_qwenimage.simulator.app import create_app
from airflow_provider_qwenimage.simulator.sockets import protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send

    from airflow_provider_qwenimage.simulator.state import State

_START_SECONDS = 30


@dataclass(frozen=True)
class Simulator:
    """A running simulator.

    :param url: where it listens; a gateway's base URL is `url + "/" + name`.
    """

    url: str
    state: State

    def base(self, gateway: str) -> str:
        """The base URL of a gateway."""
        return f"{self.url}/{gateway}"

    def fault(self, fault: str, **spec: Any) -> None:
        """Arm a fault.

        :param spec: `times`, `gateway`, `match`, `on`, `seconds` as in `faults.Armed`.
        """
        self.state.faults.arm(fault=fault, **spec)

    def content(self, url: str) -> bytes:
        """The exact bytes a result URL (or its file id) stands for."""
        file = self.state.gallery.find(urlsplit(url).path.rpartition("/")[2].partition(".")[0])
        if file is None:
            raise KeyError("no such file in this simulator")
        return self.state.gallery.content(file)


class Server(uvicorn.Server):
    """A uvicorn server that tells when it serves and ends at once."""

    def __init__(self, app: Starlette, *, started: Callable[[], None]) -> None:
        self._state: State = app.state.simulator
        self._on_start = started
        config = uvicorn.Config(
            self._uninterrupted(app),
            http=protocol(_http(), self._state.sockets),
            loop="asyncio",
            lifespan="off",
            ws="none",
            log_level="error",
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=60,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell."""
        await super().startup(sockets)
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End every connection, so that nothing is waited for."""
        self._state.sockets.abort_all()
        await super().shutdown(sockets)

    def _uninterrupted(self, app: Starlette) -> ASGIApp:
        """The application, ending quietly when the server ends under it: uvicorn would log a traceback."""

        async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                if not self.should_exit:
                    raise

        return quiet

    def stop(self) -> None:
        """End soon, without waiting for requests in flight."""
        self.should_exit = True
        self.force_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at once and with exit code 0: uvicorn waits for open requests and raises the signal again."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            self.stop()

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def running(*, host: str = "127.0.0.1", port: int = 0, **settings: Any) -> Iterator[Simulator]:
    """Serve in a thread until the block ends.

    :param port: 0 picks a free one.
    :param settings: fields of `Settings`.
    """
    app = create_app(**settings)
    ready = threading.Event()
    server = Server(app, started=ready.set)
    with contextlib.closing(listener(host, port)) as sock:
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [sock]}, name="simulator", daemon=True
        )
        thread.start()
        try:
            if not ready.wait(_START_SECONDS):
                raise RuntimeError("the simulator did not start")
            yield Simulator(address(sock), app.state.simulator)
        finally:
            server.stop()
            thread.join(_START_SECONDS)


def serve(*, host: str, port: int, announce: Callable[[str], None], **settings: Any) -> None:
    """Serve in the foreground until SIGINT or SIGTERM.

    :param announce: called with the URL once it answers.
    """
    sock = listener(host, port)
    url = address(sock)
    Server(create_app(**settings), started=lambda: announce(url)).run(sockets=[sock])


def listener(host: str, port: int) -> socket.socket:
    """A bound socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it every reply waits 40 ms.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def address(sock: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _http() -> Any:
    """The faster of uvicorn's parsers that is installed; the extra brings h11."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Http
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol as Http  # type: ignore[assignment]
    return Http
