"""Input images: fetched or decoded, checked as the vendor checks them, shrunk to what is drawn."""

from __future__ import annotations

import base64
import binascii
import hashlib
import http.client
import io
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from PIL import Image, UnidentifiedImageError

from airflow_provider_qwenimage.simulator.drawing import Reference
from airflow_provider_qwenimage.simulator.vendor import GatewayRow, InputRule, refused

if TYPE_CHECKING:
    from airflow_provider_qwenimage.simulator.asks import Ask

_THUMB = 256
_MEGABYTE = 1024 * 1024
_MOST_BYTES = 64 * _MEGABYTE


def load(ask: Ask, gateway: GatewayRow) -> tuple[Reference, ...]:
    """Read all input images of a request, in order. Blocks; call it in a thread.

    :raises RefusedError: an image cannot be fetched or read, or breaks the model's rule.
    """
    rule = ask.row.input if ask.row else None
    boxes = ask.parameters.get("bbox_list") or []
    boxed = [tuple(tuple(box) for box in own) for own in boxes] + [()] * len(ask.images)
    return tuple(_one(image, rule, own, gateway) for image, own in zip(ask.images, boxed, strict=False))


def _one(
    image: str | bytes, rule: InputRule | None, boxes: tuple[tuple[int, ...], ...], gateway: GatewayRow
) -> Reference:
    if isinstance(image, str) and (urlsplit(image).hostname or "").endswith(".invalid"):
        raise refused("download")  # a name that never resolves (RFC 2606)
    if isinstance(image, str) and image.startswith(("http://", "https://")) and not _loopback(image):
        return _stand_in(image, boxes)
    return _shrunk(_bytes(image, gateway), rule, boxes)


def _bytes(image: str | bytes, gateway: GatewayRow) -> bytes:
    if isinstance(image, bytes):
        return image
    if image.startswith(("http://", "https://")):
        return _fetch(image)
    if not gateway.data_urls:
        raise refused("download")
    # new-api takes bare base64 too (contract section 11, rule 4).
    try:
        return base64.b64decode(
            image.partition(";base64,")[2] if image.startswith("data:") else image, validate=True
        )
    except (binascii.Error, ValueError):
        raise refused("download") from None


def _loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _fetch(url: str) -> bytes:
    parts = urlsplit(url)
    if parts.scheme != "http":
        raise refused("download")
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=20)
    try:
        connection.request("GET", f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/")
        reply = connection.getresponse()
        content = reply.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException):
        raise refused("download") from None
    finally:
        connection.close()
    if reply.status != http.client.OK:
        raise refused("download")
    return content


def _stand_in(url: str, boxes: tuple[tuple[int, ...], ...]) -> Reference:
    """A flat colour for an image on a host the simulator does not reach: it never leaves loopback."""
    colour = hashlib.sha256(url.encode()).digest()[:3]
    return Reference((1024, 1024), (1, 1), colour, boxes)  # type: ignore[arg-type]


def _shrunk(content: bytes, rule: InputRule | None, boxes: tuple[tuple[int, ...], ...]) -> Reference:
    try:
        image = Image.open(io.BytesIO(content))
        size = image.size
        _allowed(size, len(content), rule)
        image.thumbnail((_THUMB, _THUMB), Image.Resampling.NEAREST)
        small = image.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        raise refused("decode") from None
    return Reference(size, small.size, small.tobytes(), boxes)  # type: ignore[arg-type]


def _allowed(size: tuple[int, int], length: int, rule: InputRule | None) -> None:
    if rule is None:
        return
    low, high = rule.sides
    too_long = rule.ratio is not None and max(size) > rule.ratio * min(size)
    if min(size) < low or max(size) > high or too_long:
        raise refused("image_sides", low=low, high=high, got=f"{size[0]}*{size[1]}")
    if length > rule.megabytes * _MEGABYTE:
        raise refused("image_bytes", megabytes=rule.megabytes)
