"""Size, proof and marks of PNG files (ISO/IEC 15948)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.images.formats import ImageBytes
    from airflow_provider_qwenimage.images.origin import Kind

XMP_KEYWORD = b"XML:com.adobe.xmp"
_KEYWORDS: dict[bytes, Kind] = {XMP_KEYWORD: "xmp", b"AIGC": "aigc"}
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_MOST_HEAD = 256  # bytes of a text before the text itself


class PngChunk(NamedTuple):
    """
    A chunk as it lies in the file.

    :param start: offset of its body, eight bytes behind its own beginning.
    :param size: of its body, before four bytes of checksum.
    """

    kind: bytes
    start: int
    size: int


def png_chunks(data: ImageBytes) -> Iterator[PngChunk]:
    """Walk the chunks to IEND."""
    start, kind = 8, b""
    while kind != b"IEND":
        head = data.at(start, 8)
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        data.reaches(start + 12 + size)
        yield PngChunk(kind, start + 8, size)
        start += 12 + size


def png_size(data: ImageBytes) -> tuple[int, int]:
    """Read the IHDR chunk."""
    if data.at(12, 4) != b"IHDR":
        raise data.odd("have no header")
    width, height = data.unpack(">II", 16)
    return width, height


def png_proof(data: ImageBytes) -> None:
    """Hold each chunk against its checksum, and find pixels in them."""
    pixels = 0
    for chunk in png_chunks(data):
        kind, start, size = chunk
        if data.unpack(">I", start + size)[0] != data.crc32(start - 4, 4 + size):
            raise data.odd("are damaged: a checksum in them is wrong")
        if kind == b"IDAT":
            pixels += size
        elif text := png_text(data, chunk):
            data.note(text.kind, text.start, start + size - text.start, deflated=text.deflated)
        elif kind == b"eXIf":
            data.note("exif", start, size)
        elif kind == b"caBX":
            data.note("c2pa", start, size)
    if not pixels:
        raise data.odd("hold no pixels")


class PngText(NamedTuple):
    """A text that may tell the origin: XMP, or the label of GB 45438; ``start`` is where it begins."""

    kind: Kind
    start: int
    deflated: bool


def png_text(data: ImageBytes, chunk: PngChunk) -> PngText | None:
    """Tell what text a chunk holds, however it is spelt; ``None`` for any that tells no origin."""
    kind, start, size = chunk
    if kind not in _TEXTS:
        return None
    keyword, _, rest = data.at(start, min(size, _MOST_HEAD)).partition(b"\0")
    if keyword not in _KEYWORDS:
        return None
    head, deflated = len(keyword) + 1, kind == b"zTXt"
    if deflated:
        head += 1
    elif kind == b"iTXt":  # whether it is deflated and how, a language, the keyword in that language
        deflated = rest[:1] == b"\1"
        language, _, translated = rest[2:].partition(b"\0")
        head += 2 + len(language) + 1 + len(translated.partition(b"\0")[0]) + 1
    return PngText(_KEYWORDS[keyword], start + min(head, size), deflated)
