"""Marks of origin are read as others wrote them, within bounds."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zlib

import pytest
from PIL import Image, PngImagePlugin

from airflow_provider_qwenimage.images.formats import MOST_NOTED, inspect
from airflow_provider_qwenimage.images.origin import TRAINED, Marks, Piece, read_marks
from images.marked import (
    LABEL,
    TERMS,
    exiv2_comment,
    exiv2_xmp,
    packet,
    picture,
    signature_state,
    signed,
)

SOURCE = f'<rdf:Description I:DigitalSourceType="{TRAINED}"/>'


def marks(whole):
    return inspect(io.BytesIO(whole), len(whole)).marks


def png_with(*chunks):
    """A PNG with further chunks behind its header."""
    whole = picture("png")
    added = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return whole[:33] + added + whole[33:]


def xmp_chunk(text):
    return b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + text


@pytest.mark.parametrize("ext", ["png", "jpg", "webp", "tiff", "avif", "gif", "bmp"])
def test_a_picture_without_marks_has_none(ext):
    found = marks(picture(ext))
    assert found == Marks()
    assert not found.generated
    assert found.as_json() == {"c2pa": False, "digital_source_type": None, "tc260": None}


@pytest.mark.parametrize("ext", ["png", "jpg", "webp", "tiff", "avif", "gif"])
def test_a_manifest_of_c2pa_is_seen(ext):
    whole = signed(picture(ext), ext)
    assert signature_state(whole, ext) == "Valid"
    assert marks(whole).c2pa
    assert marks(whole).generated


@pytest.mark.parametrize("ext", ["png", "jpg", "webp"])
def test_a_manifest_that_lies_elsewhere_is_seen(ext):
    whole = signed(picture(ext), ext, remote="https://manifests.invalid/1.c2pa")
    assert b"jumb" not in whole
    assert marks(whole) == Marks(c2pa=True)


@pytest.mark.parametrize("ext", ["png", "jpg", "webp", "tiff"])
def test_the_source_type_that_exiv2_wrote_is_read(ext):
    whole = exiv2_xmp(picture(ext), {"Xmp.iptcExt.DigitalSourceType": TRAINED, "Xmp.dc.source": "a"})
    assert marks(whole) == Marks(digital_source_type=TRAINED)
    assert marks(whole).generated


@pytest.mark.parametrize("ext", ["png", "jpg", "webp"])
def test_the_label_of_gb_45438_that_exiv2_wrote_is_read(ext):
    whole = exiv2_xmp(picture(ext), {"Xmp.TC260.AIGC": json.dumps(LABEL)})
    assert marks(whole) == Marks(tc260=LABEL)
    assert marks(whole).generated


@pytest.mark.parametrize("ext", ["png", "jpg", "webp", "avif"])
def test_the_packet_that_pillow_embedded_is_read(ext):
    if ext == "png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet(SOURCE).decode(), "x-default", "XMP", zip=True)
        whole = picture("png", pnginfo=info)
    else:
        whole = picture(ext, xmp=packet(SOURCE))
    assert marks(whole).digital_source_type == TRAINED


@pytest.mark.parametrize("text", [json.dumps({"AIGC": LABEL}), json.dumps(LABEL, ensure_ascii=False)])
@pytest.mark.parametrize("code", ["", "charset=Ascii ", "charset=Unicode "])
@pytest.mark.parametrize("ext", ["jpg", "webp", "png"])
def test_the_label_in_a_user_comment_of_exif_is_read(ext, code, text):
    if code == "charset=Ascii ":
        text = json.dumps(json.loads(text))
    assert marks(exiv2_comment(picture(ext), code + text)).tc260 == LABEL


def test_the_user_comment_that_pillow_wrote_is_read():
    exif = Image.Exif()
    exif[0x010E] = "a description"
    exif.get_ifd(0x8769)[0x9286] = json.dumps({"AIGC": LABEL})  # without the code that should precede it
    for ext in ("jpg", "png", "webp", "avif"):
        assert marks(picture(ext, exif=exif)).tc260 == LABEL


@pytest.mark.parametrize(
    "chunk",
    [
        (b"tEXt", b"AIGC\0" + json.dumps(LABEL).encode()),
        (b"tEXt", b"AIGC\0" + json.dumps({"AIGC": LABEL}, ensure_ascii=False).encode()),
        (b"zTXt", b"AIGC\0\0" + zlib.compress(json.dumps(LABEL).encode())),
        (b"iTXt", b"AIGC\0\0\0zh\0\xe6\xa0\x87\0" + json.dumps(LABEL).encode()),
        (b"iTXt", b"AIGC\0\1\0\0\0" + zlib.compress(json.dumps(LABEL).encode())),
    ],
    ids=["tEXt", "tEXt wrapped", "zTXt", "iTXt", "iTXt deflated"],
)
def test_the_label_in_a_text_of_a_png_is_read(chunk):
    assert marks(png_with(chunk)).tc260 == LABEL


@pytest.mark.parametrize(
    "body",
    [
        SOURCE,
        f"<rdf:Description><I:DigitalSourceType>{TRAINED}</I:DigitalSourceType></rdf:Description>",
        f'<rdf:Description><I:DigitalSourceType rdf:resource="{TRAINED}"/></rdf:Description>',
        f"<rdf:Description><I:DigitalSourceType>\n <![CDATA[{TRAINED}]]>\n</I:DigitalSourceType></rdf:Description>",
        f'<rdf:Description xmlns:J="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" J:DigitalSourceType="{TRAINED}"/>',
        SOURCE + "<rdf:Description><unclosed>",
        SOURCE + "<rdf:Description>\0",
    ],
)
def test_a_property_is_read_however_it_is_spelt(body):
    assert read_marks([Piece("xmp", packet(body))]) == Marks(digital_source_type=TRAINED)


@pytest.mark.parametrize(
    "text",
    [
        packet(f'<rdf:Description xmlns:I="elsewhere" I:DigitalSourceType="{TRAINED}"/>'),
        packet(f"<rdf:Description><I:Ingredient><rdf:Description I:DigitalSourceType='{TRAINED}'/></I:Ingredient></rdf:Description>"),
        packet(f"<!-- {SOURCE} -->"),
        packet(SOURCE, head="<!DOCTYPE a [<!ENTITY b 'c'>]>"),
        packet("<rdf:Description I:DigitalSourceType=''/>"),
        b"I:DigitalSourceType",
        b"",
    ],
)  # fmt: skip
def test_what_is_no_property_of_the_image_is_no_mark(text):
    assert read_marks([Piece("xmp", text)]) == Marks()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "null", '"Label"', "{}", '{"AIGC": {}}', '{"AIGC": 1}', '{"Other": "1"}', '{"Label": {"a": 1}}',
     '{"a":' * 100_000, '{"Label": ' + "9" * 5000 + "}"],
)  # fmt: skip
def test_what_is_no_label_is_no_mark(text):
    assert read_marks([Piece("aigc", text.encode())]) == Marks()


def test_values_are_bounded_and_fit_for_json():
    told = '{"Label": 1, "ProduceID": "\\ud83d\\u0000\\n\\u202e<b>", "ContentProducer": "%s"}' % ("x" * 5000)
    found = read_marks([Piece("aigc", told.encode())]).tc260
    assert found == {"Label": "1", "ContentProducer": "x" * 256, "ProduceID": "?   <b>"}


def test_marks_that_contradict_each_other_are_told_as_they_are():
    camera = f"{TERMS}digitalCapture"
    both = packet(f'{SOURCE}<rdf:Description I:DigitalSourceType="{camera}"/>')
    other = json.dumps({**LABEL, "Label": "3", "ProduceID": "else"}).encode()
    whole = png_with(
        xmp_chunk(both), (b"tEXt", b"AIGC\0" + json.dumps(LABEL).encode()), (b"tEXt", b"AIGC\0" + other)
    )
    found = marks(whole)
    assert found.digital_source_type == f"{TRAINED} | {camera}"
    assert found.tc260 == {**LABEL, "Label": "1 | 3", "ProduceID": "abc-1 | else"}
    assert found.generated


def test_a_camera_is_no_generator():
    camera = f'<rdf:Description I:DigitalSourceType="{TERMS}digitalCapture"/>'
    assert not marks(png_with(xmp_chunk(packet(camera)))).generated


def test_xmp_that_a_jpeg_spreads_over_segments_is_read():
    head = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32
    text = packet(f"<rdf:Description>{' ' * 70_000}</rdf:Description>{SOURCE}")
    parts = [text[start : start + 65_000] for start in range(0, len(text), 65_000)]
    segments = b"".join(
        struct.pack(">BBH", 0xFF, 0xE1, 2 + len(head) + 8 + len(part)) + head + struct.pack(">II", len(text), 65_000 * number) + part
        for number, part in enumerate(parts)
    )  # fmt: skip
    whole = picture("jpg")
    assert marks(whole[:2] + segments + whole[2:]).digital_source_type == TRAINED


def test_a_signature_is_seen_behind_any_number_of_other_marks():
    many = [(b"tEXt", b"AIGC\0{}")] * 200
    whole = png_with(*many, (b"caBX", b"jumb"))
    assert marks(whole) == Marks(c2pa=True)


def test_where_only_the_head_is_looked_at_no_mark_is_told_or_denied():
    whole = png_with(xmp_chunk(packet(SOURCE)))
    assert inspect(whole, len(whole), proof="head").marks is None


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("place", ["before", "behind"])
def test_ten_megabytes_of_xmp_are_read_within_bounds(deflated, place):
    filler = "<rdf:Description>" + "x" * 10_000_000 + "</rdf:Description>"
    text = packet(SOURCE + filler if place == "before" else filler + SOURCE)
    head = b"XML:com.adobe.xmp\0" + (b"\1" if deflated else b"\0") + bytes(3)
    whole = png_with((b"iTXt", head + (zlib.compress(text) if deflated else text)))
    tracemalloc.start()
    try:
        found = marks(whole)
        assert tracemalloc.get_traced_memory()[1] < 4 * MOST_NOTED
    finally:
        tracemalloc.stop()
    assert found == Marks(digital_source_type=TRAINED if place == "before" else None)


def test_boxes_nested_in_an_avif_are_walked_no_deeper_than_their_names():
    whole = picture("avif")
    inner = b""
    for _ in range(20_000):
        inner = struct.pack(">I", 8 + len(inner)) + b"meta" + inner if len(inner) < 1 << 20 else inner
    assert marks(whole + struct.pack(">I", 8 + len(inner)) + b"free" + inner) == Marks()
