"""Every row: the smallest and the largest legal request pass, one step outside each bound is refused."""

from __future__ import annotations

import math

import pytest

from airflow_provider_qwenimage.catalog import gateway
from airflow_provider_qwenimage.catalog.findings import witness
from airflow_provider_qwenimage.catalog.models import models
from airflow_provider_qwenimage.catalog.rules import InputFacts, check, check_image
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.requests import EditRequest, GenerateRequest, SequenceRequest, Size

# What makes images; a translation has neither a size nor a count, and tests of its own.
KINDS = {"generate": GenerateRequest, "edit": EditRequest, "sequence": SequenceRequest}
MODES = [(row, operation) for row in models().values() for operation in row.operations if operation in KINDS]
ENFORCED = [(row, operation) for row, operation in MODES if row.refuses]
WITH_IMAGES = [(row, operation) for row, operation in ENFORCED if row.mode(operation).images[1]]
MISSING = [
    (row, operation)
    for row in models().values()
    for operation in KINDS
    if row.refuses and operation not in row.operations
]
VENDOR, ENGINE = gateway("dashscope"), gateway("openai-compatible")


def ids(cases):
    return [f"{case[0].name}-{case[1]}" for case in cases]


def smallest_and_largest(rule):
    """The two extreme sizes of a rule, told from its numbers and not by the code under test."""
    if rule.rule == "sides":
        return tuple((side, side) for side in rule.sides)
    if rule.rule == "pixels":
        return tuple((math.isqrt(product), math.isqrt(product)) for product in rule.pixels)
    ordered = sorted(rule.ratios.values(), key=math.prod)
    return (ordered[0], ordered[-1]) if ordered else (None, None)


def one_step_outside(rule):
    """Sizes just beyond all that a source says is served."""
    small, large = smallest_and_largest(rule)
    if (rule.served and rule.served.pixels is None) or rule.rule == "input":
        return []
    narrow = [(large[0] * 2, math.floor(large[1] / rule.limit))] if rule.limit else []
    if rule.served:
        low, high = (math.isqrt(product) for product in rule.served.pixels)
        return [(high, high + 1), (low - 1, low), *narrow]
    if rule.rule == "listed":
        return [(small[0], small[1] + 1), (large[0] - 1, large[1])]
    return [(small[0] - 1, small[1]), (large[0], large[1] + 1), *narrow]


def request(row, operation, **changes):
    fields = {"prompt": "a paper boat", "model": row.name, "n": row.mode(operation).n[0], **changes}
    images = fields.pop("images", row.mode(operation).images[0])
    if operation != "generate":
        fields["images"] = tuple(f"https://img.example/{index}.png" for index in range(images))
    return KINDS[operation](**fields)


def longest_prompt(row):
    letters = {"characters": 1, "tokens": 4}
    return "x" * (row.prompt.most * letters[row.prompt.unit] if row.prompt else 10_000)


def refused(row, wanted, field):
    with pytest.raises(InvalidRequest) as caught:
        check(wanted, gateway=VENDOR)
    assert caught.value.field == field
    rule = row.mode(wanted.operation).size
    told = (f"{rule.served.source}, {rule.served.date}" if rule.served else "", rule.cited, row.cited)
    assert any(words and f"for {row.name} ({witness(words)})" in caught.value.rule for words in told)


@pytest.mark.parametrize(("row", "operation"), MODES, ids=ids(MODES))
def test_the_smallest_legal_request_passes_unchanged(row, operation):
    size = smallest_and_largest(row.mode(operation).size)[0]
    wanted = request(row, operation, size=size, prompt="x")
    checked = check(wanted, gateway=VENDOR)
    assert (checked.request, checked.model, checked.warnings) == (wanted, row, ())


@pytest.mark.parametrize(("row", "operation"), MODES, ids=ids(MODES))
def test_the_largest_legal_request_passes_unchanged(row, operation):
    mode = row.mode(operation)
    wanted = request(
        row,
        operation,
        size=smallest_and_largest(mode.size)[1],
        prompt=longest_prompt(row),
        n=mode.n[1],
        images=mode.images[1],
        negative_prompt="x" * int(min(row.negative_prompt, 10_000)) or None,
        seed=2147483647,
    )
    checked = check(wanted, gateway=VENDOR)
    assert (checked.request, checked.warnings) == (wanted, ())


@pytest.mark.parametrize(("row", "operation"), ENFORCED, ids=ids(ENFORCED))
def test_a_size_one_step_outside_is_refused(row, operation):
    for size in one_step_outside(row.mode(operation).size):
        refused(row, request(row, operation, size=size), "size")


@pytest.mark.parametrize(("row", "operation"), ENFORCED, ids=ids(ENFORCED))
def test_one_image_more_than_a_request_may_ask_for_is_refused(row, operation):
    refused(row, request(row, operation, n=row.mode(operation).n[1] + 1), "n")


@pytest.mark.parametrize(("row", "operation"), WITH_IMAGES, ids=ids(WITH_IMAGES))
def test_one_input_image_too_many_is_refused(row, operation):
    refused(row, request(row, operation, images=row.mode(operation).images[1] + 1), "images")


@pytest.mark.parametrize(("row", "operation"), ENFORCED, ids=ids(ENFORCED))
def test_a_tier_is_taken_only_by_models_that_have_it(row, operation):
    rule = row.mode(operation).size
    for tier in ("1K", "2K", "4K", "9K"):
        wanted = request(row, operation, size=tier)
        if tier in rule.tiers:
            checked = check(wanted, gateway=VENDOR)
            assert checked.request.size == Size.parse(rule.tiers[tier])
            assert len(checked.warnings) == (tier == "4K" and row.name == "wan2.7-image")
        elif rule.rule != "input":
            refused(row, wanted, "size")


@pytest.mark.parametrize(("row", "operation"), MODES, ids=ids(MODES))
def test_a_prompt_one_over_the_limit_warns_because_it_is_cut(row, operation):
    wanted = request(row, operation, prompt=longest_prompt(row) + "x")
    warnings = check(wanted, gateway=VENDOR).warnings
    assert [warning.partition(":")[0] for warning in warnings] == (["prompt"] if row.prompt else [])


@pytest.mark.parametrize(("row", "operation"), MODES, ids=ids(MODES))
def test_a_negative_prompt_that_is_cut_or_unknown_warns(row, operation):
    wanted = request(row, operation, negative_prompt="x" * 501)
    checked = check(wanted, gateway=VENDOR)
    cut = [] if row.negative_prompt == math.inf else ["negative_prompt"]
    assert [warning.partition(":")[0] for warning in checked.warnings] == cut
    sent = row.negative_prompt or not row.refuses  # what only a third party says is not acted upon
    assert checked.request.negative_prompt == (wanted.negative_prompt if sent else None)


@pytest.mark.parametrize(("row", "operation"), MISSING, ids=ids(MISSING))
def test_an_operation_a_model_has_not_is_refused_and_others_are_named(row, operation):
    images = {"images": ("https://img.example/a.png",)} if operation == "edit" else {}
    with pytest.raises(InvalidRequest, match=f"{operation} is not supported for {row.name}") as caught:
        check(KINDS[operation](prompt="x", model=row.name, **images), gateway=VENDOR)
    assert "wan2.7-image" in caught.value.advice


@pytest.mark.parametrize(("row", "operation"), MODES, ids=ids(MODES))
def test_an_engine_of_ones_own_is_only_warned_about(row, operation):
    wanted = request(row, operation, n=100, size=(9000, 9001), negative_prompt="blur", images=11)
    checked = check(wanted, gateway=ENGINE)
    assert checked.request == wanted
    assert {"n", "size"} <= {warning.partition(":")[0] for warning in checked.warnings}


@pytest.mark.parametrize(
    "row", [row for row in models().values() if not row.refuses], ids=lambda row: row.name
)
def test_limits_that_only_third_parties_name_warn(row):
    wanted = request(row, "edit", n=7, size=(9000, 9001), images=11)
    checked = check(wanted, gateway=VENDOR)
    assert [warning.partition(":")[0] for warning in checked.warnings] == ["n", "images", "size"]


TAKERS = [row for row in models().values() if row.input and row.refuses]


@pytest.mark.parametrize("row", TAKERS, ids=lambda row: row.name)
def test_input_images_pass_up_to_their_bounds_and_not_beyond(row):
    low, high = row.input.sides
    ratio = row.input.limit or high // low
    across = -(-high // ratio)
    check_image(InputFacts("PNG", low, low, 1), row)
    check_image(InputFacts("jpg", high, max(low, across), row.input.bytes), row)
    outside = [
        InputFacts("PNG", low - 1, low, 1),
        InputFacts("PNG", high, high + 1, 1),
        InputFacts("PNG", low, low, row.input.bytes + 1),
        InputFacts("AVIF", low, low, 1),
    ]
    if row.input.limit:
        outside.append(InputFacts("PNG", low * row.input.limit + 1, low, 1))
    for facts in outside:
        with pytest.raises(InvalidRequest, match=row.name) as caught:
            check_image(facts, row, index=1)
        assert caught.value.field == "images.1"


def test_an_input_image_is_only_warned_about_for_an_engine_and_not_checked_for_an_unknown_model():
    facts = InputFacts("SVG", 1, 1, 1)
    assert check_image(facts, None) == ()
    kind, sides = check_image(facts, models()["qwen-image-edit"], gateway=ENGINE)
    assert kind.startswith("images: SVG is not one of JPEG")
    assert "a side outside 384 to 3072" in sides
    with pytest.raises(InvalidRequest, match="SVG is not one of JPEG"):
        check_image(facts, models()["qwen-image-edit"], gateway=VENDOR)
