"""What a result URL answers under a fault, the way object storage and the network in front of it break."""

from __future__ import annotations

import asyncio
import base64
import io
import uuid
from typing import TYPE_CHECKING

from PIL import Image
from starlette.responses import RedirectResponse, Response, StreamingResponse

from airflow_provider_qwenimage.simulator.broken import BrokenReply, head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import ASGIApp

    from airflow_provider_qwenimage.simulator.state import State

_PNG = "image/png"
_BLOCK = b"\0" * 65536
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="10" height="10"/></svg>'
_HTML = b"<!DOCTYPE html><html><body>Sign in to continue</body></html>"

# Answers that hold nothing of the file.
FIXED: dict[str, Callable[[], Response]] = {
    "file_expired": lambda: oss_error(403, "AccessDenied", "Request has expired."),
    "file_denied": lambda: oss_error(403, "AccessDenied", "You have no right to access this object."),
    "file_404": lambda: oss_error(404, "NoSuchKey", "The specified key does not exist."),
    "file_500_once": lambda: oss_error(500, "InternalError", "We encountered an internal error."),
    "file_empty": lambda: Response(b"", media_type=_PNG),
    "file_html": lambda: Response(_HTML, media_type=_PNG),
    "file_svg": lambda: Response(_SVG, media_type="image/svg+xml"),
    "file_redirect_private": lambda: RedirectResponse("http://10.0.0.1/image.png", 302),
    "file_redirect_metadata": lambda: RedirectResponse("http://169.254.169.254/latest/meta-data/", 302),
    "file_redirect_scheme": lambda: RedirectResponse("file:///etc/passwd", 302),
}


def oss_error(status: int, code: str, message: str) -> Response:
    """An error of Alibaba's object storage."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n'
        f"  <Code>{code}</Code>\n  <Message>{message}</Message>\n"
        f"  <RequestId>{uuid.uuid4().hex[:24].upper()}</RequestId>\n"
        "  <HostId>simulator.oss-cn-beijing.aliyuncs.com</HostId>\n</Error>\n"
    )
    return Response(body, status, media_type="application/xml")


def _short(content: bytes, state: State) -> ASGIApp:
    return BrokenReply(state.sockets, head(_PNG, length=len(content)) + content[: len(content) // 2])


def _reset(content: bytes, state: State) -> ASGIApp:
    raw = head(_PNG, length=len(content)) + content[: len(content) // 2]
    return BrokenReply(state.sockets, raw, how="reset")


def _halved(content: bytes, _: State) -> ASGIApp:
    return Response(content[: len(content) // 2], media_type=_PNG)


def _jpeg(content: bytes, _: State) -> ASGIApp:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGB").save(buffer, "JPEG")
    return Response(buffer.getvalue(), media_type=_PNG)


def _octet_stream(content: bytes, _: State) -> ASGIApp:
    return Response(content, media_type="application/octet-stream")


def _given(content: bytes, state: State) -> ASGIApp:
    given = base64.b64decode(state.settings.given_file)
    return Response(given or content, media_type="application/octet-stream")


def _huge(content: bytes, state: State) -> ASGIApp:
    size = max(state.settings.huge_bytes, len(content))
    return StreamingResponse(_blocks(content, size), media_type=_PNG, headers={"Content-Length": str(size)})


def _endless(content: bytes, _: State) -> ASGIApp:
    return StreamingResponse(_blocks(content, None), media_type=_PNG)


async def _blocks(content: bytes, size: int | None) -> AsyncIterator[bytes]:
    """`content`, then zeros up to `size` bytes, or until the client has had enough."""
    yield content
    sent = len(content)
    while size is None or sent < size:
        block = _BLOCK if size is None else _BLOCK[: size - sent]
        sent += len(block)
        yield block
        await asyncio.sleep(0)


# Answers made from the file's bytes.
SPOILT: dict[str, Callable[[bytes, State], ASGIApp]] = {
    "file_short_body": _short,
    "file_reset": _reset,
    "file_truncated": _halved,
    "file_jpeg": _jpeg,
    "file_octet_stream": _octet_stream,
    "file_given": _given,
    "file_huge": _huge,
    "file_endless": _endless,
}
