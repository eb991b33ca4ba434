"""Tells from the bytes alone what image a file holds, how large it is, and whether all of it is there."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal, NamedTuple

from airflow_provider_qwenimage.exceptions import ImageTooLarge, NotAnImage
from airflow_provider_qwenimage.images.formats.avif import avif_proof, avif_size
from airflow_provider_qwenimage.images.formats.bmp import bmp_proof, bmp_size
from airflow_provider_qwenimage.images.formats.gif import gif_proof, gif_size
from airflow_provider_qwenimage.images.formats.jpeg import jpeg_proof, jpeg_size
from airflow_provider_qwenimage.images.formats.png import png_proof, png_size
from airflow_provider_qwenimage.images.formats.strangers import stranger
from airflow_provider_qwenimage.images.formats.tiff import tiff_proof, tiff_size
from airflow_provider_qwenimage.images.formats.webp import webp_proof, webp_size
from airflow_provider_qwenimage.images.origin import Marks, Piece, read_marks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_qwenimage.images.origin import Kind

__all__ = ["Buffer", "ImageBytes", "ImageFacts", "TruncatedImage", "content_type", "extension", "inspect"]

Buffer = bytes | bytearray | IO[bytes]  # a file must be seekable

_BLOCK = 1 << 18
_FIRST_BLOCK = 1 << 10
# A look takes some microseconds. GIF has the smallest parts of any image worth storing: a length for each 255 bytes.
_FREE_LOOKS = 4096
_BYTES_A_LOOK = 200
_MOST_NOTES = 64
MOST_NOTED = 1 << 20  # bytes read of all the pieces that tell the origin; a packet of XMP has some thousand


def piece_of(data: Buffer, offset: int, size: int) -> bytes:
    """Return ``size`` bytes from ``offset``, fewer where ``data`` ends."""
    if isinstance(data, bytes | bytearray):
        return bytes(data[offset : offset + size])
    data.seek(offset)
    return data.read(size)


def blocks_between(data: Buffer, start: int, end: int) -> Iterator[bytes | memoryview]:
    """Yield the bytes between two offsets; what lies in memory is not copied."""
    if isinstance(data, bytes | bytearray):
        with memoryview(data) as whole, whole[start:end] as part:
            yield part
        return
    for offset in range(start, end, _BLOCK):
        yield piece_of(data, offset, min(_BLOCK, end - offset))


class TruncatedImage(NotAnImage):
    """The bytes begin as an image and end before it does."""


class _Note(NamedTuple):
    """Where a piece lies that may tell the origin of the image."""

    kind: Kind
    offset: int
    size: int
    deflated: bool


class ImageBytes:
    """
    Random access that turns every read behind the end into ``TruncatedImage``.

    It counts the looks: a file whose parts hold no bytes is refused, however many parts it says it has.
    """

    def __init__(self, data: Buffer, length: int, name: str) -> None:
        self._data = data
        self._looks = _FREE_LOOKS + length // _BYTES_A_LOOK
        self._notes: list[_Note] = []
        self._signed = False
        self.c2pa_bytes = 0
        self.length = length
        self.name = name

    def at(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset``."""
        self._looks -= 1
        if self._looks < 0:
            raise self.odd("fall into more parts than an image has")
        self.reaches(offset + size)
        piece = piece_of(self._data, offset, size)
        if len(piece) < size:  # what is at hand is only the head of ``length`` bytes
            raise self.cut()
        return piece

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        """Return the numbers at ``offset`` (layout as in ``struct``)."""
        return struct.unpack(layout, self.at(offset, struct.calcsize(layout)))

    def blocks(self, offset: int, *, overlap: int = 0) -> Iterator[tuple[int, bytes]]:
        """
        Yield offset and bytes of one block after the other, up to the end.

        They grow, so that a search that ends soon has read little.

        :param overlap: bytes that a block repeats of the one before it.
        """
        size = _FIRST_BLOCK
        while offset < self.length:
            piece = self.at(offset, min(size, self.length - offset))
            yield offset, piece
            offset += max(len(piece) - overlap, 1)
            size = min(2 * size, _BLOCK)

    def crc32(self, offset: int, size: int) -> int:
        """Return the checksum of ``size`` bytes from ``offset``, which are not copied where they lie in memory."""
        self.reaches(offset + size)
        if isinstance(self._data, bytes | bytearray) and offset + size <= len(self._data):
            with memoryview(self._data) as whole, whole[offset : offset + size] as part:
                return zlib.crc32(part)
        value = 0
        for start in range(offset, offset + size, _BLOCK):
            value = zlib.crc32(self.at(start, min(_BLOCK, offset + size - start)), value)
        return value

    def note(self, kind: Kind, offset: int, size: int, *, deflated: bool = False) -> None:
        """Remember a piece that a walk comes past and that may tell the origin of the image; a signature, always."""
        self.c2pa_bytes += size if kind == "c2pa" else 0
        if len(self._notes) < _MOST_NOTES or (kind == "c2pa" and not self._signed):
            self._signed |= kind == "c2pa"
            self._notes.append(_Note(kind, offset, size, deflated))

    @property
    def noted(self) -> bool:
        """Whether a walk came past anything that may tell the origin."""
        return bool(self._notes)

    def pieces(self) -> Iterator[Piece]:
        """Yield what was noted, as far as it is worth reading."""
        left = MOST_NOTED
        for kind, offset, size, deflated in self._notes:
            data = b"" if kind == "c2pa" else self.text(offset, min(size, left), deflated=deflated)[:left]
            left -= len(data)
            yield Piece(kind, data)

    def text(self, offset: int, size: int, *, deflated: bool = False) -> bytes:
        """Return a text, inflated where it is deflated and as far as that can be read."""
        data = self.at(offset, min(size, MOST_NOTED))
        if not deflated:
            return data
        try:
            return zlib.decompressobj().decompress(data, MOST_NOTED)
        except zlib.error:
            return b""

    def reaches(self, end: int) -> None:
        """Raise where the image should go on to ``end`` and does not."""
        if end > self.length:
            raise self.cut()

    def cut(self) -> TruncatedImage:
        """Return the error for an image that ends too early."""
        return TruncatedImage(f"The {self.name} image is truncated: it ends after {self.length} bytes")

    def odd(self, what: str) -> NotAnImage:
        """Return the error for bytes that contradict their own beginning."""
        return NotAnImage(f"The bytes begin like a {self.name} image, but {what}")


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """
    What the bytes say about themselves.

    :param ext: file name extension without the dot.
    :param width: pixels, as coded: a rotation in the metadata is not applied.
    :param marks: what they say of the image's origin; ``None`` where only the head was looked at.
    :param c2pa_bytes: of their C2PA manifest, at most.
    """

    content_type: str
    ext: str
    width: int
    height: int
    marks: Marks | None = None
    c2pa_bytes: int = 0


class _Format(NamedTuple):
    name: str
    content_type: str
    ext: str
    magic: re.Pattern[bytes]
    size: Callable[[ImageBytes], tuple[int, int]]
    proof: Callable[[ImageBytes], None]


def _magic(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


_BMP_MAGIC = _magic(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00")
_AVIF_MAGIC = _magic(rb"....ftyp(?:avi[fs]|(?:.{4}){1,16}?avi[fs])")
_FORMATS = (
    _Format("PNG", "image/png", "png", _magic(rb"\x89PNG\r\n\x1a\n"), png_size, png_proof),
    _Format("JPEG", "image/jpeg", "jpg", _magic(rb"\xff\xd8\xff"), jpeg_size, jpeg_proof),
    _Format("WebP", "image/webp", "webp", _magic(rb"RIFF....WEBP"), webp_size, webp_proof),
    _Format("GIF", "image/gif", "gif", _magic(rb"GIF8[79]a"), gif_size, gif_proof),
    _Format("BMP", "image/bmp", "bmp", _BMP_MAGIC, bmp_size, bmp_proof),
    _Format("TIFF", "image/tiff", "tiff", _magic(rb"II\*\x00|MM\x00\*"), tiff_size, tiff_proof),
    _Format("AVIF", "image/avif", "avif", _AVIF_MAGIC, avif_size, avif_proof),
)

EXTENSIONS = {known.content_type: known.ext for known in _FORMATS}
_HEAD = 1024
_MOST_PIXELS = 1 << 28  # 16384 squared; the largest image of any model has a sixteenth of them


def extension(content_type: str) -> str:
    """Return the file name extension of a content type that ``inspect`` gave, ``bin`` for any other."""
    return EXTENSIONS.get(content_type, "bin")


def content_type(head: bytes) -> str | None:
    """Return the content type of an image from its first kilobyte, ``None`` for anything else."""
    return next((known.content_type for known in _FORMATS if known.magic.match(head)), None)


def inspect(data: Buffer, length: int, *, proof: Literal["whole", "head"] = "whole") -> ImageFacts:
    """
    Tell type and size of an image and prove that all of it is there.

    :param data: a file is read where needed, never as a whole, and its position is lost.
    :param length: number of bytes of the image.
    :param proof: ``head`` trusts that the image is complete; ``data`` need only reach as far as its size.
    :raises NotAnImage: saying what the bytes look like instead.
    :raises TruncatedImage: for the beginning of an image.
    :raises ImageTooLarge: for more pixels than any model makes.
    """
    head = piece_of(data, 0, _HEAD)
    kind = next((known for known in _FORMATS if known.magic.match(head)), None)
    if kind is None:
        raise NotAnImage(f"The bytes are not an image: they look like {stranger(head)}")
    image = ImageBytes(data, length, kind.name)
    width, height = kind.size(image)
    if width < 1 or height < 1:
        raise image.odd(f"measure {width} x {height} pixels")
    if width * height > _MOST_PIXELS:
        raise ImageTooLarge(f"The {kind.name} image measures {width} x {height} pixels: more than 2^28")
    marks = None
    if proof == "whole":
        kind.proof(image)
        marks = read_marks(image.pieces()) if image.noted else Marks()
    return ImageFacts(kind.content_type, kind.ext, width, height, marks, image.c2pa_bytes)
