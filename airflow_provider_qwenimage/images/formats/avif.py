"""Size, proof and marks of AVIF files: ISO base media boxes (ISO/IEC 14496-12) that point at their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.images.formats import ImageBytes

_IN_FILE = 0  # construction method of extents that are counted from the start of the file
_MOST_ITEMS = 1 << 14
_XMP_TYPE = b"\0application/rdf+xml\0"
_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_Item = Literal["picture", "xmp", "exif"]
_XMP = b"xmp "  # an item of the kind mime, and of that type
_KINDS: dict[bytes, _Item] = {b"av01": "picture", _XMP: "xmp", b"Exif": "exif"}


class _Box(NamedTuple):
    kind: bytes
    start: int
    end: int


def _boxes(data: ImageBytes, start: int, end: int) -> Iterator[_Box]:
    """Walk the boxes between two offsets."""
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


def _inside(data: ImageBytes, *path: bytes, span: tuple[int, int] | None = None) -> Iterator[_Box]:
    """Yield the boxes under ``path``, counted from the top or within ``span``."""
    for box in _boxes(data, *(span or (0, data.length))):
        if box.kind == path[0] and len(path) == 1:
            yield box
        elif box.kind == path[0]:
            start = box.start + (4 if box.kind == b"meta" else 0)
            yield from _inside(data, *path[1:], span=(start, box.end))


def avif_size(data: ImageBytes) -> tuple[int, int]:
    """Read the sides of the picture."""
    # Tiles, alpha and thumbnails have sizes of their own; the picture's is the largest.
    width = height = 0
    for box in _inside(data, b"meta", b"iprp", b"ipco", b"ispe"):
        size = data.unpack(">II", box.start + 4)
        if size[0] * size[1] > width * height:
            width, height = size
    if not (width and height):
        raise data.odd("have no size")
    return width, height


class _Numbers:
    """Reads one number after the other from a box, and none behind it."""

    def __init__(self, data: ImageBytes, box: _Box, *, skip: int) -> None:
        self._data = data
        self._box = box
        self._cursor = box.start + skip

    def next(self, size: int) -> int:
        """Return the next number, of ``size`` bytes."""
        if self._cursor + size > self._box.end:
            raise self._data.odd("lose their thread")
        self._cursor += size
        return int.from_bytes(self._data.at(self._cursor - size, size), "big")


def _items(data: ImageBytes) -> dict[int, _Item]:
    """Return by id what the item information box says of the items that count (8.11.6)."""
    found: dict[int, _Item] = {}
    for box in _inside(data, b"meta", b"iinf"):
        version = data.at(box.start, 1)[0]
        for entry in _boxes(data, box.start + (8 if version else 6), box.end):
            numbers = _Numbers(data, entry, skip=4)
            item = numbers.next(4 if data.at(entry.start, 1)[0] > 2 else 2)
            numbers.next(2)
            kind = numbers.next(4).to_bytes(4, "big")
            if kind == b"mime":
                kind = _XMP if _XMP_TYPE in data.at(entry.start, min(entry.end - entry.start, 256)) else kind
            if kind in _KINDS:
                found[item] = _KINDS[kind]
            if len(found) > _MOST_ITEMS:
                raise data.odd("fall into more parts than an image has")
    return found


class _Extent(NamedTuple):
    item: int
    method: int
    start: int
    end: int


def _extents(data: ImageBytes, box: _Box) -> Iterator[_Extent]:
    """Yield where the item location box says that the bytes of the items are (8.11.3)."""
    version, sizes = data.at(box.start, 1)[0], data.unpack(">H", box.start + 4)[0]
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    numbers = _Numbers(data, box, skip=6)
    wide = 4 if version > 1 else 2
    for _ in range(numbers.next(wide)):
        item = numbers.next(wide)
        method = numbers.next(2) & 15 if version else _IN_FILE
        numbers.next(2)
        base = numbers.next(base_size)
        for _ in range(numbers.next(2)):
            numbers.next(index_size)
            start = base + numbers.next(offset_size)
            yield _Extent(item, method, start, start + numbers.next(length_size))


def avif_proof(data: ImageBytes) -> None:
    """Check that every box and every extent of an item lies in the file, and that coded pictures are among them."""
    for box in _boxes(data, 0, data.length):
        if box.kind == b"uuid" and data.at(box.start, min(16, box.end - box.start)) == _C2PA:
            data.note("c2pa", box.start, box.end - box.start)
    items = _items(data)
    pictured = False
    for box in _inside(data, b"meta", b"iloc"):
        for extent in _extents(data, box):
            kind = items.get(extent.item)
            pictured |= kind == "picture" and extent.end > extent.start
            if extent.method == _IN_FILE:
                data.reaches(extent.end)
                if kind == "xmp":
                    data.note("xmp", extent.start, extent.end - extent.start)
                elif kind == "exif":  # behind the offset of its own beginning
                    data.note("exif", extent.start + 4, max(extent.end - extent.start - 4, 0))
    if not pictured:
        raise data.odd("hold no picture")
