"""Names what came where an image should have."""

from __future__ import annotations

import re

_ANY_CASE = re.DOTALL | re.IGNORECASE
# Whatever a host sends is held against these, so none may backtrack: repeats are possessive, each byte is read once.
_PREAMBLE = rb"\s*+(?:(?:<\?xml[^>]*+>|<!--.*?-->|<!DOCTYPE\s++svg[^>]*+>)\s*+)*+"
_STRANGERS = (
    ("an SVG drawing", re.compile(_PREAMBLE + rb"<(?:\w++:)?+svg\b", _ANY_CASE)),
    (
        "an HTML page",
        re.compile(
            _PREAMBLE + rb"<(?:!doctype\s++html|html|head|body|script|title|meta|div|h1)\b", _ANY_CASE
        ),
    ),
    ("an XML document", re.compile(rb"\s*+<(?:\?xml|[a-z])", _ANY_CASE)),
    ("JSON", re.compile(rb"\s*+(?:\{\s*+[\"}]|\[\s*+[\[\]{\"\d])", _ANY_CASE)),
    ("a PDF document", re.compile(rb"%PDF-", _ANY_CASE)),
    ("a HEIC or video file", re.compile(rb"....ftyp", _ANY_CASE)),
    ("a BigTIFF file", re.compile(rb"II\+\x00|MM\x00\+", _ANY_CASE)),
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
