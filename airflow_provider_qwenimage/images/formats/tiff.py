"""Size, proof and marks of TIFF files: of their first page, which is the picture."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from airflow_provider_qwenimage.images.formats import ImageBytes
    from airflow_provider_qwenimage.images.origin import Kind

# Field types by number of bytes
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_LETTERS = {1: "B", 3: "H", 4: "I", 13: "I"}
_WIDTH, _HEIGHT = 256, 257
_PIXELS = ((273, 279), (324, 325))  # offsets and lengths of strips, of tiles
_MARKS: dict[int, Kind] = {700: "xmp", 52545: "c2pa"}
_MOST_PIECES = 1 << 16
_ENTRY = 12


class _Field(NamedTuple):
    """
    What an entry of the directory says of its values.

    :param kind: number of the field type.
    :param values: how many there are.
    :param place: offset of the first.
    """

    order: str
    kind: int
    values: int
    place: int

    def numbers(self, data: ImageBytes) -> tuple[int, ...]:
        """Return the values of a field of numbers."""
        if self.kind not in _LETTERS or self.values > _MOST_PIECES:
            raise data.odd("are cut into pieces that cannot be read")
        return data.unpack(f"{self.order}{self.values}{_LETTERS[self.kind]}", self.place)


def _page(data: ImageBytes) -> dict[int, _Field]:
    """Read the first directory by tag; every value has to lie in the file."""
    order = "<" if data.at(0, 2) == b"II" else ">"
    (offset,) = data.unpack(f"{order}I", 4)
    (entries,) = data.unpack(f"{order}H", offset)
    table = data.at(offset + 2, entries * _ENTRY)
    page: dict[int, _Field] = {}
    for number, (tag, kind, count, pointer) in enumerate(struct.iter_unpack(f"{order}HHII", table)):
        size = count * _WIDTHS.get(kind, 1)
        place = pointer if size > 4 else offset + 2 + number * _ENTRY + 8
        data.reaches(place + size)
        page.setdefault(tag, _Field(order, kind, count, place))
    data.reaches(offset + 2 + len(table) + 4)  # where the next page would be named
    return page


def tiff_size(data: ImageBytes) -> tuple[int, int]:
    """Read the sides of the first page."""
    page = _page(data)
    sides = [page[tag].numbers(data) for tag in (_WIDTH, _HEIGHT) if tag in page]
    if len(sides) < 2 or not all(sides):
        raise data.odd("have no size")
    return sides[0][0], sides[1][0]


def tiff_proof(data: ImageBytes) -> None:
    """Check that every strip and tile of the first page lies in the file, and that one holds data."""
    page, pictured = _page(data), False
    for offsets, lengths in _PIXELS:
        if offsets not in page or lengths not in page:
            continue
        places = zip(page[offsets].numbers(data), page[lengths].numbers(data), strict=False)
        for offset, length in places:
            data.reaches(offset + length)
            pictured |= length > 0
    for tag, kind in _MARKS.items():
        if tag in page:
            data.note(kind, page[tag].place, page[tag].values)
    if not pictured:
        raise data.odd("hold no picture")
