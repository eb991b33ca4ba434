"""Size, proof and marks of GIF files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_qwenimage.images.formats import ImageBytes

_IMAGE, _EXTENSION, _TRAILER = b",", b"!", b";"
_C2PA = b"\xff\x0bC2PA_GIF"  # the extension of an application, and its name


def gif_size(data: ImageBytes) -> tuple[int, int]:
    """Read the logical screen."""
    width, height = data.unpack("<HH", 6)
    return width, height


def _colors(packed: int) -> int:
    return 3 << (packed & 7) + 1 if packed & 0x80 else 0


def gif_proof(data: ImageBytes) -> None:
    """Walk the blocks to the trailer, and find an image with data among them."""
    offset, pictured = 13 + _colors(data.at(10, 1)[0]), False
    while (kind := data.at(offset, 1)) != _TRAILER:
        if kind == _IMAGE:
            offset += 11 + _colors(data.at(offset + 9, 1)[0])
        elif kind == _EXTENSION:
            if data.at(offset + 1, 2) == _C2PA[:2] and data.at(offset + 1, len(_C2PA)) == _C2PA:
                data.note("c2pa", offset, data.length - offset)  # its pieces are not counted
            offset += 2
        else:
            raise data.odd("lose their thread")
        while size := data.at(offset, 1)[0]:
            pictured |= kind == _IMAGE
            offset += 1 + size
        offset += 1
    if not pictured:
        raise data.odd("hold no picture")
