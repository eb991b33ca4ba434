"""Image files as hypothesis draws them: the structure of a format with any contents, and what damages a file."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

sides = st.integers(1, 1 << 14)
bodies = st.binary(max_size=80)
data = st.binary(min_size=1, max_size=300)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@st.composite
def png(draw: st.DrawFn) -> bytes:
    kinds = st.sampled_from([b"tEXt", b"iTXt", b"eXIf", b"caBX", b"acTL", b"zzZz", b"IDAT"])
    chunks = [png_chunk(draw(kinds), draw(bodies)) for _ in range(draw(st.integers(0, 6)))]
    chunks.insert(draw(st.integers(0, len(chunks))), png_chunk(b"IDAT", draw(data)))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", draw(sides), draw(sides), 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IEND", b"")


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


@st.composite
def jpeg(draw: st.DrawFn) -> bytes:
    def metadata() -> bytes:
        markers = st.sampled_from([0xC4, 0xDB, 0xDD, 0xE0, 0xE1, 0xEB, 0xFE])
        segments = [
            b"\xff" * draw(st.integers(0, 3)) + jpeg_segment(draw(markers), draw(bodies))
            for _ in range(draw(st.integers(0, 3)))
        ]
        return b"".join(segments)

    def scan(coded: bytes) -> bytes:
        restart = draw(st.sampled_from([b"", b"\xff\xd3", b"\xff\xff\xff\xd0"]))
        return jpeg_segment(0xDA, draw(bodies)) + coded.replace(b"\xff", b"\xff\0") + restart

    frame = jpeg_segment(
        draw(st.sampled_from([0xC0, 0xC2, 0xC9])),
        struct.pack(">BHHB", 8, draw(sides), draw(sides), 1) + draw(bodies),
    )
    scans = [scan(draw(data)), *(metadata() + scan(draw(bodies)) for _ in range(draw(st.integers(0, 2))))]
    return b"\xff\xd8" + metadata() + frame + metadata() + b"".join(scans) + metadata() + b"\xff\xd9"


def riff_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


@st.composite
def webp(draw: st.DrawFn) -> bytes:
    def picture() -> bytes:
        pixels = draw(data)
        width, height = draw(sides) - 1, draw(sides) - 1
        if draw(st.booleans()):
            head = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", max(width, 1), max(height, 1))
            return riff_chunk(b"VP8 ", head + pixels)
        return riff_chunk(b"VP8L", b"\x2f" + struct.pack("<I", width | height << 14) + pixels)

    kinds = st.sampled_from([b"ALPH", b"ICCP", b"EXIF", b"XMP ", b"C2PA", b"zzzz"])
    others = [riff_chunk(draw(kinds), draw(bodies)) for _ in range(draw(st.integers(0, 4)))]
    if draw(st.booleans()):
        others.insert(draw(st.integers(0, len(others))), riff_chunk(b"ANMF", bytes(16) + picture()))
    else:
        others.insert(draw(st.integers(0, len(others))), picture())
    extended = struct.pack("<IHBHB", draw(st.integers(0, 63)), draw(sides) - 1, 0, draw(sides) - 1, 0)
    first = picture() if draw(st.booleans()) else riff_chunk(b"VP8X", extended)
    body = b"WEBP" + first + b"".join(others)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@st.composite
def gif(draw: st.DrawFn) -> bytes:
    def table() -> tuple[int, bytes]:
        size = draw(st.integers(-1, 7))
        return (0, b"") if size < 0 else (0x80 | size, bytes(3 << size + 1))

    def pieces(*least: bytes) -> bytes:
        parts = [*least, *draw(st.lists(st.binary(min_size=1, max_size=255), max_size=3))]
        return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"

    def image(*least: bytes) -> bytes:
        packed, colours = table()
        return b"," + struct.pack("<HHHHB", 0, 0, 1, 1, packed) + colours + b"\x08" + pieces(*least)

    packed, colours = table()
    blocks = [
        image()
        if draw(st.booleans())
        else b"!" + draw(st.sampled_from([b"\xf9", b"\xfe", b"\xff"])) + pieces()
        for _ in range(draw(st.integers(0, 3)))
    ]
    blocks.insert(draw(st.integers(0, len(blocks))), image(b"\x44"))
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", draw(sides), draw(sides), packed, 0, 0)
        + colours
        + b"".join(blocks)
        + b";"
    )


@st.composite
def bmp(draw: st.DrawFn) -> bytes:
    width, height, depth = (
        draw(st.integers(1, 40)),
        draw(st.integers(1, 40)),
        draw(st.sampled_from([1, 4, 8, 24, 32])),
    )
    pixels = bytes((width * depth + 31) // 32 * 4 * height)
    upside = draw(st.sampled_from([1, -1]))
    header = struct.pack("<IiiHHIIiiII", 40, width, height * upside, 1, depth, 0, len(pixels), 0, 0, 0, 0)
    if draw(st.booleans()):
        header = struct.pack("<IHHHH", 12, width, height, 1, depth)
    start = 14 + len(header)
    return struct.pack("<2sIII", b"BM", start + len(pixels), 0, start) + header + pixels


@st.composite
def tiff(draw: st.DrawFn) -> bytes:
    order = draw(st.sampled_from("<>"))
    strips = draw(st.lists(data, min_size=1, max_size=4))
    tiles = draw(st.booleans())
    tags = draw(st.lists(st.sampled_from([254, 258, 259, 700, 34665, 40000]), max_size=4, unique=True))
    entries = len(tags) + 4
    place = 8 + 2 + entries * 12 + 4
    tail = b""

    def field(tag: int, kind: int, values: list[int]) -> bytes:
        nonlocal tail
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            pointer, tail = struct.pack(f"{order}I", place + len(tail)), tail + packed
        else:
            pointer = packed.ljust(4, b"\0")
        return struct.pack(f"{order}HHI", tag, kind, len(values)) + pointer

    table = field(256, draw(st.sampled_from([3, 4])), [draw(sides)]) + field(257, 4, [draw(sides)])
    table += b"".join(field(tag, 3, draw(st.lists(sides, min_size=1, max_size=5))) for tag in tags)
    first = place + len(tail) + (8 * len(strips) if len(strips) > 1 else 0)
    offsets = [first + sum(map(len, strips[:number])) for number in range(len(strips))]
    table += field(324 if tiles else 273, 4, offsets) + field(325 if tiles else 279, 4, [*map(len, strips)])
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, entries)
    return head + table + struct.pack(f"{order}I", 0) + tail + b"".join(strips)


def box(kind: bytes, body: bytes, *, full: int | None = None) -> bytes:
    body = body if full is None else struct.pack(">I", full << 24) + body
    return struct.pack(">I", len(body) + 8) + kind + body


@st.composite
def avif(draw: st.DrawFn) -> bytes:
    extents = draw(st.lists(data, min_size=1, max_size=3))
    wide = draw(st.booleans())
    infe = struct.pack(">IH4s" if wide else ">HH4s", 1, 0, b"av01") + b"\0"
    iinf = box(b"iinf", struct.pack(">H", 1) + box(b"infe", infe, full=3 if wide else 2), full=0)
    ispe = box(b"ispe", struct.pack(">II", draw(sides), draw(sides)), full=0)
    iprp = box(b"iprp", box(b"ipco", ispe + box(b"pixi", draw(bodies))))
    others = box(draw(st.sampled_from([b"hdlr", b"pitm", b"iref", b"idat"])), draw(bodies))
    ftyp = box(b"ftyp", draw(st.sampled_from([b"avif\0\0\0\0mif1", b"mif1\0\0\0\0miafavif"])))

    def meta(start: int) -> bytes:
        places = [start + sum(map(len, extents[:number])) for number in range(len(extents))]
        listed = b"".join(
            struct.pack(">II", place, len(part)) for place, part in zip(places, extents, strict=True)
        )
        iloc = struct.pack(">BBHHHH", 0x44, 0, 1, 1, 0, len(extents)) + listed
        return box(b"meta", others + iinf + iprp + box(b"iloc", iloc, full=0), full=0)

    pixels = box(b"mdat", b"".join(extents))
    return ftyp + meta(len(ftyp) + len(meta(0)) + 8) + pixels


FORMATS = {
    "png": png(),
    "jpg": jpeg(),
    "webp": webp(),
    "gif": gif(),
    "bmp": bmp(),
    "tiff": tiff(),
    "avif": avif(),
}

_NUMBERS = st.sampled_from([0, 1, 2, 7, 8, 127, 255, 256, 65535, 2**16, 2**31 - 1, 2**31, 2**32 - 1])


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """One thing that happens to a file; places are told in thousandths of it."""
    how = draw(st.sampled_from(["cut", "flip", "number", "repeat", "remove", "insert", "append", "nothing"]))
    place, other = draw(st.integers(0, 999)), draw(st.integers(0, 64))
    value, layout, some = draw(_NUMBERS), draw(st.sampled_from(["<I", ">I", "<H", ">H", "B"])), draw(bodies)

    def spoil(whole: bytes) -> bytes:
        at = len(whole) * place // 1000
        before, behind = whole[:at], whole[at:]
        number = struct.pack(layout, value & (1 << 8 * struct.calcsize(layout)) - 1)
        return {
            "cut": before,
            "flip": before + bytes([behind[0] ^ 1 << other % 8]) + behind[1:] if behind else whole,
            "number": before + number + behind[len(number) :],
            "repeat": before + behind[:other] * 3 + behind[other:],
            "remove": before + behind[other:],
            "insert": before + some + behind,
            "append": whole + some,
            "nothing": whole,
        }[how]

    return spoil


damages = st.lists(damage(), min_size=1, max_size=4)
