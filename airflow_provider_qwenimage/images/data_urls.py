"""Decodes ``data:`` URLs (RFC 2397) block by block, so that none costs more than the image it holds."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from airflow_provider_qwenimage.exceptions import NotAnImage

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_HEAD = 1024  # characters before the comma
_MOST_ESCAPED = 1 << 22  # characters; an image is spelt %89%50%4E only in tests, and that is slow to read
_BLOCK = 1 << 16
_BLANKS = b" \t\r\n"
# What a query or a form makes of base64.
_ESCAPES = (
    (b"%2B", b"+"), (b"%2b", b"+"), (b"%2F", b"/"), (b"%2f", b"/"), (b"%3D", b"="), (b"%3d", b"="),
    (b"%0A", b""), (b"%0a", b""), (b"%0D", b""), (b"%0d", b""), (b"%20", b""),
)  # fmt: skip


def decoded(url: str) -> Iterator[bytes]:
    """
    Yield the bytes that a ``data:`` URL holds.

    :raises NotAnImage: on the way, where it holds none or is spoilt.
    """
    comma = url.find(",", 0, _MOST_HEAD)
    if comma < 0:
        raise NotAnImage("The data URL has no comma: it holds nothing")
    pieces = _pieces(url, comma + 1)
    if url[:comma].rstrip().lower().endswith(";base64"):
        return _from_base64(pieces)
    if len(url) > _MOST_ESCAPED:
        raise NotAnImage("The data URL is not base64, and too long for anything else")
    return map(unquote_to_bytes, pieces)


def _pieces(url: str, start: int) -> Iterator[bytes]:
    """Cut the URL into blocks of whole escapes."""
    held = b""
    for place in range(start, len(url), _BLOCK):
        try:
            text = held + url[place : place + _BLOCK].encode("ascii")
        except UnicodeEncodeError:
            raise NotAnImage("The data URL holds a letter that no data URL has") from None
        cut = text.rfind(b"%", -2)
        cut = len(text) if cut < 0 else cut
        held = text[cut:]
        yield text[:cut]
    yield held


def _from_base64(pieces: Iterator[bytes]) -> Iterator[bytes]:
    held = b""
    for piece in pieces:
        for escape, letter in _ESCAPES if b"%" in piece else ():
            piece = piece.replace(escape, letter)  # noqa: PLW2901 - one after the other
        text = held + piece.translate(None, _BLANKS)
        cut = len(text) - len(text) % 4
        held = text[cut:]
        yield _letters(text[:cut])
    yield _letters(held)


def _letters(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise NotAnImage("The data URL is cut off, or not base64") from None
