"""Size and end of PNG, JPEG, WebP, GIF and BMP files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.images.formats.reading import ImageBytes


def png_size(data: ImageBytes) -> tuple[int, int]:
    """Read the IHDR chunk."""
    if data.at(12, 4) != b"IHDR":
        raise data.odd("have no header")
    width, height = data.unpack(">II", 16)
    return width, height


def png_end(data: ImageBytes) -> None:
    """Walk the chunks to IEND."""
    offset, kind = 8, b""
    while kind != b"IEND":
        (length,), kind = data.unpack(">I", offset), data.at(offset + 4, 4)
        offset += 12 + length
        data.reaches(offset)


# SOF0-SOF15 without DHT (C4), JPG (C8) and DAC (CC)
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_LEAD, _JPEG_SCAN, _JPEG_END = 0xFF, 0xDA, 0xD9
_JPEG_BARE = frozenset(range(0xD0, 0xD9)) | {0x01}  # markers without a segment
# Inside a scan, FF 00 is data, FF D0-D7 restarts and FF FF is fill; anything else ends the scan.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_BLOCK = 1 << 18


def _jpeg_segments(data: ImageBytes) -> Iterator[tuple[int, int]]:
    """Yield marker and offset of every segment up to the end-of-image marker, scans leapt over."""
    offset = 2
    while True:
        lead, marker = data.at(offset, 2)
        if lead != _JPEG_LEAD:
            raise data.odd("lose their thread")
        if marker == _JPEG_LEAD:
            offset += 1
            continue
        offset += 2
        yield marker, offset
        if marker == _JPEG_END:
            return
        if marker in _JPEG_BARE:
            continue
        offset += data.unpack(">H", offset)[0]
        if marker == _JPEG_SCAN:
            offset = _jpeg_scan_end(data, offset)


def _jpeg_scan_end(data: ImageBytes, offset: int) -> int:
    while offset < data.length:
        block = data.at(offset, min(_BLOCK, data.length - offset))
        if found := _JPEG_MARKER.search(block):
            return offset + found.start()
        offset += max(len(block) - 1, 1)  # the last byte may be the first half of a marker
    raise data.cut()


def jpeg_size(data: ImageBytes) -> tuple[int, int]:
    """Read the frame header, which comes before the first scan."""
    for marker, offset in _jpeg_segments(data):
        if marker in _JPEG_FRAMES:
            _, _, height, width = data.unpack(">HBHH", offset)
            return width, height
        if marker == _JPEG_SCAN:
            break
    raise data.odd("have no frame")


def jpeg_end(data: ImageBytes) -> None:
    """Walk segments and scans to the end-of-image marker; a thumbnail's own does not count."""
    for _ in _jpeg_segments(data):
        pass


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


def webp_end(data: ImageBytes) -> None:
    """Hold the RIFF size against the length."""
    data.reaches(8 + data.unpack("<I", 4)[0])


def gif_size(data: ImageBytes) -> tuple[int, int]:
    """Read the logical screen."""
    width, height = data.unpack("<HH", 6)
    return width, height


def _gif_colors(packed: int) -> int:
    return 3 << (packed & 7) + 1 if packed & 0x80 else 0


def gif_end(data: ImageBytes) -> None:
    """Walk the blocks to the trailer."""
    offset = 13 + _gif_colors(data.at(10, 1)[0])
    while (kind := data.at(offset, 1)) != b";":
        if kind == b",":
            offset += 11 + _gif_colors(data.at(offset + 9, 1)[0])
        elif kind == b"!":
            offset += 2
        else:
            raise data.odd("lose their thread")
        while size := data.at(offset, 1)[0]:
            offset += 1 + size
        offset += 1


_BMP_CORE = 12  # BITMAPCOREHEADER has 16-bit sides


def bmp_size(data: ImageBytes) -> tuple[int, int]:
    """Read the sides of either header."""
    (header,) = data.unpack("<I", 14)
    width, height = data.unpack("<HH" if header == _BMP_CORE else "<ii", 18)
    return width, abs(height)  # negative means top-down


def bmp_end(data: ImageBytes) -> None:
    """Hold the file size, and the size of uncompressed pixels, against the length."""
    size, _, pixels, header = data.unpack("<IIII", 2)
    width, height = bmp_size(data)
    (depth,) = data.unpack("<H", 24 if header == _BMP_CORE else 28)
    packed = header != _BMP_CORE and data.unpack("<I", 30)[0] in (1, 2, 4, 5)  # RLE, JPEG, PNG
    raw = 0 if packed else (width * depth + 31) // 32 * 4 * height
    data.reaches(max(size, pixels + raw))
