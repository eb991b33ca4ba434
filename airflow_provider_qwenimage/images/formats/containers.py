"""Size and end of files that point at their pixels: TIFF and AVIF."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.images.formats.reading import ImageBytes


# TIFF field types by number of bytes
_TIFF_WIDTHS = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_TIFF_FORMATS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_TIFF_DATA = ((273, 279), (324, 325))  # offsets and lengths of strips, of tiles
_TIFF_READ = frozenset({256, 257, *_TIFF_DATA[0], *_TIFF_DATA[1]})  # width, height and where the pixels are
_TIFF_MAX_PAGES = 1000
_BIG_TIFF = 43


class _TiffLayout(NamedTuple):
    """Layouts of classic TIFF and BigTIFF, byte order first."""

    counter: str
    entry: str
    offset: str
    first: int

    @classmethod
    def of(cls, data: ImageBytes) -> _TiffLayout:
        order = "<" if data.at(0, 2) == b"II" else ">"
        if data.unpack(f"{order}H", 2)[0] == _BIG_TIFF:
            return cls(f"{order}Q", f"{order}HHQ", f"{order}Q", data.unpack(f"{order}Q", 8)[0])
        return cls(f"{order}H", f"{order}HHI", f"{order}I", data.unpack(f"{order}I", 4)[0])

    def values(self, data: ImageBytes, entry: int) -> tuple[int, tuple[int, ...]]:
        """Return tag and numbers of the entry at ``entry``; other values only have to be there."""
        tag, kind, count = data.unpack(self.entry, entry)
        place = entry + struct.calcsize(self.entry)
        size = count * _TIFF_WIDTHS.get(kind, 1)
        if size > struct.calcsize(self.offset):
            (place,) = data.unpack(self.offset, place)
        data.reaches(place + size)
        letter = _TIFF_FORMATS.get(kind) if tag in _TIFF_READ else None
        return tag, data.unpack(f"{self.offset[0]}{count}{letter}", place) if letter else ()


def _tiff_pages(data: ImageBytes) -> Iterator[dict[int, tuple[int, ...]]]:
    layout = _TiffLayout.of(data)
    offset, pages = layout.first, 0
    while offset and pages < _TIFF_MAX_PAGES:  # a chain may bite its tail
        (entries,) = data.unpack(layout.counter, offset)
        offset += struct.calcsize(layout.counter)
        width = struct.calcsize(layout.entry) + struct.calcsize(layout.offset)
        data.reaches(offset + entries * width)
        yield dict(layout.values(data, offset + number * width) for number in range(entries))
        (offset,) = data.unpack(layout.offset, offset + entries * width)
        pages += 1


def tiff_size(data: ImageBytes) -> tuple[int, int]:
    """Read the sides of the first page."""
    page = next(_tiff_pages(data), {})
    width, height = page.get(256, ()), page.get(257, ())
    if not (width and height):
        raise data.odd("have no size")
    return width[0], height[0]


def tiff_end(data: ImageBytes) -> None:
    """Check that every strip and tile of every page lies in the file."""
    for page in _tiff_pages(data):
        for offsets, lengths in _TIFF_DATA:
            for offset, length in zip(page.get(offsets, ()), page.get(lengths, ()), strict=False):
                data.reaches(offset + length)


class _Box(NamedTuple):
    kind: bytes
    start: int
    end: int


def _boxes(data: ImageBytes, start: int, end: int) -> Iterator[_Box]:
    """Walk the ISO base media boxes between two offsets."""
    while start < end:
        (size,), kind = data.unpack(">I", start), data.at(start + 4, 4)
        body = start + 8
        if size == 1:
            (size,), body = data.unpack(">Q", body), body + 8
        stop = start + size if size else end
        if stop < body:
            raise data.odd("lose their thread")
        data.reaches(stop)
        yield _Box(kind, body, stop)
        start = stop


def _inside(data: ImageBytes, *path: bytes) -> Iterator[_Box]:
    """Yield the boxes under ``path``, counted from the top."""
    spans = [(0, data.length)]
    for step, name in enumerate(path):
        found = [box for span in spans for box in _boxes(data, *span) if box.kind == name]
        if step == len(path) - 1:
            yield from found
        spans = [(box.start + (4 if name == b"meta" else 0), box.end) for box in found]


def avif_size(data: ImageBytes) -> tuple[int, int]:
    """Read the sides of the picture."""
    # Tiles, alpha and thumbnails have sizes of their own; the picture's is the largest.
    sizes = [data.unpack(">II", box.start + 4) for box in _inside(data, b"meta", b"iprp", b"ipco", b"ispe")]
    if not sizes:
        raise data.odd("have no size")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return width, height


def avif_end(data: ImageBytes) -> None:
    """Check that every box and every extent of an item lies in the file."""
    for _ in _boxes(data, 0, data.length):
        pass
    places = list(_inside(data, b"meta", b"iloc"))
    if not places:
        raise data.odd("hold no picture")
    for box in places:
        _avif_extents(data, box)


def _avif_extents(data: ImageBytes, box: _Box) -> None:
    """Check that every extent of the item location box lies in the file (ISO/IEC 14496-12, 8.11.3)."""
    version, sizes = data.at(box.start, 1)[0], data.unpack(">H", box.start + 4)[0]
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    cursor = box.start + 6

    def number(size: int) -> int:
        nonlocal cursor
        cursor += size
        return int.from_bytes(data.at(cursor - size, size), "big")

    wide = 4 if version > 1 else 2
    for _ in range(number(wide)):
        number(wide)
        method = number(2) & 15 if version else 0
        number(2)
        base = number(base_size)
        for _ in range(number(2)):
            number(index_size)
            end = base + number(offset_size) + number(length_size)
            if method == 0:  # counted from the start of the file
                data.reaches(end)
