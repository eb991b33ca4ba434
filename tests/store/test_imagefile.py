"""What a file is, by its bytes; every proper prefix of an image is refused."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image

from airflow_provider_qwenimage.exceptions import NotAnImage
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
    "tiff big": encoded(picture(), "TIFF", big_tiff=True),
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
        except NotAnImage:
            verdicts.add("refused")
    assert "refused" in verdicts


@pytest.mark.parametrize("name", SAMPLES)
def test_bytes_after_the_end_are_let_be(name):
    longer = SAMPLES[name] + b"\0" * 16
    assert inspect(io.BytesIO(longer), len(longer)).width == WIDTH


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


def test_an_image_is_not_read_as_a_whole_to_be_checked():
    class Counting(io.BytesIO):
        taken = 0

        def read(self, size: int = -1) -> bytes:
            assert size >= 0
            self.taken += size
            return super().read(size)

    large = io.BytesIO()
    noise = random.Random(1).randbytes(600 * 600 * 3)
    Image.frombytes("RGB", (600, 600), noise).save(large, "PNG")
    file = Counting(large.getvalue())
    inspect(file, len(large.getvalue()))
    assert file.taken < len(large.getvalue()) // 20
