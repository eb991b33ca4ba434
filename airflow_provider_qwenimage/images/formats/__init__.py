"""Tells from the bytes alone what image a file holds, how large it is, and whether all of it is there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from airflow_provider_qwenimage.exceptions import ImageTooLarge, NotAnImage
from airflow_provider_qwenimage.images.formats.avif import avif_proof, avif_size
from airflow_provider_qwenimage.images.formats.bmp import bmp_proof, bmp_size
from airflow_provider_qwenimage.images.formats.gif import gif_proof, gif_size
from airflow_provider_qwenimage.images.formats.jpeg import jpeg_proof, jpeg_size
from airflow_provider_qwenimage.images.formats.png import png_proof, png_size
from airflow_provider_qwenimage.images.formats.reading import Buffer, ImageBytes, TruncatedImage, piece_of
from airflow_provider_qwenimage.images.formats.strangers import stranger
from airflow_provider_qwenimage.images.formats.tiff import tiff_proof, tiff_size
from airflow_provider_qwenimage.images.formats.webp import webp_proof, webp_size
from airflow_provider_qwenimage.images.origin import Marks, read_marks

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ImageFacts", "TruncatedImage", "content_type", "extension", "inspect"]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """
    What the bytes say about themselves.

    :param ext: file name extension without the dot.
    :param width: pixels, as coded: a rotation in the metadata is not applied.
    :param marks: what they say of the image's origin; ``None`` where only the head was looked at.
    """

    content_type: str
    ext: str
    width: int
    height: int
    marks: Marks | None = None


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
    return ImageFacts(kind.content_type, kind.ext, width, height, marks)
