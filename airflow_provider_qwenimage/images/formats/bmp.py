"""Size and proof of BMP files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_qwenimage.images.formats import ImageBytes

_CORE = 12  # BITMAPCOREHEADER has 16-bit sides
_PACKED = frozenset({1, 2, 4, 5})  # RLE, JPEG, PNG


def bmp_size(data: ImageBytes) -> tuple[int, int]:
    """Read the sides of either header."""
    (header,) = data.unpack("<I", 14)
    width, height = data.unpack("<HH" if header == _CORE else "<ii", 18)
    return width, abs(height)  # negative means top-down


def bmp_proof(data: ImageBytes) -> None:
    """Hold the file size, and the size of uncompressed pixels, against the length."""
    size, _, pixels, header = data.unpack("<IIII", 2)
    width, height = bmp_size(data)
    (depth,) = data.unpack("<H", 24 if header == _CORE else 28)
    packed = header != _CORE and data.unpack("<I", 30)[0] in _PACKED
    raw = 1 if packed else (width * depth + 31) // 32 * 4 * height
    if not raw or pixels < 14 + header:
        raise data.odd("hold no picture")
    data.reaches(max(size, pixels + raw))
