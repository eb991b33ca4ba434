"""Reads one item of a reply: an image by URL, by bytes, or the reason why there is none."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.wire.documents import as_dict, is_image
from airflow_provider_qwenimage.wire.protocol import join

if TYPE_CHECKING:
    from airflow_provider_qwenimage.wire.documents import Document

_BASE64 = re.compile(r"[A-Za-z0-9+/\-_\s]+={0,2}\s*")
# Where a path on the engine's own disk starts (Xinference answers /home/../uuid.jpg when url is its format).
_DISK = re.compile(r"(file:|[A-Za-z]:\\|/(home|root|tmp|var|opt|mnt|data|srv|usr|app|workspace|Users)/)")
_IMAGE_KEYS = ("url", "image", "image_url", "b64_json", "b64_image")
# A relative URL without its leading slash (contract section 11 rule 2): the path of an image, or a short one of an
# API. ``n/a`` and media types have a slash too, and so has base64 that is broken, which is longer.
_PATH = re.compile(r"(?!\w*:)[\w.~%][^\s<>\"{}|\\^`]*")
_IMAGE_PATH = re.compile(r"[^?#]+\.(png|jpe?g|webp|gif|bmp|tiff?|avif)([?#].*)?", re.IGNORECASE)
_NO_PATH = re.compile(r"n/a|(application|text)/.*|\w+/(png|jpe?g|webp|gif|bmp|tiff?|avif|\*)", re.IGNORECASE)
OWN_CODES = frozenset({"server_path", "not_an_image"})  # of items this module could not read
_LONGEST_PATH = 128  # characters, of a path that does not end like an image


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


def is_link(text: str) -> bool:
    """Tell whether a text is one URL and nothing else."""
    text = text.strip().lower()
    return text.startswith(("http://", "https://", "data:image/")) and not any(map(str.isspace, text))


def is_image_text(item: Document) -> bool:
    """Tell whether the ``text`` of an item is an image: P5 says so by its type, or puts a link there."""
    text = item.get("text")
    return isinstance(text, str) and bool(text) and (item.get("type") == "image" or is_link(text))


def image_in(item: Document) -> object | None:
    """Return what an item holds for an image, unread; ``None`` where it holds a text or a reason."""
    held = next((item[key] for key in _IMAGE_KEYS if item.get(key)), None)
    if isinstance(held, dict):
        held = held.get("url") or held
    return item["text"] if held is None and is_image_text(item) else held


def delivers(value: object) -> bool:
    """Tell whether an image that can be had lies anywhere in a value."""
    if isinstance(value, str):
        return is_link(value) or _decode(value) is not None
    if isinstance(value, list):
        return any(map(delivers, value))
    if not isinstance(value, dict):
        return False
    if is_image_text(value) or isinstance(read_item(value, ""), Found):
        return True
    return any(delivers(inner) for inner in value.values() if isinstance(inner, (dict, list)))


def read_item(item: Document, base_url: str) -> Slot:
    """Read an item of ``data[]``, ``results[]`` or ``content[]``; ``""`` and ``null`` mean absent."""
    unusable: Missing | None = None
    for key in _IMAGE_KEYS:
        value = as_dict(item.get(key)).get("url") if isinstance(item.get(key), dict) else item.get(key)
        if not isinstance(value, str) or not value:
            continue
        slot = locate(value, base_url)
        if isinstance(slot, Missing):  # another field of the item may hold the image
            unusable = unusable or slot
            continue
        revised = item.get("revised_prompt") or item.get("actual_prompt")
        seed = item.get("seed")
        return Found(
            slot.url,
            slot.data,
            revised if isinstance(revised, str) and revised else None,
            seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        )
    if unusable is not None:
        return unusable
    code, message = item.get("code"), item.get("message")
    return Missing(redact(message or code), str(code) if code else None) if code or message else Missing()


def locate(value: str, base_url: str) -> Slot:
    """Tell a URL, inline bytes, a relative URL and a path on the engine's disk apart."""
    text = value.strip()
    if text[:8].lower().startswith(("http://", "https://")):
        return Found(url=text)
    data = _decode(text.partition(",")[2] if text[:5].lower() == "data:" else text)
    if data is not None:
        return Found(data=data)
    if _DISK.match(text):
        return Missing(
            "the engine answered with a path on its own disk; set persist_to, which asks for b64_json, "
            "or parameters={'response_format': 'b64_json'}",
            "server_path",
        )
    if text.startswith("//"):
        return Found(url=f"{base_url.partition(':')[0]}:{text}")
    if text.startswith("/") or _is_path(text):  # SGLang edits: /v1/images/{id}/content
        return Found(url=join(base_url, text))
    return Missing(f"not an image: {redact(text, limit=80)}", "not_an_image")


def _is_path(text: str) -> bool:
    if not _PATH.fullmatch(text) or _NO_PATH.fullmatch(text):
        return False
    return bool(_IMAGE_PATH.fullmatch(text)) or ("/" in text and len(text) <= _LONGEST_PATH)


def _decode(text: str) -> bytes | None:
    """Return the bytes of base64 that decodes to an image: ``/9j/`` starts a JPEG as well as a path."""
    head = text[:64]
    if not _BASE64.fullmatch(head):
        return None
    if "-" in text or "_" in text:
        text = text.translate(str.maketrans("-_", "+/"))
    try:
        data = base64.b64decode(text + "==")  # too much padding is ignored, as line ends are
    except binascii.Error:
        return None
    return data if is_image(data) else None
