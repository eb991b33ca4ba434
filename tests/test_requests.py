"""What an author may type for a request, and what templates and XComs make of it."""

from __future__ import annotations

import pytest

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.coercion import build
from airflow_provider_qwenimage.models.requests import (
    Asked,
    EditRequest,
    GenerateRequest,
    SequenceRequest,
    Size,
)


def generate(**fields):
    return build(GenerateRequest, **{"prompt": "a teapot", **fields})


@pytest.mark.parametrize(
    ("typed", "spelled"),
    [
        ("1328*1328", "1328*1328"),
        ("1328x1328", "1328*1328"),
        ("1328X1328", "1328*1328"),
        ("1328×1328", "1328*1328"),
        (" 1328 x 1328 ", "1328*1328"),
        ([1328, 1328], "1328*1328"),
        ((1328, 1328), "1328*1328"),
        ("[1328, 1328]", "1328*1328"),
        ("16:9", "16:9"),
        ("2k", "2K"),
    ],
)
def test_every_spelling_of_a_size_means_the_same(typed, spelled):
    assert Size.parse(typed).text() == spelled


@pytest.mark.parametrize("typed", [None, "", " ", "None"])
def test_a_size_that_is_not_there_is_unset(typed):
    assert Size.parse(typed) is None


@pytest.mark.parametrize("typed", ["huge", "0x100", "100", "12*", 1328, [1, 2, 3], "0:9", "1328*1328*3", {}])
def test_a_size_nobody_can_read_is_refused_with_examples(typed):
    with pytest.raises(InvalidRequest, match=r'size: must look like "1328\*1328"'):
        generate(size=typed)


@pytest.mark.parametrize("typed", [2, "2", " 2 ", 2.0, "2.0"])
def test_a_whole_number_is_one_however_it_arrives(typed):
    assert generate(n=typed).n == 2


@pytest.mark.parametrize("typed", [0, -1, "two", True, 1.5, "1.5", None, "", "nan", "inf", [1]])
def test_anything_else_is_not_a_count(typed):
    with pytest.raises(InvalidRequest, match=r"^n: must be"):
        generate(n=typed)


@pytest.mark.parametrize(("typed", "meant"), [(0, 0), ("0", 0), ("", None), ("None", None), (None, None)])
def test_seed_zero_survives_and_blank_is_unset(typed, meant):
    assert generate(seed=typed).seed == meant


@pytest.mark.parametrize(("typed", "meant"), [("", ""), ("None", None), (None, None), ("blur", "blur")])
def test_an_empty_negative_prompt_is_sent_and_a_rendered_none_is_not(typed, meant):
    assert generate(negative_prompt=typed).negative_prompt == meant


@pytest.mark.parametrize("typed", ["", "  ", None, 7])
def test_a_prompt_must_say_something(typed):
    with pytest.raises(InvalidRequest, match=r"^prompt: must"):
        generate(prompt=typed)


@pytest.mark.parametrize("typed", ["None", " none ", "null", "NaN"])
def test_the_word_for_no_value_is_no_prompt(typed):
    with pytest.raises(InvalidRequest, match=r"^prompt: must say what the image shows"):
        generate(prompt=typed)


def test_a_prompt_may_speak_of_nothing():
    assert generate(prompt="None of them").prompt == "None of them"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("https://x.test/a.png", ("https://x.test/a.png",)),
        (["s3://b/a.png", "s3://b/c.png"], ("s3://b/a.png", "s3://b/c.png")),
        ([["s3://b/a.png"], ["s3://b/c.png"]], ("s3://b/a.png", "s3://b/c.png")),
        ("['s3://b/a.png', 's3://b/c.png']", ("s3://b/a.png", "s3://b/c.png")),
        ({"url": "https://x.test/a.png", "index": 0}, ("https://x.test/a.png",)),
        ([{"uri": "s3://b/a.png", "url": "https://x.test/a.png"}], ("s3://b/a.png",)),
    ],
)
def test_images_arrive_in_order_however_upstream_hands_them_over(typed, meant):
    assert build(EditRequest, prompt="paint it", images=typed).images == meant


@pytest.mark.parametrize("typed", [[], "", None, 7, [""], [{"no": "url"}]])
def test_no_image_is_no_edit(typed):
    with pytest.raises(InvalidRequest, match=r"^images"):
        build(EditRequest, prompt="paint it", images=typed)


@pytest.mark.parametrize("typed", [None, "", []])
def test_no_boxes_are_unset(typed):
    assert build(EditRequest, prompt="paint it", images="https://x.test/a.png", boxes=typed).boxes is None


def test_a_series_has_four_images_unless_told_otherwise():
    assert build(SequenceRequest, prompt="four seasons").n == 4


@pytest.mark.parametrize("name", ["n", "size", "seed", "negative_prompt"])
def test_what_is_said_twice_is_refused(name):
    said = {"n": 2, "size": "1:1", "seed": 1, "negative_prompt": "blur"}[name]
    with pytest.raises(InvalidRequest, match=rf"parameters\.{name}: say it once"):
        generate(**{name: said}, parameters={name: said})


def test_an_unknown_field_is_named_beside_the_known_ones():
    with pytest.raises(InvalidRequest, match=r"^style: is not known; known are prompt, model"):
        generate(style="oil")


def test_an_image_is_described_with_what_was_asked_under_parameters_too():
    asked = Asked.of(generate(parameters={"seed": 7, "size": "1328*1328"}))
    assert (asked.seed, asked.size) == (7, "1328*1328")
