"""Real PNG bytes that show what was asked. Same input, same bytes."""

from __future__ import annotations

import hashlib
import io
import struct
import textwrap
import zlib
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Reference:
    """An input image, shrunk to what is drawn. `size` is its own, boxes are measured in it."""

    size: tuple[int, int]
    thumb: tuple[int, int]
    rgb: bytes
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Picture:
    """All that decides the pixels of one result.

    :param step: place in a sequence, from 1; 0 when it is none.
    """

    prompt: str
    model: str
    width: int
    height: int
    seed: int
    index: int = 0
    total: int = 1
    step: int = 0
    caption: str = ""
    watermark: str = ""
    references: tuple[Reference, ...] = ()
    image_format: str = "png"

    @property
    def facts(self) -> dict[str, str]:
        """What the PNG carries as text chunks, so that a test can read it back."""
        return {
            "prompt": self.prompt,
            "model": self.model,
            "size": f"{self.width}*{self.height}",
            "seed": str(self.seed),
            "index": str(self.index),
            "step": str(self.step),
            "caption": self.caption,
        }


def draw(picture: Picture, *, least_bytes: int | None = None) -> bytes:
    """Draw `picture` as PNG (or JPEG).

    :param least_bytes: pad a PNG to about this many bytes with a private chunk that decoders skip.
    """
    # A palette image is a third of the work; colours are only needed for what was handed in.
    canvas = _colours(picture) if picture.references or picture.image_format == "jpeg" else _palette(picture)
    buffer = io.BytesIO()
    if picture.image_format == "jpeg":
        canvas.save(buffer, "JPEG", quality=80)
        return buffer.getvalue()
    info = PngImagePlugin.PngInfo()
    for key, value in picture.facts.items():
        info.add_itxt(key, value)
    canvas.save(buffer, "PNG", compress_level=1, pnginfo=info)
    return padded(buffer.getvalue(), least_bytes)


def padded(png: bytes, least_bytes: int | None) -> bytes:
    """Put a private ancillary chunk before IEND so that `png` has `least_bytes`; pixels stay as they are."""
    end, overhead = 12, 12
    missing = (least_bytes or 0) - len(png) - overhead
    if missing <= 0:
        return png
    # Not zeros: bytes that compress away would make a benchmark of transfers lie.
    body = b"qwPd" + hashlib.shake_128(hashlib.sha256(png).digest()).digest(missing)
    chunk = struct.pack(">I", missing) + body + struct.pack(">I", zlib.crc32(body))
    return png[:-end] + chunk + png[-end:]


def reference_cells(width: int, height: int, count: int) -> tuple[Box, ...]:
    """Where the input images are drawn: equal cells along the lower third, left to right in input order."""
    top = height - height // 3
    return tuple((i * width // count, top, (i + 1) * width // count, height) for i in range(count))


def shade(picture: Picture) -> tuple[int, int, int]:
    """The background: one colour per prompt, seed and index, dark enough for white text."""
    digest = hashlib.sha256(f"{picture.prompt}|{picture.seed}|{picture.index}".encode()).digest()
    return digest[0] // 2 + 16, digest[1] // 2 + 16, digest[2] // 2 + 16


def _palette(picture: Picture) -> Image.Image:
    canvas = Image.new("P", (picture.width, picture.height), 0)
    canvas.putpalette([*shade(picture), 255, 255, 255, 255, 210, 80])
    _write(canvas, picture, ink=1, accent=2)
    return canvas


def _colours(picture: Picture) -> Image.Image:
    canvas = Image.new("RGB", (picture.width, picture.height), shade(picture))
    cells = reference_cells(picture.width, picture.height, max(1, len(picture.references)))
    for reference, cell in zip(picture.references, cells, strict=False):
        _paste(canvas, reference, cell)
    _write(canvas, picture, ink=(255, 255, 255), accent=(255, 210, 80))
    return canvas


def _paste(canvas: Image.Image, reference: Reference, cell: Box) -> None:
    wide, high = cell[2] - cell[0], cell[3] - cell[1]
    thumb = Image.frombytes("RGB", reference.thumb, reference.rgb)
    canvas.paste(thumb.resize((wide, high), Image.Resampling.NEAREST), cell[:2])
    pen = ImageDraw.Draw(canvas)
    for box in reference.boxes:
        left, top, right, bottom = (min(edge, reference.size[i % 2]) for i, edge in enumerate(box))
        across, down = wide / reference.size[0], high / reference.size[1]
        corners = [
            (cell[0] + min(left, right) * across, cell[1] + min(top, bottom) * down),
            (cell[0] + max(left, right) * across, cell[1] + max(top, bottom) * down),
        ]
        pen.rectangle(corners, outline=(255, 0, 0), width=max(2, wide // 100))


def _write(canvas: Image.Image, picture: Picture, *, ink: object, accent: object) -> None:
    pen = ImageDraw.Draw(canvas)
    unit = max(12, min(picture.width, picture.height) // 28)
    columns = max(8, int(picture.width * 0.9 / (unit * 0.55)))
    lines = textwrap.wrap(picture.prompt, columns)[:9]
    notes = [f"{picture.model}  {picture.width}*{picture.height}", f"seed {picture.seed}"]
    notes.append(f"image {picture.index + 1} of {picture.total}")
    notes += textwrap.wrap(picture.caption, columns)[:2]
    margin = unit
    for row, line in enumerate([*lines, "", *notes]):
        colour = ink if row < len(lines) else accent
        pen.text((margin, margin + row * int(unit * 1.4)), line, fill=colour, font=_font(unit))  # type: ignore[arg-type]
    if picture.step:
        place = (picture.width - unit * 5, picture.height * 2 // 5)
        pen.text(place, str(picture.step), fill=accent, font=_font(unit * 5))  # type: ignore[arg-type]
    if picture.watermark:
        place = (picture.width - unit * 8, picture.height - unit * 2)
        pen.text(place, picture.watermark, fill=ink, font=_font(unit))  # type: ignore[arg-type]


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
