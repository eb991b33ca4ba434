"""Whatever a file says of itself, looking at it ends in its facts or in an error of ours, and soon."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from airflow_provider_qwenimage.exceptions import ImageTooLarge, ImageUnmarked, NotAnImage
from airflow_provider_qwenimage.images.checked import receive_bytes, receive_data_url
from airflow_provider_qwenimage.images.formats import inspect
from airflow_provider_qwenimage.images.label import Label, labelled
from fuzz.image_structures import FORMATS, damages

MOST_PIXELS = 1 << 28


def encoded(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((33, 21), 90).convert("RGB").save(out, kind, **options)
    return out.getvalue()


PILLOWS = {
    ext: [encoded(kind), encoded(kind, **options)]
    for ext, kind, options in (
        ("png", "PNG", {"interlace": 1}),
        ("jpg", "JPEG", {"progressive": True}),
        ("webp", "WEBP", {"lossless": True}),
        ("gif", "GIF", {"comment": b"abc"}),
        ("bmp", "BMP", {}),
        ("tiff", "TIFF", {"compression": "tiff_lzw"}),
        ("avif", "AVIF", {"quality": 20}),
    )
}


def verdict(whole, *, proof="whole"):
    """Return facts or the name of the error; anything else that is raised fails the test."""
    begun = time.thread_time()
    try:
        found = inspect(
            whole, len(whole) if isinstance(whole, bytes) else whole.getbuffer().nbytes, proof=proof
        )
    except (NotAnImage, ImageTooLarge) as error:
        found = (type(error), str(error))
    assert time.thread_time() - begun < 1
    return found


@pytest.mark.parametrize("ext", FORMATS)
@given(drawn=st.data())
def test_a_whole_structure_is_an_image_and_no_beginning_of_it_is(ext, drawn):
    whole = drawn.draw(FORMATS[ext])
    facts = inspect(whole, len(whole))
    assert facts.ext == ext
    assert 1 <= facts.width * facts.height <= MOST_PIXELS
    size = drawn.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(NotAnImage):
        inspect(whole[:size], size)


@pytest.mark.parametrize("ext", FORMATS)
@given(drawn=st.data())
def test_a_damaged_image_ends_in_a_verdict(ext, drawn):
    whole = drawn.draw(st.one_of(FORMATS[ext], st.sampled_from(PILLOWS[ext])))
    for spoil in drawn.draw(damages):
        whole = spoil(whole)
    found = verdict(whole)
    assert found == verdict(io.BytesIO(whole))
    if not isinstance(found, tuple):
        assert 1 <= found.width * found.height <= MOST_PIXELS
        assert replace(found, marks=None, c2pa_bytes=0) == verdict(whole, proof="head")
        json.dumps(found.marks.as_json())


@pytest.mark.parametrize("ext", ["png", "jpg", "webp"])
@given(drawn=st.data())
def test_a_label_makes_the_same_image_with_a_mark_or_says_why_not(ext, drawn):
    whole = drawn.draw(st.one_of(FORMATS[ext], st.sampled_from(PILLOWS[ext])))
    if drawn.draw(st.booleans()):
        whole = drawn.draw(damages)[0](whole)
    try:
        image = receive_bytes(whole, max_bytes=1 << 20)
        after = labelled(image, Label(tc260_producer="x"))
    except (NotAnImage, ImageTooLarge, ImageUnmarked):
        return
    again = receive_bytes(bytes(after.body), max_bytes=1 << 20)
    assert again.facts == after.facts
    assert again.facts.marks.generated
    assert replace(again.facts, marks=None) == replace(image.facts, marks=None)
    assert labelled(again, Label(tc260_producer="x")) is again


@given(text=st.text(max_size=200), base64=st.booleans(), head=st.text(max_size=30))
def test_a_data_url_of_anything_ends_in_a_verdict(text, base64, head):
    with pytest.raises((NotAnImage, ImageTooLarge)):
        receive_data_url(f"data:{head}{';base64' if base64 else ''},{text}", max_bytes=1000)
