"""Size and proof of PNG files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_qwenimage.images.formats.reading import ImageBytes


def png_size(data: ImageBytes) -> tuple[int, int]:
    """Read the IHDR chunk."""
    if data.at(12, 4) != b"IHDR":
        raise data.odd("have no header")
    width, height = data.unpack(">II", 16)
    return width, height


def png_proof(data: ImageBytes) -> None:
    """Walk the chunks to IEND, hold each against its checksum, and find pixels in them."""
    offset, kind, pixels = 8, b"", 0
    while kind != b"IEND":
        (length,), kind = data.unpack(">I", offset), data.at(offset + 4, 4)
        end = offset + 8 + length
        if data.unpack(">I", end)[0] != data.crc32(offset + 4, 4 + length):
            raise data.odd("are damaged: a checksum in them is wrong")
        pixels += length if kind == b"IDAT" else 0
        offset = end + 4
    if not pixels:
        raise data.odd("hold no pixels")
