"""Size, proof and marks of WebP files (RFC 9649)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.images.formats import ImageBytes
    from airflow_provider_qwenimage.images.origin import Kind

_FRAME_HEADER = 16  # bytes of ANMF before the chunks of the frame
_MARKS: dict[bytes, Kind] = {b"XMP ": "xmp", b"EXIF": "exif", b"C2PA": "c2pa"}
_HEADERS = {b"VP8 ": 10, b"VP8L": 5}  # bytes of a picture before its first coded one


def webp_size(data: ImageBytes) -> tuple[int, int]:
    """Read the extended, lossless or lossy header."""
    kind = data.at(12, 4)
    if kind == b"VP8X":
        low_w, high_w, low_h, high_h = data.unpack("<HBHB", 24)
        return (high_w << 16 | low_w) + 1, (high_h << 16 | low_h) + 1
    if kind == b"VP8L":
        (bits,) = data.unpack("<I", 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = data.unpack("<HH", 26)
        return width & 0x3FFF, height & 0x3FFF
    raise data.odd("hold no picture")


class WebpChunk(NamedTuple):
    """A chunk as it lies in the file, ``start`` and ``end`` those of its body."""

    kind: bytes
    start: int
    end: int


def webp_chunks(data: ImageBytes, start: int, end: int) -> Iterator[WebpChunk]:
    """Walk the RIFF chunks between two offsets."""
    while start < end:
        kind, (size,) = data.at(start, 4), data.unpack("<I", start + 4)
        body = start + 8
        if body + size > end:
            raise data.odd("lose their thread")
        yield WebpChunk(kind, body, body + size)
        start = body + size + size % 2


def webp_proof(data: ImageBytes) -> None:
    """Hold the RIFF size against the length, walk the chunks and find a picture in them."""
    end = 8 + data.unpack("<I", 4)[0]
    data.reaches(end)
    pictured = False
    for chunk in webp_chunks(data, 12, end):
        if chunk.kind in _MARKS:
            data.note(_MARKS[chunk.kind], chunk.start, chunk.end - chunk.start)
        frame = chunk.kind == b"ANMF"
        inner = webp_chunks(data, chunk.start + _FRAME_HEADER, chunk.end) if frame else (chunk,)
        for part in inner:
            pictured |= part.kind in _HEADERS and part.end - part.start > _HEADERS[part.kind]
    if not pictured:
        raise data.odd("hold no picture")
