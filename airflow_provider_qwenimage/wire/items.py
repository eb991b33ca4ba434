"""Reads one item of a reply: an image by URL, by bytes, or the reason why there is none."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.wire.documents import as_dict, as_word, is_image
from airflow_provider_qwenimage.wire.links import expires_at, join

if TYPE_CHECKING:
    from airflow_provider_qwenimage.wire.documents import Document

_IMAGE_KEYS = ("url", "image", "image_url", "b64_json", "b64_image")
_SHARED_KEYS = ("revised_prompt", "actual_prompt", "seed")  # of an item with several images
OWN_CODES = frozenset({"server_path", "not_an_image"})  # of items this module could not read
_LONGEST_URL = 8192  # characters; a signed one has a tenth of it
_HEAD = 24  # characters of base64 that tell whether it is an image

_NO_URL = re.compile(r"[\s\x00-\x1f\x7f\ufffd\"<>\\]")
_HOST = re.compile(
    r"\A(?:(?=[.-]*+\w)[\w.-]++|[0-9a-f]*+:[0-9a-f:.]*+(?:%\w++)?)"
)  # the latter an IPv6 address
_PAGE = re.compile(r"\.(?:x?html?|md|txt|json|xml|pdf)$", re.IGNORECASE)
_IMAGE_NAME = re.compile(r"\.(?:png|jpe?g|webp|gif|bmp|tiff?|avif)(?:$|[?#&])", re.IGNORECASE)
# Where a path on the engine's own disk starts (Xinference answers /home/../uuid.jpg when url is its format).
_DISK = re.compile(r"(file:|[A-Za-z]:\\|/(home|root|tmp|var|opt|mnt|data|srv|usr|app|workspace|Users)/)")
_API_PATH = re.compile(r"/?v\d/.")  # SGLang: /v1/images/{id}/content
_SCHEME = re.compile(r"\A\w++:")


@dataclass(frozen=True, slots=True)
class Found:
    """An image: its URL, or its bytes where they came inline."""

    url: str | None = None
    data: bytes | None = None
    revised_prompt: str | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """An item that holds no image, with the gateway's reason where it gave one."""

    reason: str = "the gateway delivered an empty item"
    code: str | None = None


Slot = Found | Missing


def holds_image(item: Document) -> bool:
    """Tell whether an item has a field that gateways put images in."""
    return any(item.get(key) for key in _IMAGE_KEYS)


def each_image(item: Document) -> list[Document]:
    """Return the items an item stands for: itself, or one for each image it lists (``"url": [..]``)."""
    listed = next((key for key in _IMAGE_KEYS if item.get(key) and isinstance(item[key], list)), None)
    if listed is None:
        return [item]
    shared = {key: item[key] for key in _SHARED_KEYS if key in item}
    return [{**shared, listed: value} for value in item[listed]]


def event_image(document: Document) -> Document | None:
    """Return the image that an event of OpenAI's stream is; one on its way (``.partial_image``) is none."""
    if not isinstance(document.get("b64_json"), str) or "partial" in str(document.get("type")):
        return None
    return {key: document[key] for key in ("b64_json", *_SHARED_KEYS) if key in document}


def is_image_text(item: Document) -> bool:
    """Tell whether the ``text`` of an item is an image: P5 says so by its type, or puts a link there."""
    text = item.get("text")
    return isinstance(text, str) and bool(text) and (item.get("type") == "image" or _is_image_link(text))


def _is_image_link(text: str) -> bool:
    """Tell whether a text is the link of an image and nothing else; a caption may be a link to a page."""
    text = text.strip()
    if text[:11].lower() == "data:image/":
        return not any(map(str.isspace, text[:_HEAD]))
    return _is_url(text) and bool(_IMAGE_NAME.search(text) or expires_at(text))


def _is_url(text: str) -> bool:
    """Tell whether an image can lie there: at a host, in a URL without a blank, and on no page."""
    if not text[:8].lower().startswith(("http://", "https://")) or len(text) > _LONGEST_URL:
        return False
    try:
        parts = urlsplit(text)
        host = parts.port != 0 and parts.hostname
    except ValueError:  # a port that is no number, a bracket that does not close
        return False
    return bool(host and _HOST.fullmatch(host)) and not _NO_URL.search(text) and not _PAGE.search(parts.path)


def image_in(item: Document) -> object | None:
    """Return what an item holds for an image, unread; ``None`` where it holds a text or a reason."""
    held = next((item[key] for key in _IMAGE_KEYS if item.get(key)), None)
    if isinstance(held, dict):
        held = held.get("url") or held
    return item["text"] if held is None and is_image_text(item) else held


def delivers(value: object) -> bool:
    """Tell whether an image that can be had lies anywhere in a value."""
    if isinstance(value, str):
        return _is_image_link(value) or isinstance(_inline(value), Found)
    if isinstance(value, list):
        return any(map(delivers, value))
    if not isinstance(value, dict):
        return False
    if is_image_text(value) or isinstance(read_item(value, None), Found):
        return True
    return any(delivers(inner) for inner in value.values() if isinstance(inner, (dict, list)))


def read_item(item: Document, served_from: str | None) -> Slot:
    """
    Read an item of ``data[]``, ``results[]`` or ``content[]``; ``""`` and ``null`` mean absent.

    :param served_from: see ``locate``.
    """
    unusable: Missing | None = None
    for key in _IMAGE_KEYS:
        value = as_dict(item.get(key)).get("url") if isinstance(item.get(key), dict) else item.get(key)
        if not isinstance(value, str) or not value:
            continue
        slot = locate(value, served_from)
        if isinstance(slot, Missing):  # another field of the item may hold the image
            unusable = unusable or slot
            continue
        return Found(slot.url, slot.data, _revised_prompt(item), _seed(item.get("seed")))
    if unusable is not None:
        return unusable
    code, message = as_word(item.get("code")), item.get("message")
    return Missing(redact(message or code), code or None) if code or message else Missing()


def _revised_prompt(item: Document) -> str | None:
    revised = item.get("revised_prompt") or item.get("actual_prompt")
    return revised if isinstance(revised, str) and revised else None


def _seed(seed: object) -> int | None:
    return seed if isinstance(seed, int) and not isinstance(seed, bool) and abs(seed) < 2**63 else None


def locate(value: str, served_from: str | None) -> Slot:
    """
    Tell a URL, inline bytes, a relative URL and a path on the engine's disk apart.

    :param served_from: the base URL of a gateway that serves images itself, to which relative URLs are joined;
        ``None`` where it serves none.
    """
    text = value.strip()
    if _is_url(text):
        return Found(url=text)
    inline = _inline(text.partition(",")[2] if text[:5].lower() == "data:" else text)
    if inline is not None:
        return inline
    if _DISK.match(text):
        return Missing(
            "the engine answered with a path on its own disk; set persist_to, which asks for b64_json, "
            "or parameters={'response_format': 'b64_json'}",
            "server_path",
        )
    whole = _whole_url(text, served_from)
    if whole is not None and _is_url(whole):
        return Found(url=whole)
    # Long and without a blank it is base64 that begins like no image, which has no place in a message.
    shown = redact(text, limit=80) if len(text) <= 80 or " " in text else f"{len(text)} characters"
    return Missing(f"not an image: {shown}", "not_an_image")


def _whole_url(text: str, served_from: str | None) -> str | None:
    """Complete a relative URL (contract section 11 rule 2): below the API's own route, or with an image's name."""
    if text.startswith("//"):
        return f"{(served_from or 'https').partition(':')[0]}:{text}"
    named = _API_PATH.match(text) or (_IMAGE_NAME.search(text) and not _SCHEME.match(text))
    return join(served_from, text) if served_from and named else None


def _inline(text: str) -> Slot | None:
    """Read base64 that begins like an image; ``/9j/`` begins a JPEG as well as a path, ``None`` for anything else."""
    head = "".join(text[: 2 * _HEAD].split())[:_HEAD]
    begun = _decode(head[: len(head) // 4 * 4])
    if begun is None or not is_image(begun):
        return None
    data = _decode("".join(text.split()))
    return Missing("its base64 is damaged", "not_an_image") if data is None else Found(data=data)


def _decode(text: str) -> bytes | None:
    plain = text.rstrip("=")
    if "-" in plain or "_" in plain:
        plain = plain.translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:  # a letter that base64 has not, or one too many
        return None
