"""Reads the body of a reply: one JSON document, or one for each frame of an event stream."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.wire.protocol import Reply

Document = dict[str, Any]

# Of an event stream; str.splitlines would split a caption at U+2028 too.
_LINE_END = re.compile(r"\r\n|\n|\r")
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")


def is_image(data: bytes) -> bool:
    """Tell whether ``data`` starts like an image file; headers and names are not asked."""
    return data.startswith(_MAGIC) or data[8:12] == b"WEBP" or data[4:12] in (b"ftypavif", b"ftypavis")


def documents(reply: Reply) -> tuple[Document, ...]:
    """
    Return the JSON objects of a reply: one for JSON, one per ``data:`` frame for an event stream.

    Empty where the body is neither: an empty body, HTML, truncated JSON. The content type decides nothing;
    gateways answer JSON as ``text/plain`` and event streams as ``application/json``.
    """
    if is_image(reply.body):
        return ()
    text = reply.body.decode("utf-8-sig", errors="replace").strip()
    if text.startswith("{"):
        document = _object(text)
        return () if document is None else (document,)
    frames = (_object(data) for data in _frames(text))
    return tuple(frame for frame in frames if frame is not None)


def _object(text: str) -> Document | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _frames(text: str) -> Iterator[str]:
    """Yield the data of each event; ``data:`` may have no space after it, comments start with ``:`` (A-w26)."""
    lines: list[str] = []
    for line in [*_LINE_END.split(text), ""]:
        if line.startswith("data:"):
            lines.append(line[5:])
        elif not line and lines:
            yield "\n".join(lines)
            lines = []


def contents(output: object) -> Iterator[Document]:
    """Yield the content items of an ``output``: a list of messages (P5), or choices with one image or many (P3)."""
    messages = (
        output if isinstance(output, list) else [_message(c) for c in as_list(as_dict(output).get("choices"))]
    )
    for message in messages:
        content = as_dict(message).get("content")
        if isinstance(content, str):
            yield {"text": content}
        yield from (item for item in as_list(content) if isinstance(item, dict))


def _message(choice: object) -> object:
    return as_dict(choice).get("message")


def describe(reply: Reply) -> str:
    """Say in words what a body is that could not be read."""
    head = reply.body[:512].lstrip().lower()
    if not head:
        return "an empty body"
    if head.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if head.startswith(b"<"):
        return "an XML document"
    if head.startswith((b"{", b"[")):
        return "broken or truncated JSON" if _is_broken(reply.body) else "JSON of no known shape"
    return f"a body of type {reply.content_type or 'unknown'}"


def _is_broken(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return True
    return False


def as_dict(value: object) -> Document:
    """Return ``value`` if it is an object, else an empty one: vendors answer null, "" and lists for absent."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return ``value`` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []
