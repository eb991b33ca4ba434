"""Puts XMP into PNG, JPEG and WebP files: which bytes take the place of which; pixels stay as they are."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_qwenimage.images import xmp
from airflow_provider_qwenimage.images.formats import MOST_NOTED
from airflow_provider_qwenimage.images.formats.jpeg import EXIF_HEAD, XMP_HEAD, jpeg_segments
from airflow_provider_qwenimage.images.formats.png import XMP_KEYWORD, png_chunks, png_text
from airflow_provider_qwenimage.images.formats.webp import webp_chunks, webp_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_qwenimage.images.formats import ImageBytes

_JPEG_APP0, _JPEG_APP1, _JPEG_SCAN = 0xE0, 0xE1, 0xDA
_JPEG_MOST = 65_533  # bytes of a segment behind its length
_WEBP_FLAGS = 20  # offset of the flags, where the first chunk is VP8X
_WEBP_XMP, _WEBP_ALPHA = 0x04, 0x10


class Splice(NamedTuple):
    """Bytes that take the place of those from ``start`` to ``end``."""

    start: int
    end: int
    new: bytes


def splices(data: ImageBytes, content_type: str, additions: Mapping[str, str]) -> list[Splice] | None:
    """
    Return, in the order of the file, what gives it further properties of XMP.

    :param data: an image that ``inspect`` has proved.
    :param additions: values by name, see ``xmp``.
    :returns: ``None`` where the format, or what the file holds already, cannot take them.
    """
    embed = {"image/png": _png, "image/jpeg": _jpeg, "image/webp": _webp}.get(content_type)
    return embed(data, additions) if embed else None


def _packet(old: bytes | None, additions: Mapping[str, str]) -> bytes | None:
    too_large = old is not None and len(old) >= MOST_NOTED  # it was not read to its end
    return None if too_large else xmp.extended(old, additions)


def _png(data: ImageBytes, additions: Mapping[str, str]) -> list[Splice] | None:
    start = end = 0
    old = None
    for chunk in png_chunks(data):
        behind = chunk.start + chunk.size + 4
        text = png_text(data, chunk)
        if text and text.kind == "xmp":
            start, end = chunk.start - 8, behind
            old = data.text(text.start, chunk.start + chunk.size - text.start, deflated=text.deflated)
            break
        start = end = start or behind  # behind IHDR, which comes first
    packet = _packet(old, additions)
    if packet is None:
        return None
    body = b"iTXt" + XMP_KEYWORD + bytes(5) + packet
    new = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return [Splice(start, end, new)]


def _jpeg(data: ImageBytes, additions: Mapping[str, str]) -> list[Splice] | None:
    start = end = 2
    old = None
    leading = True  # JFIF and EXIF want to be first
    for marker, body, behind in jpeg_segments(data):
        if marker == _JPEG_SCAN:
            break
        head = data.at(body + 2, min(behind - body - 2, len(XMP_HEAD))) if marker == _JPEG_APP1 else b""
        if head == XMP_HEAD:
            start, end = body - 2, behind
            old = data.text(body + 2 + len(head), behind - body - 2 - len(head))
            break
        leading = leading and (marker == _JPEG_APP0 or head.startswith(EXIF_HEAD))
        start = end = behind if leading else start
    packet = _packet(old, additions)
    if packet is None or 2 + len(XMP_HEAD) + len(packet) > _JPEG_MOST:
        return None
    size = struct.pack(">H", 2 + len(XMP_HEAD) + len(packet))
    return [Splice(start, end, bytes((0xFF, _JPEG_APP1)) + size + XMP_HEAD + packet)]


def _webp(data: ImageBytes, additions: Mapping[str, str]) -> list[Splice] | None:
    end = 8 + data.unpack("<I", 4)[0]
    chunks = list(webp_chunks(data, 12, end))
    found = next((chunk for chunk in chunks if chunk.kind == b"XMP "), None)
    old = data.text(found.start, found.end - found.start) if found else None
    packet = _packet(old, additions)
    if packet is None:
        return None
    if found:
        start, stop, pad = found.start - 8, min(found.end + found.end % 2, end), b""
    else:  # the padding of the last chunk may have been forgotten
        start, stop, pad = end, end, b"\0" * (end % 2)
    chunk = pad + b"XMP " + struct.pack("<I", len(packet)) + packet + b"\0" * (len(packet) % 2)
    changes = [_webp_head(data, chunks[0].kind), Splice(start, stop, chunk)]
    grown = sum(len(change.new) - (change.end - change.start) for change in changes)
    return [Splice(4, 8, struct.pack("<I", end - 8 + grown)), *changes]


def _webp_head(data: ImageBytes, first: bytes) -> Splice:
    """Say in the head of a file that it holds XMP; a simple file gets the head of an extended one."""
    if first == b"VP8X":
        return Splice(_WEBP_FLAGS, _WEBP_FLAGS + 1, bytes((data.at(_WEBP_FLAGS, 1)[0] | _WEBP_XMP,)))
    width, height = webp_size(data)
    alpha = first == b"VP8L" and data.unpack("<I", 21)[0] >> 28 & 1
    flags = _WEBP_XMP | (_WEBP_ALPHA if alpha else 0)
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return Splice(12, 12, b"VP8X" + struct.pack("<II", 10, flags) + sides)
