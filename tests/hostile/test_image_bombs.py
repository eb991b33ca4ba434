"""
No 64 MiB cost more than a second and 16 MiB to look at, whatever they say of themselves.

CPU seconds and peak memory are measured in a process of its own. Each bomb took seconds, minutes or gigabytes of a
reader that believed it.
"""

from __future__ import annotations

import io
import struct
import zlib
from itertools import repeat
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from hostile.measured import MIB, Measuring

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 64 * MIB
REFUSALS = {"", "NotAnImage", "TruncatedImage", "ImageTooLarge"}


def encoded(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((64, 48), 90).save(out, kind, **options)
    return out.getvalue()


def filled(part: bytes, *, size: int = SIZE) -> bytes:
    return part * (size // len(part))


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


PNG = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0))
JPEG = encoded("JPEG")
SCAN = JPEG.index(b"\xff\xda")
EMPTY_SCAN = JPEG[SCAN : SCAN + 2 + int.from_bytes(JPEG[SCAN + 2 : SCAN + 4], "big")]
GIF = encoded("GIF")
GIF_IMAGE = GIF.index(b",", 13 + 768)
VP8X = b"VP8X" + struct.pack("<IIHBHB", 10, 0, 63, 0, 47, 0)
AVIF = encoded("AVIF")


def riff(body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def tiff(*entries: tuple[int, int, int, int], link: int = 0, rest: bytes = b"") -> bytes:
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + struct.pack("<I", link) + rest


SIDES = ((256, 4, 1, 64), (257, 4, 1, 48))


def box(kind: bytes, body: bytes, *, full: bool = False) -> bytes:
    body = b"\0\0\0\0" + body if full else body
    return struct.pack(">I", len(body) + 8) + kind + body


FTYP = box(b"ftyp", b"avif\0\0\0\0avifmif1")


def avif(*children: bytes, items: bytes = b"", size: tuple[int, int] = (64, 48), rest: bytes = b"") -> bytes:
    ispe = box(b"ispe", struct.pack(">II", *size), full=True)
    properties = box(b"iprp", box(b"ipco", ispe + items))
    return FTYP + box(b"meta", properties + b"".join(children), full=True) + rest


def iloc(items: int, extents: int) -> bytes:
    """Item locations whose numbers have no bytes: a count alone makes the work."""
    listed = struct.pack(">HHHH", 1, 0, 0, extents) * items
    return box(b"iloc", b"\1\0\0\0" + struct.pack(">HH", 0, items) + listed)


INFE = box(b"infe", b"\2\0\0\0" + struct.pack(">HH4s", 1, 0, b"av01") + b"\0")


def xmp(body: bytes) -> bytes:
    head = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    return b"XML:com.adobe.xmp" + bytes(5) + head + body


def text_png(*bodies: bytes, kind: bytes = b"iTXt") -> bytes:
    texts = b"".join(chunk(kind, body) for body in bodies)
    return PNG + texts + chunk(b"IDAT", b"pixels") + chunk(b"IEND")


def described(attributes: bytes) -> bytes:
    return text_png(xmp(b"<rdf:Description " + attributes + b"/>"))


def exif(entries: int, pointer: int) -> bytes:
    table = struct.pack("<HHII", 0x8769, 4, 1, pointer) * entries
    return (
        JPEG[:2]
        + b"\xff\xe1"
        + struct.pack(">H", 18 + len(table))
        + b"Exif\0\0II*\0"
        + struct.pack("<IH", 8, entries)
        + table
        + JPEG[2:]
    )


def manifest(body: bytes) -> bytes:
    """A store of C2PA manifests, as far as it must go for c2pa-python to look into ``body``."""
    for kind, label in (("6332636c", b"c2pa.claim.v2"), ("63326d61", b"urn:c2pa:1"), ("63327061", b"c2pa")):
        about = bytes.fromhex(f"{kind}00110010800000aa00389b71") + b"\3" + label + b"\0"
        body = box(b"jumb", box(b"jumd", about) + body)
    return text_png(body, kind=b"caBX")


LARGE = 10 * MIB
XMP_PART = (
    b"\xff\xe1"
    + struct.pack(">H", 65_002)
    + (b"http://ns.adobe.com/xmp/extension/\0" + b"<a/>" * 16_250)[:65_000]
)
PACKED = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(SIZE), 9)
ENTITIES = b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>" + b"".join(
    b"<!ENTITY %c '%s'>" % (97 + number, b"&%c;" % (96 + number) * 10) for number in range(1, 20)
)  # fmt: skip

# Files that are whole, with marks of origin that are dear to read.
MARKS = {
    "xmp of blanks": lambda: text_png(xmp(b" " * LARGE)),
    "xmp of elements": lambda: text_png(xmp(b"<a/>" * (LARGE // 4))),
    "xmp of descriptions": lambda: text_png(xmp(b"<rdf:Description/>" * (LARGE // 18))),
    "xmp that is deep": lambda: text_png(xmp(b"<a>" * (LARGE // 3))),
    "xmp of attributes": lambda: described(b" ".join(b"a%d=''" % number for number in range(LARGE // 12))),
    "xmp of namespaces": lambda: described(b" ".join(b"xmlns:a%d='b'" % number for number in range(LARGE // 18))),
    "xmp of one name": lambda: text_png(xmp(b"<" + b"a" * LARGE)),
    "xmp of characters": lambda: text_png(xmp(b"<rdf:Description><a>" + b"&#65;" * (LARGE // 5))),
    "xmp of entities": lambda: text_png(b"XML:com.adobe.xmp" + bytes(5) + ENTITIES + b"]><x>&s;</x>"),
    "xmp of everything": lambda: text_png(xmp(bytes(SIZE))),
    "xmp in many chunks": lambda: text_png(*repeat(xmp(b"<a/>" * 20_000), 700)),
    "xmp in many segments": lambda: JPEG[:2] + filled(XMP_PART) + JPEG[2:],
    "xmp that was deflated": lambda: text_png(*repeat(PACKED, 500)),
    "labels that are deep": lambda: text_png(*repeat(b"AIGC\0" + b"[" * LARGE, 6), kind=b"tEXt"),
    "labels of numbers": lambda: text_png(*repeat(b"AIGC\0[" + b"1," * (LARGE // 2), 6), kind=b"tEXt"),
    "exif in a ring": lambda: exif(4000, 8),
    "exif without an end": lambda: exif(4000, 2**32 - 1),
    "a manifest of boxes": lambda: manifest(filled(struct.pack(">I4s", 8, b"free"), size=928 * 1024 - 300)),
    "a manifest of lists": lambda: manifest(box(b"cbor", b"\x81" * (928 * 1024 - 300))),
    "boxes in boxes": lambda: text_png(filled(struct.pack(">I4s", SIZE, b"jumb")), kind=b"caBX"),
}  # fmt: skip

BOMBS = {
    "png of empty chunks": lambda: PNG + filled(chunk(b"teXt")),
    "png of empty pixels": lambda: PNG + filled(chunk(b"IDAT")),
    "png of small chunks": lambda: PNG + filled(chunk(b"IDAT", bytes(185))) + chunk(b"IEND"),
    "png of one chunk": lambda: PNG + chunk(b"IDAT", bytes(SIZE)) + chunk(b"IEND"),
    "png that claims more": lambda: PNG + struct.pack(">I", 2**31) + b"IDAT" + bytes(SIZE),
    "jpeg of fill bytes": lambda: JPEG[:2] + filled(b"\xff"),
    "jpeg of fill bytes before each segment": lambda: JPEG[:2] + filled(b"\xff\xff\xff\xe0\0\2"),
    "jpeg of empty segments": lambda: JPEG[:2] + filled(b"\xff\xe0\0\2"),
    "jpeg of segments without a size": lambda: JPEG[:2] + filled(b"\xff\xe0\0\0"),
    "jpeg of bare markers": lambda: JPEG[:2] + filled(b"\xff\xd0"),
    "jpeg of empty scans": lambda: JPEG[:SCAN] + filled(EMPTY_SCAN),
    "jpeg of short scans": lambda: JPEG[:SCAN] + filled(EMPTY_SCAN + bytes(300)),
    "jpeg of stuffed bytes": lambda: JPEG[:-2] + filled(b"\xff\0"),
    "jpeg of restarts": lambda: JPEG[:-2] + filled(b"\xff\xd0"),
    "jpeg of fill bytes in its scan": lambda: JPEG[:-2] + filled(b"\xff"),
    "gif of small pieces": lambda: GIF[: GIF_IMAGE + 11] + filled(b"\1\0") + b"\0;",
    "gif of single bytes": lambda: GIF[: GIF_IMAGE + 11] + filled(b"\1\1") + b"\0;",
    "gif of whole pieces": lambda: GIF[: GIF_IMAGE + 11] + filled(b"\xff" + bytes(255)) + b"\0;",
    "gif of empty images": lambda: GIF[:GIF_IMAGE] + filled(GIF[GIF_IMAGE : GIF_IMAGE + 11] + b"\0") + b";",
    "gif of empty extensions": lambda: GIF[:GIF_IMAGE] + filled(b"!\xf9\0") + b";",
    "webp of empty chunks": lambda: riff(VP8X + filled(b"ABCD\0\0\0\0")),
    "webp of empty frames": lambda: riff(VP8X + filled(b"ANMF\x10\0\0\0" + bytes(16))),
    "webp of chunks within a frame": lambda: riff(
        VP8X + b"ANMF" + struct.pack("<I", SIZE + 16) + bytes(16) + filled(b"ALPH\0\0\0\0")
    ),
    "bmp of a palette": lambda: encoded("BMP")[:54] + bytes(SIZE),
    "tiff of the file as its tags": lambda: tiff(
        *SIDES, *repeat((273, 1, SIZE, 0), 65_533), rest=bytes(SIZE)
    ),
    "tiff of pieces without end": lambda: tiff(
        *SIDES, (273, 4, SIZE // 4, 0), (279, 4, SIZE // 4, 0), rest=bytes(SIZE)
    ),
    "tiff of many pieces": lambda: tiff(
        *SIDES, (273, 1, 1 << 16, 0), (279, 1, 1 << 16, 0), rest=bytes(SIZE)
    ),
    "tiff whose sides are the file": lambda: tiff((256, 4, SIZE // 4, 0), (257, 4, SIZE // 4, 0), rest=bytes(SIZE)),
    "tiff in a ring": lambda: tiff(*SIDES, (273, 4, 1, 0), (279, 4, 1, 64), link=8, rest=bytes(SIZE)),
    "avif of locations without bytes": lambda: avif(
        box(b"iinf", b"\0\1" + INFE, full=True), iloc(60, 65_535)
    ),
    "avif of extents without bytes": lambda: avif(iloc(65_535, 65_535), rest=bytes(SIZE)),
    "avif of many location boxes": lambda: avif(filled(iloc(3, 65_535))),
    "avif of empty boxes": lambda: avif(iloc(1, 1), rest=filled(box(b"free", b""))),
    "avif of empty boxes within": lambda: avif(filled(box(b"free", b""))),
    "avif of sizes": lambda: avif(items=filled(box(b"ispe", struct.pack(">II", 9, 9), full=True))),
    "avif of items": lambda: avif(box(b"iinf", b"\xff\xff" + filled(INFE), full=True)),
    "avif of item lists": lambda: avif(filled(box(b"iinf", b"\0\1" + INFE, full=True))),
    "avif of metas": lambda: FTYP + filled(avif()[len(FTYP) :]),
    "avif of brands": lambda: box(b"ftyp", b"mif1" + filled(b"\0\0\0\0")),
}  # fmt: skip


@pytest.fixture(scope="module")
def measuring(tmp_path_factory) -> Iterator[Measuring]:
    with Measuring() as process:
        first = tmp_path_factory.mktemp("first") / "marked"
        first.write_bytes(manifest(box(b"free", b"")))
        process.cost(
            first, how="receive"
        )  # what c2pa-python keeps of its first manifest is no later one's cost
        yield process


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_little(name, measuring, tmp_path):
    path = tmp_path / "bomb"
    path.write_bytes(BOMBS[name]())
    looked, received = (measuring.cost(path, how=how) for how in ("inspect", "receive"))
    path.unlink()
    assert looked.verdict == received.verdict
    assert looked.verdict in REFUSALS
    assert max(looked.cpu, received.cpu) < 1
    assert max(looked.memory, received.memory) < 16 * MIB


@pytest.mark.parametrize("name", MARKS)
def test_marks_of_origin_are_read_within_bounds(name, measuring, tmp_path):
    path = tmp_path / "marked"
    path.write_bytes(MARKS[name]())
    looked, received = (measuring.cost(path, how=how) for how in ("inspect", "receive"))
    path.unlink()
    assert (looked.verdict, received.verdict) == ("", "")
    assert max(looked.cpu, received.cpu) < 1
    assert max(looked.memory, received.memory) < 16 * MIB


URLS = {
    "no comma": lambda: "data:" + ";" * SIZE,
    "parameters": lambda: "data:" + ";a" * (SIZE // 2) + ";base64,",
    "escapes": lambda: "data:image/png;base64," + "%2B" * (SIZE // 3),
    "halves of escapes": lambda: "data:image/png;base64," + "%" * SIZE,
    "blanks": lambda: "data:image/png;base64," + "A \n\t" * (SIZE // 4),
    "escaped bytes": lambda: "data:image/png," + "%" * SIZE,
    "many escaped bytes": lambda: "data:image/png," + "%41" * (4_194_000 // 3),
    "padding": lambda: "data:image/png;base64," + "AA==" * (SIZE // 4),
}


@pytest.mark.parametrize("name", URLS)
def test_a_data_url_costs_little(name, measuring, tmp_path):
    path = tmp_path / "url"
    path.write_text(URLS[name](), encoding="ascii")
    cost = measuring.cost(path, how="data")
    assert cost.verdict in REFUSALS - {""}
    assert cost.cpu < 1
    assert cost.memory < 16 * MIB


def pages() -> Iterator[bytes]:
    """What makes each pattern for a page that came instead of an image try the most."""
    for part in (
        b"<!---->", b"<!-- -->\n", b"<!--", b"-->", b"<?xml?>", b"<?xml ", b"?>", b"<!DOCTYPE svg>", b"<!DOCTYPE ",
        b"<!doctype html", b"<", b"<a", b"<a:", b" ", b"\n", b"{", b"{ ", b"[ ", b"[", b"a", b"\xef\xbb\xbf", b"%PDF",
        b"<!---->\n<?xml?>", b"<?xml <!---->", b"<!DOCTYPE svg<!-- -->",
    ):  # fmt: skip
        for tail in (b"", b"\0", b"x", b"<", b">", b"<svg", b"<htm"):
            yield (part * 1024)[:1024] + tail
            yield part * 26 + tail
    yield b"<?xml " + b"?><!--" * 170 + b"\0"
    yield b"<!DOCTYPE svg " + b"><!-- -->" * 110 + b"\0"


def test_a_page_instead_of_an_image_is_named_at_once(measuring, tmp_path):
    path = tmp_path / "page"
    dear = []
    for page in pages():
        path.write_bytes(page)
        cost = measuring.cost(path)
        assert cost.verdict == "NotAnImage"
        if cost.cpu > 0.05:
            dear.append(page)
    assert dear == []
