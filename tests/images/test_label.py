"""A label is added to what lacks one, read by others, and changes no pixel and no signature."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import tracemalloc

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from airflow_provider_qwenimage.exceptions import ImageUnmarked
from airflow_provider_qwenimage.images.checked import receive_bytes
from airflow_provider_qwenimage.images.label import Label, labelled
from airflow_provider_qwenimage.images.origin import COMPOSITE, TC260_FIELDS, TRAINED
from images.marked import (
    LABEL,
    TERMS,
    exiv2_comment,
    exiv2_reads,
    exiv2_xmp,
    packet,
    picture,
    signature_state,
    signed,
)

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PICTURES = {
    "png": ("png", picture("png")),
    "png with alpha": ("png", picture("png", mode="RGBA")),
    "jpg": ("jpg", picture("jpg")),
    "jpg progressive": ("jpg", picture("jpg", progressive=True, comment=b"a")),
    "jpg with exif": ("jpg", exiv2_comment(picture("jpg"), "a camera")),
    "webp": ("webp", picture("webp")),
    "webp with alpha": ("webp", picture("webp", mode="RGBA")),
    "webp lossless": ("webp", picture("webp", lossless=True)),
    "webp lossless with alpha": ("webp", picture("webp", mode="RGBA", lossless=True)),
    "webp with a profile": ("webp", picture("webp", icc_profile=PROFILE)),
    "webp animated": ("webp", picture("webp", save_all=True, append_images=[Image.new("RGB", (64, 48))])),
}


def received(whole):
    return receive_bytes(whole, max_bytes=1 << 30)


def with_label(whole, label=None):
    """Return the bytes of the labelled image, which is what a look at them says."""
    image = labelled(received(whole), label or Label())
    again = received(bytes(image.body if isinstance(image.body, bytearray) else image.read()))
    assert (image.size, image.sha256, image.facts) == (again.size, again.sha256, again.facts)
    return bytes(again.body)


def frames(whole):
    """Every frame as Pillow decodes it."""
    with Image.open(io.BytesIO(whole)) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            yield image.mode, image.size, image.tobytes()


@pytest.mark.parametrize("name", PICTURES)
def test_a_label_is_read_by_others_and_the_pixels_are_the_same(name):
    ext, whole = PICTURES[name]
    after = with_label(whole, Label(tc260_producer="Möbel & Söhne <公司>"))
    told = exiv2_reads(after)
    assert told["Xmp.iptcExt.DigitalSourceType"] == TRAINED
    content = hashlib.sha256(whole).hexdigest()[:32]
    assert received(after).facts.marks.tc260 == dict(
        zip(
            TC260_FIELDS,
            ["1", "Möbel & Söhne <公司>", content, "", "Möbel & Söhne <公司>", content, ""],
            strict=True,
        )
    )
    assert list(frames(after)) == list(frames(whole))
    assert received(after).facts.ext == ext


def test_an_edit_is_labelled_as_a_composite():
    assert (
        received(with_label(picture("png"), Label(edited=True))).facts.marks.digital_source_type == COMPOSITE
    )


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_bytes_get_the_same_label_and_a_labelled_file_none(name):
    _, whole = PICTURES[name]
    once, twice = with_label(whole), with_label(whole)
    assert once == twice
    image = received(once)
    assert labelled(image, Label()) is image
    assert labelled(image, Label(edited=True)) is image


@pytest.mark.parametrize("ext", ["png", "jpg", "webp", "tiff", "avif", "gif"])
def test_a_signed_file_is_never_altered(ext):
    whole = signed(picture(ext), ext)
    image = received(whole)
    assert labelled(image, Label(tc260_producer="x")) is image
    assert bytes(image.body) == whole
    assert signature_state(whole, ext) == "Valid"


@pytest.mark.parametrize("ext", ["png", "jpg", "webp"])
def test_a_file_whose_manifest_lies_elsewhere_is_never_altered(ext):
    image = received(signed(picture(ext), ext, remote="https://manifests.invalid/1.c2pa"))
    assert labelled(image, Label()) is image


@pytest.mark.parametrize("ext", ["png", "jpg", "webp"])
def test_xmp_that_is_there_stays(ext):
    whole = exiv2_xmp(picture(ext), {"Xmp.dc.source": "a", "Xmp.xmp.CreatorTool": "b"})
    after = with_label(whole, Label(tc260_producer="x"))
    told = exiv2_reads(after)
    assert {"Xmp.dc.source": "a", "Xmp.xmp.CreatorTool": "b"}.items() <= told.items()
    assert told["Xmp.iptcExt.DigitalSourceType"] == TRAINED
    assert list(frames(after)) == list(frames(whole))
    assert after.count(b"<x:xmpmeta") == 1


def test_xmp_that_was_deflated_stays():
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet('<rdf:Description rdf:about="uuid:1"/>').decode(), zip=True)
    after = with_label(picture("png", pnginfo=info))
    assert after.count(b"XML:com.adobe.xmp") == 1
    assert b"uuid:1" in after


@pytest.mark.parametrize("ext", ["png", "jpg", "webp"])
def test_only_the_mark_that_lacks_is_added(ext):
    one = exiv2_xmp(picture(ext), {"Xmp.iptcExt.DigitalSourceType": f"{TERMS}compositeSynthetic"})
    assert with_label(one) == one
    both = received(with_label(one, Label(tc260_producer="x"))).facts.marks
    assert both.digital_source_type == f"{TERMS}compositeSynthetic"
    assert both.tc260["ContentProducer"] == "x"
    other = exiv2_comment(picture(ext), f'{{"AIGC": {{"Label": "1", "ProduceID": "{LABEL["ProduceID"]}"}}}}')
    marks = received(with_label(other, Label(tc260_producer="x"))).facts.marks
    assert (marks.digital_source_type, marks.tc260) == (TRAINED, {"Label": "1", "ProduceID": "abc-1"})


def refused(whole):
    image = received(whole)
    with pytest.raises(ImageUnmarked) as caught:
        labelled(image, Label())
    assert bytes(image.read()) == whole
    return str(caught.value)


def test_a_file_that_says_it_is_a_photograph_is_not_contradicted():
    whole = exiv2_xmp(picture("png"), {"Xmp.iptcExt.DigitalSourceType": f"{TERMS}digitalCapture"})
    assert "digitalCapture" in refused(whole)


@pytest.mark.parametrize("ext", ["gif", "bmp", "tiff", "avif"])
def test_a_format_that_takes_no_label_is_named(ext):
    assert f"image/{ext}" in refused(picture(ext))


@pytest.mark.parametrize(
    "text",
    [
        b"<x:xmpmeta",
        b"no xml",
        packet("")[:-20],
        packet("<!-- </rdf:RDF> -->").replace(b"</rdf:RDF></x:xmpmeta>", b"") + b"<!-- </rdf:RDF> -->",
        packet("", head="<!DOCTYPE a>"),
        packet(" " * (1 << 20)),
    ],
)
@pytest.mark.parametrize("ext", ["png", "webp"])
def test_xmp_that_cannot_be_extended_is_left_as_it_is(ext, text):
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", text.decode())
    refused(picture("png", pnginfo=info) if ext == "png" else picture("webp", xmp=text))


def test_a_jpeg_whose_xmp_is_full_is_left_as_it_is():
    refused(picture("jpg", xmp=packet(" " * 65_000)))


def test_a_webp_of_an_odd_length_is_labelled_behind_its_padding():
    whole = picture("webp", lossless=True)
    body = whole[12:] + b"abcd" + struct.pack("<I", 1) + b"x"  # the padding of the last chunk forgotten
    odd = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
    after = with_label(odd)
    assert exiv2_reads(after)["Xmp.iptcExt.DigitalSourceType"] == TRAINED
    assert list(frames(after)) == list(frames(whole))


@pytest.mark.parametrize("ext", ["png", "jpg", "webp"])
def test_what_follows_an_image_stays_there(ext):
    whole = picture(ext)
    assert with_label(whole + b"behind") == with_label(whole) + b"behind"


def test_a_label_costs_one_copy_of_the_image():
    noise = random.Random(1).randbytes(850 * 590 * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", (850, 590), noise).save(out, "PNG")
    image = received(out.getvalue())
    tracemalloc.start()
    try:
        labelled(image, Label())
        assert tracemalloc.get_traced_memory()[1] < 1.2 * image.size
    finally:
        tracemalloc.stop()


def test_a_large_file_that_takes_no_label_is_still_read_from_its_beginning():
    whole = picture("bmp") + bytes(5_000_000)
    with received(whole) as image:
        with pytest.raises(ImageUnmarked):
            labelled(image, Label())
        assert image.read() == whole


def test_a_large_image_is_labelled_on_disk():
    out = io.BytesIO()
    noise = random.Random(1).randbytes(1500 * 1200 * 3)
    Image.frombytes("RGB", (1500, 1200), noise).save(out, "PNG")
    whole = out.getvalue()
    with received(whole) as image, labelled(image, Label()) as after:
        assert not isinstance(after.body, bytearray)
        told = after.read()
        assert image.read() == whole
    assert next(frames(told)) == next(frames(whole))
    with received(told) as again:
        assert again.facts == after.facts
