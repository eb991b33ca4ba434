"""Names what came where an image should have."""

from __future__ import annotations

import re


def _pattern(text: bytes) -> re.Pattern[bytes]:
    return re.compile(text, re.DOTALL | re.IGNORECASE)


# Whatever a host sends is held against these, so none may backtrack: repeats are possessive, each byte is read once.
_PREAMBLE = rb"\s*+(?:(?:<\?xml[^>]*+>|<!--.*?-->|<!DOCTYPE\s++svg[^>]*+>)\s*+)*+"
_STRANGERS = (
    ("an SVG drawing", _pattern(_PREAMBLE + rb"<(?:\w++:)?+svg\b")),
    (
        "an HTML page",
        _pattern(_PREAMBLE + rb"<(?:!doctype\s++html|html|head|body|script|title|meta|div|h1)\b"),
    ),
    ("an XML document", _pattern(rb"\s*+<(?:\?xml|[a-z])")),
    ("JSON", _pattern(rb"\s*+(?:\{\s*+[\"}]|\[\s*+[\[\]{\"\d])")),
    ("a PDF document", _pattern(rb"%PDF-")),
    ("a HEIC or video file", _pattern(rb"....ftyp")),
    ("a BigTIFF file", _pattern(rb"II\+\x00|MM\x00\+")),
    ("an archive", re.compile(rb"\x1f\x8b|PK\x03\x04|Rar!|7z\xbc\xaf")),
    ("plain text", re.compile(rb"[\t\r\n\x20-\x7e]++\Z")),
)


def stranger(head: bytes) -> str:
    """Say what the first kilobyte of a body looks like, that is no image."""
    if not head.strip():
        return "an empty body"
    text = head.removeprefix(b"\xef\xbb\xbf")
    return next(
        (name for name, pattern in _STRANGERS if pattern.match(text)), "no image format this provider knows"
    )
