"""A file server with faults, and sample images for it."""

from __future__ import annotations

import io
import random
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    import ssl


def png(seed: int = 0, *, width: int = 37, height: int = 23) -> bytes:
    """Draw a PNG of noise; another seed makes other bytes."""
    noise = random.Random(seed).randbytes(width * height * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", (width, height), noise).save(out, "PNG")
    return out.getvalue()


@dataclass
class Answer:
    """
    One answer of the file server.

    :param cut: send only so many bytes of the body, then drop the connection.
    :param length: whether Content-Length is sent; without it the end of the connection ends the body.
    :param hold: sent only once this event is set.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    length: bool = True
    hold: threading.Event | None = None


@dataclass
class Seen:
    """One request as it arrived; header names in lower case."""

    path: str
    headers: dict[str, str]


class FileServer:
    """Serves what a test puts; several answers for one path come one after the other, the last one stays."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._answers: dict[str, list[Answer]] = {}
        self.seen: list[Seen] = []
        handler = type("Handler", (_Handler,), {"files": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self._server.server_address[1]
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def put(self, path: str, *answers: Answer | bytes, query: str = "") -> str:
        """Serve ``answers`` under ``path`` and return the URL."""
        self._answers[path] = [Answer(each) if isinstance(each, bytes) else each for each in answers]
        return f"{self.url}{path}{query}"

    def images(self, count: int, *, first: int = 0) -> list[str]:
        """Serve ``count`` different images and return their signed URLs."""
        return [
            self.put(f"/{number}.png", png(number), query="?Expires=99999999999&Signature=abc")
            for number in range(first, first + count)
        ]

    def answer(self, path: str) -> Answer:
        answers = self._answers.get(path.partition("?")[0], [Answer(status=404)])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def requests(self, path: str | None = None) -> list[Seen]:
        """Return the requests for ``path``, its query not regarded."""
        return [seen for seen in self.seen if path in (None, seen.path.partition("?")[0])]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: FileServer

    def do_GET(self) -> None:
        self.files.seen.append(Seen(self.path, {name.lower(): value for name, value in self.headers.items()}))
        answer = self.files.answer(self.path)
        if answer.hold is not None:
            answer.hold.wait(20)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.length:
            self.send_header("Content-Length", str(len(answer.body)))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(answer.body[: answer.cut])
        if answer.cut is not None:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
