"""The JSON of bodies: a request is one document; a reply is one too, or one for each frame of an event stream."""

from __future__ import annotations

import json
import re
import string
from typing import TYPE_CHECKING, Any, TypeGuard

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_provider_qwenimage.wire.protocol import Reply

Document = dict[str, Any]

LONGEST_PLAIN = 8 * 2**20  # bytes of a reply without inline images
_MOST_VALUES = 100_000  # in one reply; small ones take thirty times their bytes in memory
_MOST_FRAMES = 20_000  # of an event stream; the vendor sends one for each token of a caption
_DEEPEST = 64  # levels; what reads a document calls itself for each
_MOST_DIGITS = 20  # of a number; Python reads longer ones in the square of the time, beyond 4,300 not at all
_STEP, _WINDOW = 16 * 1024, 1024  # bytes: how often, and how far, a long reply is looked at for inline images
_BASE64 = (
    string.ascii_letters + string.digits + "+/=-_\\\r\n"
).encode()  # as JSON writes it, \/ and \n included

# Of an event stream; str.splitlines would split a caption at U+2028 too.
_LINE_END = re.compile(r"\r\n|\n|\r")
# Half a character, as cutting a text at UTF-16 leaves it, and NUL: neither XCom nor S3 nor a database takes them.
_STRAY = re.compile("[\ud800-\udfff\x00]")
# The beginnings of images; of BMP its header too, since two letters begin a text as well.
_IMAGE = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|II\*\x00|MM\x00\*|....ftypavi[fs]"
    rb"|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00",
    re.DOTALL,
)
_ARCHIVE = b"PK\x03\x04"


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def body_of(document: Mapping[str, Any]) -> bytes:
    """Spell a document as JSON; what cannot be is refused."""
    try:
        return _ENCODER.encode(document).encode()
    except (TypeError, ValueError) as error:
        # A date that a template left in parameters, a NaN, half a character.
        raise InvalidRequest("parameters", f"cannot be sent as JSON: {redact(error, limit=120)}") from None


def is_image(data: bytes) -> bool:
    """Tell whether ``data`` starts like an image file; headers and names are not asked."""
    return _IMAGE.match(data) is not None


def is_archive(body: bytes) -> bool:
    """Tell whether a body starts like a zip."""
    return body.startswith(_ARCHIVE)


def documents(reply: Reply) -> tuple[Document, ...]:
    """
    Return the JSON objects of a reply: one for JSON, one per ``data:`` frame for an event stream.

    Empty where the body is neither: an empty body, HTML, truncated JSON, or more than a reply can be. The content type
    decides nothing; gateways answer JSON as ``text/plain`` and event streams as ``application/json``.
    """
    if is_image(reply.body) or is_too_much(reply.body):
        return ()
    text = reply.body.decode("utf-8-sig", errors="replace").strip()
    if text.startswith("{"):
        return tuple(_objects([text]))
    frames = list(_frames(text))
    return tuple(_objects(frames)) if len(frames) <= _MOST_FRAMES else ()


def is_too_much(body: bytes) -> bool:
    """
    Tell whether a body, or the beginning of one, is more than a reply can be.

    Long are only replies with inline images, and those are a few long texts.
    """
    if len(body) > LONGEST_PLAIN:
        looks = (body[place : place + _WINDOW] for place in range(0, len(body), _STEP))
        if not any(len(look) == _WINDOW and not look.translate(None, _BASE64) for look in looks):
            return True
    return sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES


def _objects(texts: Iterable[str]) -> Iterator[Document]:
    for text in texts:
        try:
            value = _value(text)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def _value(text: str) -> object:
    """
    Read one JSON text.

    :raises ValueError: it is none, or nested deeper than anything a gateway means.
    """
    try:
        value: object = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if text.count("{") + text.count("[") > _DEEPEST:
        _check_depth(value)
    return _clean(value) if "\\u" in text or "\x00" in text else value


def _number(text: str) -> int | None:
    return int(text) if len(text) <= _MOST_DIGITS else None


_DECODER = json.JSONDecoder(parse_int=_number, strict=False)  # a line end within a text is a line end


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        within = (outer.values() if isinstance(outer, dict) else outer for outer in level if _holds(outer))
        level = [inner for values in within for inner in values if _holds(inner)]
        if not level:
            return
    raise ValueError("nested too deeply")


def _holds(value: object) -> TypeGuard[dict[str, Any] | list[Any]]:
    return isinstance(value, (dict, list))


def _clean(value: Any) -> Any:
    """Replace what is no character, in texts and in the names of fields."""
    if isinstance(value, str):
        return value if value.isascii() and "\x00" not in value else _STRAY.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(inner) for key, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, list) else value


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
    if is_too_much(reply.body):
        return f"{len(reply.body) / 2**20:.1f} MiB that hold no image"
    if head.startswith((b"{", b"[")):
        return "JSON of no known shape" if _is_json(reply.body) else "broken or truncated JSON"
    return f"a body of type {redact(reply.content_type, limit=60) or 'unknown'}"


def _is_json(body: bytes) -> bool:
    try:
        _value(body.decode("utf-8-sig", errors="replace"))
    except ValueError:
        return False
    return True


def as_dict(value: object) -> Document:
    """Return ``value`` if it is an object, else an empty one: vendors answer null, "" and lists for absent."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return ``value`` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def as_word(value: object, *, limit: int = 100) -> str:
    """Return a code or an id of the gateway's as one short line that holds no key and no signed query."""
    if value is None or isinstance(value, (bool, dict, list)):
        return ""
    return redact(" ".join(str(value)[: 2 * limit].split()), limit=limit)
