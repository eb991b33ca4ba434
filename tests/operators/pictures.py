"""Input images as files, objects and URLs, and a look at what the simulator drew of them."""

from __future__ import annotations

import io
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

from airflow_provider_qwenimage.simulator.drawing import reference_cells

RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 128, 0)


def picture(colour=RED, size=(400, 400), kind="PNG"):
    """Return the bytes of an image of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def opened(content):
    """Return decoded pixels and the text the simulator wrote into the file."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def order_drawn(content, count):
    """Return the colours of the input images in the order in which they were drawn into a result."""
    image = opened(content).convert("RGB")
    cells = reference_cells(*image.size, count)
    return [image.getpixel(((left + right) // 2, (top + bottom) // 2)) for left, top, right, bottom in cells]


class _Files(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        content = self.server.files.get(self.path, b"")
        location = content if isinstance(content, str) else None
        content, length = content if isinstance(content, tuple) else (content, len(content))
        self.send_response(302 if location else 200 if content else 404)
        self.send_header("Content-Length", "0" if location else str(length))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(b"" if location else content)

    def log_message(self, *_):
        return


@contextmanager
def served(files):
    """
    Serve files by their path on loopback; yields the base URL and the list of requests.

    :param files: bytes; or bytes and the length that is claimed for them; or the URL that the path redirects to.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    server.files, server.asked = files, []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
