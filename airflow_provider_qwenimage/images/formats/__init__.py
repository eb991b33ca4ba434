"""Tells from the bytes alone what image a file holds, how large it is, and whether all of it is there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from airflow_provider_qwenimage.exceptions import NotAnImage
from airflow_provider_qwenimage.images.formats import containers, raster
from airflow_provider_qwenimage.images.formats.reading import Buffer, ImageBytes, TruncatedImage, piece_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ImageFacts", "TruncatedImage", "content_type", "extension", "inspect"]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """
    What the bytes say about themselves.

    :param ext: file name extension without the dot.
    :param width: pixels, as coded: a rotation in the metadata is not applied.
    """

    content_type: str
    ext: str
    width: int
    height: int


class _Format(NamedTuple):
    name: str
    content_type: str
    ext: str
    magic: re.Pattern[bytes]
    size: Callable[[ImageBytes], tuple[int, int]]
    end: Callable[[ImageBytes], None]


def _magic(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


_BMP_MAGIC = _magic(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00")
_AVIF_MAGIC = _magic(rb"....ftyp(?:avi[fs]|(?:.{4}){1,16}?avi[fs])")
_FORMATS = (
    _Format("PNG", "image/png", "png", _magic(rb"\x89PNG\r\n\x1a\n"), raster.png_size, raster.png_end),
    _Format("JPEG", "image/jpeg", "jpg", _magic(rb"\xff\xd8\xff"), raster.jpeg_size, raster.jpeg_end),
    _Format("WebP", "image/webp", "webp", _magic(rb"RIFF....WEBP"), raster.webp_size, raster.webp_end),
    _Format("GIF", "image/gif", "gif", _magic(rb"GIF8[79]a"), raster.gif_size, raster.gif_end),
    _Format("BMP", "image/bmp", "bmp", _BMP_MAGIC, raster.bmp_size, raster.bmp_end),
    _Format(
        "TIFF",
        "image/tiff",
        "tiff",
        _magic(rb"II[*+]\x00|MM\x00[*+]"),
        containers.tiff_size,
        containers.tiff_end,
    ),
    _Format("AVIF", "image/avif", "avif", _AVIF_MAGIC, containers.avif_size, containers.avif_end),
)

_EXTENSIONS = {known.content_type: known.ext for known in _FORMATS}


def extension(content_type: str) -> str:
    """Return the file name extension of a content type that ``inspect`` gave, ``bin`` for any other."""
    return _EXTENSIONS.get(content_type, "bin")


def content_type(head: bytes) -> str | None:
    """Return the content type of an image from its first kilobyte, ``None`` for anything else."""
    return next((known.content_type for known in _FORMATS if known.magic.match(head)), None)


_PREAMBLE = rb"^\s*(?:<\?xml[^>]*\?>\s*|<!--.*?-->\s*|<!DOCTYPE\s+svg[^>]*>\s*)*"
_STRANGERS = (
    ("an SVG drawing", re.compile(_PREAMBLE + rb"<(?:\w+:)?svg\b", re.DOTALL | re.IGNORECASE)),
    (
        "an HTML page",
        re.compile(
            _PREAMBLE + rb"<(?:!doctype\s+html|html|head|body|script|title|meta|div|h1)\b", re.IGNORECASE
        ),
    ),
    ("an XML document", re.compile(rb"^\s*<(?:\?xml|[A-Za-z])")),
    ("JSON", re.compile(rb"^\s*(?:\{\s*[\"}]|\[\s*[\[\]{\"\d])")),
    ("a PDF document", re.compile(rb"^%PDF-")),
    ("a HEIC or video file", re.compile(rb"^....ftyp", re.DOTALL)),
    ("an archive", re.compile(rb"^(?:\x1f\x8b|PK\x03\x04|Rar!|7z\xbc\xaf)")),
    ("plain text", re.compile(rb"^[\t\r\n\x20-\x7e]+$")),
)
_HEAD = 1024


def _stranger(head: bytes) -> str:
    if not head.strip():
        return "an empty body"
    text = head.removeprefix(b"\xef\xbb\xbf")
    return next(
        (name for name, pattern in _STRANGERS if pattern.search(text)), "no image format this provider knows"
    )


def inspect(data: Buffer, length: int, *, proof: Literal["whole", "head"] = "whole") -> ImageFacts:
    """
    Tell type and size of an image and prove that all of it is there.

    :param data: a file is read where needed, never as a whole, and its position is lost.
    :param length: number of bytes of the image.
    :param proof: ``head`` trusts that the image is complete; ``data`` need only reach as far as its size.
    :raises NotAnImage: saying what the bytes look like instead.
    :raises TruncatedImage: for the beginning of an image.
    """
    head = piece_of(data, 0, _HEAD)
    kind = next((known for known in _FORMATS if known.magic.match(head)), None)
    if kind is None:
        raise NotAnImage(f"The bytes are not an image: they look like {_stranger(head)}")
    image = ImageBytes(data, length, kind.name)
    width, height = kind.size(image)
    if width < 1 or height < 1:
        raise image.odd(f"measure {width} x {height} pixels")
    if proof == "whole":
        kind.end(image)
    return ImageFacts(content_type=kind.content_type, ext=kind.ext, width=width, height=height)
