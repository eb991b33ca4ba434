"""Size, proof and marks of JPEG files (ISO/IEC 10918-1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.images.formats import ImageBytes

# SOF0-SOF15 without DHT (C4), JPG (C8) and DAC (CC)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LEAD, _SCAN, _END = 0xFF, 0xDA, 0xD9
_BARE = frozenset(range(0xD0, 0xD9)) | {0x01}  # markers without a segment
# Inside a scan, FF 00 is data, FF D0-D7 restarts and FF FF is fill; anything else ends the scan.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_CODED = re.compile(rb"[^\xff]|\xff\x00", re.DOTALL)
_APP1, _APP11 = 0xE1, 0xEB
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_PART = re.compile(
    rb"http://ns\.adobe\.com/xmp/extension/\x00.{40}", re.DOTALL
)  # then which, how long, where
EXIF_HEAD = b"Exif\0\0"
# A JUMBF superbox of the type c2pa (ISO/IEC 19566-5), its length spelt in 32 or 64 bits.
_C2PA = re.compile(rb"JP.{10}jumb(?:.{8})?.{4}jumdc2pa", re.DOTALL)


class JpegSegment(NamedTuple):
    """
    A marker with what belongs to it.

    :param start: offset behind the marker.
    :param end: offset behind the segment, before the scan that may follow it.
    """

    marker: int
    start: int
    end: int


def jpeg_segments(data: ImageBytes) -> Iterator[JpegSegment]:
    """Yield every segment up to the end-of-image marker, scans leapt over."""
    offset = 2
    while True:
        lead, marker = data.at(offset, 2)
        if lead != _LEAD:
            raise data.odd("lose their thread")
        if marker == _LEAD:
            offset = _fill_end(data, offset) - 1
            continue
        start = offset = offset + 2
        if marker not in _BARE and marker != _END:
            (size,) = data.unpack(">H", start)
            if size < 2:
                raise data.odd("lose their thread")
            offset = start + size
            data.reaches(offset)
        yield JpegSegment(marker, start, offset)
        if marker == _END:
            return
        if marker == _SCAN:
            offset = _scan_end(data, offset)


def _fill_end(data: ImageBytes, offset: int) -> int:
    """Return the offset of what follows a run of fill bytes."""
    for start, block in data.blocks(offset):
        if rest := block.lstrip(b"\xff"):
            return start + len(block) - len(rest)
    raise data.cut()


def _scan_end(data: ImageBytes, offset: int) -> int:
    """Return the offset of the marker that ends a scan."""
    for start, block in data.blocks(offset, overlap=1):  # the last byte may be the first half of the marker
        if found := _MARKER.search(block):
            return start + found.start()
    raise data.cut()


def jpeg_size(data: ImageBytes) -> tuple[int, int]:
    """Read the frame header, which comes before the first scan."""
    for marker, offset, _ in jpeg_segments(data):
        if marker in _FRAMES:
            _, _, height, width = data.unpack(">HBHH", offset)
            return width, height
        if marker == _SCAN:
            break
    raise data.odd("have no frame")


def jpeg_proof(data: ImageBytes) -> None:
    """Walk segments and scans to the end-of-image marker, a thumbnail's own not counted, and find data in a scan."""
    pictured = False
    for segment in jpeg_segments(data):
        if segment.marker == _SCAN and not pictured:
            pictured = _CODED.match(data.at(segment.end, 2)) is not None
        elif segment.marker in (_APP1, _APP11):
            _note(data, segment)
    if not pictured:
        raise data.odd("hold no picture")


def _note(data: ImageBytes, segment: JpegSegment) -> None:
    """Note EXIF, XMP and a C2PA manifest."""
    start = segment.start + 2
    head = data.at(start, min(segment.end - start, 80))
    if head.startswith(XMP_HEAD):
        data.note("xmp", start + len(XMP_HEAD), segment.end - start - len(XMP_HEAD))
    elif part := _XMP_PART.match(head):
        data.note("xmp part", start + part.end(), segment.end - start - part.end())
    elif head.startswith(EXIF_HEAD):
        data.note("exif", start, segment.end - start)
    elif _C2PA.match(head):
        data.note("c2pa", start, segment.end - start)
