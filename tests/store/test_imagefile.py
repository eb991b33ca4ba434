"""What a file is, by its bytes; every proper prefix of an image is refused."""

from __future__ import annotations

import io
import random
import struct
import zlib

import pytest
from PIL import Image

from airflow_provider_qwenimage.exceptions import ImageTooLarge, NotAnImage
from airflow_provider_qwenimage.images.formats import TruncatedImage, extension, inspect

WIDTH, HEIGHT = 37, 23


def picture(mode: str = "RGB", seed: int = 1) -> Image.Image:
    noise = random.Random(seed).randbytes(WIDTH * HEIGHT * len(mode))
    return Image.frombytes(mode, (WIDTH, HEIGHT), noise)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def frames(mode: str = "RGB") -> dict[str, object]:
    return {"save_all": True, "append_images": [picture(mode, 2)]}


def thumbnail() -> Image.Exif:
    """Metadata that holds an end-of-image marker of its own."""
    exif = Image.Exif()
    exif[0x010E] = "\xff\xd9 and no end"
    return exif


SAMPLES = {
    "png": encoded(picture(), "PNG"),
    "png with alpha": encoded(picture("RGBA"), "PNG"),
    "jpg": encoded(picture(), "JPEG"),
    "jpg progressive": encoded(picture(), "JPEG", progressive=True, restart_marker_blocks=2),
    "jpg with markers in its metadata": encoded(
        picture(), "JPEG", exif=thumbnail(), comment=b"\xff\xd9\xff\xd9"
    ),
    "webp": encoded(picture(), "WEBP"),
    "webp lossless": encoded(picture(), "WEBP", lossless=True),
    "webp with alpha": encoded(picture("RGBA"), "WEBP"),
    "webp animated": encoded(picture(), "WEBP", **frames()),
    "gif": encoded(picture().quantize(), "GIF"),
    "gif animated": encoded(picture(), "GIF", **frames()),
    "bmp": encoded(picture(), "BMP"),
    "bmp grey": encoded(picture("L"), "BMP"),
    "tiff": encoded(picture(), "TIFF"),
    "tiff compressed": encoded(picture(), "TIFF", compression="tiff_lzw"),
    "avif": encoded(picture(), "AVIF"),
    "avif with alpha": encoded(picture("RGBA"), "AVIF"),
    "avif animated": encoded(picture(), "AVIF", **frames()),
}
TYPES = {"jpg": "image/jpeg"}


@pytest.mark.parametrize("name", SAMPLES)
def test_type_and_size_come_from_the_bytes(name):
    ext = name.split()[0]
    facts = inspect(io.BytesIO(SAMPLES[name]), len(SAMPLES[name]))
    assert (facts.content_type, facts.ext) == (TYPES.get(ext, f"image/{ext}"), ext)
    assert (facts.width, facts.height) == (WIDTH, HEIGHT)
    assert extension(facts.content_type) == ext


@pytest.mark.parametrize("name", SAMPLES)
def test_every_proper_prefix_is_refused(name):
    whole = SAMPLES[name]
    accepted = []
    for size in range(len(whole)):
        try:
            inspect(io.BytesIO(whole[:size]), size)
        except NotAnImage:
            continue
        accepted.append(size)
    assert accepted == []


@pytest.mark.parametrize("name", SAMPLES)
def test_spoilt_headers_end_in_a_verdict_and_never_in_a_crash(name):
    dice = random.Random(name)
    verdicts = set()
    for _ in range(200):
        spoilt = bytearray(SAMPLES[name])
        for _ in range(3):
            spoilt[dice.randrange(min(200, len(spoilt)))] = dice.randrange(256)
        try:
            verdicts.add(inspect(io.BytesIO(bytes(spoilt)), len(spoilt)).ext)
        except (NotAnImage, ImageTooLarge):
            verdicts.add("refused")
    assert "refused" in verdicts


@pytest.mark.parametrize("name", SAMPLES)
def test_bytes_after_the_end_are_let_be(name):
    longer = SAMPLES[name] + b"\0" * 16
    assert inspect(io.BytesIO(longer), len(longer)).width == WIDTH


def test_of_a_tiff_its_first_page_counts():
    pages = encoded(picture(), "TIFF", **frames())
    (first,) = struct.unpack_from("<I", pages, 4)
    (entries,) = struct.unpack_from("<H", pages, first)
    place = first + 2 + 12 * entries
    for link in (first, len(pages), 2**32 - 1):  # a ring, and pages that are not there
        whole = pages[:place] + struct.pack("<I", link) + pages[place + 4 :]
        assert inspect(io.BytesIO(whole), len(whole)).width == WIDTH


def test_a_truncated_image_says_what_it_is_and_where_it_ends():
    with pytest.raises(TruncatedImage, match="PNG image is truncated: it ends after 100 bytes"):
        inspect(io.BytesIO(SAMPLES["png"][:100]), 100)


@pytest.mark.parametrize(
    ("body", "looks"),
    [
        (b"", "an empty body"),
        (b" \n\n", "an empty body"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "an HTML page"),
        (b"\xef\xbb\xbf\n<html lang='en'>", "an HTML page"),
        (b"<!-- proxy --><HTML>", "an HTML page"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b'<?xml version="1.0"?><!-- x --><!DOCTYPE svg PUBLIC "a" "b"><svg/>', "an SVG drawing"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML document"),
        (b'{"error": {"message": "no"}}', "JSON"),
        (b'[{"a": 1}]', "JSON"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "a HEIC or video file"),
        (b"PK\x03\x04....", "an archive"),
        (b"upstream request timeout", "plain text"),
        (b"\x00\x01\x02\x03", "no image format this provider knows"),
        (encoded(picture(), "TIFF", big_tiff=True), "a BigTIFF file"),
        (b"BM is how this text begins, and it is no bitmap", "plain text"),
    ],
)
def test_what_is_no_image_is_named(body, looks):
    with pytest.raises(NotAnImage, match=f"look like {looks}"):
        inspect(io.BytesIO(body), len(body))


def test_an_image_without_pixels_is_refused():
    flat = bytearray(SAMPLES["png"])
    flat[16:20] = b"\0\0\0\0"
    with pytest.raises(NotAnImage, match="0 x 23 pixels"):
        inspect(io.BytesIO(bytes(flat)), len(flat))


@pytest.mark.parametrize("name", ["png", "jpg", "webp", "gif", "bmp", "avif"])
def test_the_head_of_a_trusted_image_tells_its_size(name):
    whole = SAMPLES[name]
    head = io.BytesIO(whole[:700])
    assert inspect(head, len(whole), proof="head").height == HEIGHT


def resized(width: int, height: int) -> bytes:
    """A PNG whose header says another size, checksum included."""
    header = struct.pack(">II", width, height) + SAMPLES["png"][24:29]
    return png_chunks(SAMPLES["png"], IHDR=header)


def png_chunks(whole: bytes, **bodies: bytes | None) -> bytes:
    """Put other bodies in the chunks of a PNG, ``None`` for none; the checksums are right."""
    out, offset = whole[:8], 8
    while offset < len(whole):
        (size,), kind = struct.unpack_from(">I", whole, offset), whole[offset + 4 : offset + 8]
        body = bodies.get(kind.decode(), whole[offset + 8 : offset + 8 + size])
        offset += 12 + size
        if body is not None:
            checksum = struct.pack(">I", zlib.crc32(kind + body))
            out += struct.pack(">I", len(body)) + kind + body + checksum
    return out


def test_a_size_that_no_model_makes_is_refused():
    assert inspect(resized(1 << 14, 1 << 14), 1 << 20, proof="head").width == 1 << 14
    for sides in ((1 << 14, (1 << 14) + 1), (4294967295, 4294967295)):
        with pytest.raises(ImageTooLarge, match=r"2\^28"):
            inspect(resized(*sides), len(SAMPLES["png"]))


@pytest.mark.parametrize("kind", ["png", "png with alpha"])
def test_one_wrong_bit_anywhere_in_a_png_is_seen(kind):
    whole = SAMPLES[kind]
    for place in range(8, len(whole), 7):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << place % 8
        with pytest.raises((NotAnImage, ImageTooLarge)):
            inspect(bytes(spoilt), len(spoilt))


def test_a_checksum_is_computed_of_a_file_as_of_bytes():
    large = encoded(Image.effect_noise((1500, 1000), 99), "PNG")
    assert len(large) > 4 * (1 << 18)
    for body in (large, bytearray(large), io.BytesIO(large)):
        assert inspect(body, len(large)).width == 1500
    with pytest.raises(NotAnImage, match="checksum"):
        spoilt = bytearray(large)
        spoilt[-1000] ^= 1
        inspect(io.BytesIO(spoilt), len(spoilt))


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def scanless(jpeg: bytes) -> bytes:
    """A JPEG with all its headers and an empty scan."""
    start = jpeg.index(b"\xff\xda")
    return jpeg[: start + 14] + b"\xff\xd9"


VP8X = struct.pack("<IHBHB", 0, WIDTH - 1, 0, HEIGHT - 1, 0)
SKELETONS = {
    "png without pixels": png_chunks(SAMPLES["png"], IDAT=None),
    "png with empty pixels": png_chunks(SAMPLES["png"], IDAT=b""),
    "jpg without a scan": SAMPLES["jpg"][: SAMPLES["jpg"].index(b"\xff\xda")] + b"\xff\xd9",
    "jpg with an empty scan": scanless(SAMPLES["jpg"]),
    "webp without a picture": riff((b"VP8X", VP8X), (b"EXIF", b"abc")),
    "webp with an empty picture": riff((b"VP8 ", SAMPLES["webp"][20:30])),
    "webp with an empty frame": riff((b"VP8X", VP8X), (b"ANMF", b"\0" * 16)),
    "gif without an image": SAMPLES["gif"][: SAMPLES["gif"].index(b",", 13 + 768)] + b";",
    "gif with an empty image": SAMPLES["gif"][: SAMPLES["gif"].index(b",", 13 + 768) + 11] + b"\0;",
    "gif of text": SAMPLES["gif"][: 13 + 768] + b"!\xfe\x05hello\0;",
    "bmp without pixels": SAMPLES["bmp"][:28] + b"\0\0" + SAMPLES["bmp"][30:54],
    "bmp with pixels in its header": SAMPLES["bmp"][:10] + b"\0\0\0\0" + SAMPLES["bmp"][14:],
    "tiff without pixels": SAMPLES["tiff"].replace(struct.pack("<HHI", 273, 4, 1), struct.pack("<HHI", 1, 4, 1)),
    "avif without a picture": SAMPLES["avif"].replace(b"av01Color", b"hiddColor"),
}  # fmt: skip


@pytest.mark.parametrize("name", SKELETONS)
def test_an_image_without_a_picture_is_refused(name):
    whole = SKELETONS[name]
    ext = name.split()[0]
    assert inspect(whole, len(whole), proof="head").ext == ext
    with pytest.raises(NotAnImage, match="hold no p") as caught:
        inspect(whole, len(whole))
    assert not isinstance(caught.value, TruncatedImage)


def test_an_image_is_read_once_and_in_blocks_to_be_checked():
    class Counting(io.BytesIO):
        taken = 0

        def read(self, size: int = -1) -> bytes:
            assert 0 <= size <= 1 << 18
            self.taken += size
            return super().read(size)

    for kind in ("PNG", "JPEG", "GIF", "TIFF", "AVIF"):
        noise = random.Random(1).randbytes(600 * 600 * 3)
        large = encoded(Image.frombytes("RGB", (600, 600), noise), kind)
        file = Counting(large)
        inspect(file, len(large))
        assert file.taken < len(large) * 1.01 + 8192
