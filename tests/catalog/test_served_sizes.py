"""Whatever a source says is served is never refused: for every model, at random around and between all bounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_provider_qwenimage.catalog import gateway
from airflow_provider_qwenimage.catalog.models import models
from airflow_provider_qwenimage.catalog.rules import check
from airflow_provider_qwenimage.models.requests import KINDS
from airflow_provider_qwenimage.simulator.asks import Ask
from airflow_provider_qwenimage.simulator.rules import check as vendor_check
from airflow_provider_qwenimage.simulator.vendor import GATEWAYS, MODELS, RefusedError

VENDOR = gateway("dashscope")
MODES = [
    (row, operation) for row in models().values() for operation in row.operations if operation != "translate"
]
MEASURED = [case for case in MODES if case[0].mode(case[1]).size.served]
IMAGE = "https://img.example/1.png"


def ids(cases):
    return [f"{row.name}-{operation}" for row, operation in cases]


def request(row, operation, size):
    images = () if operation == "generate" else (IMAGE,) * row.mode(operation).images[0]
    fields = {} if operation == "generate" else {"images": images}
    return KINDS[operation](prompt="a boat", model=row.name, n=1, size=size, **fields)


def served_by_the_vendor(row, operation, size):
    """What the simulator says, whose table was read from the sources by other eyes than the catalogue's."""
    images = (IMAGE,) * row.mode(operation).images[0]
    switch = row.mode(operation).switch
    parameters = {"size": f"{size[0]}*{size[1]}", "n": 1, **({switch: True} if switch else {})}
    try:
        vendor_check(Ask(row.name, "a boat", "native", images, parameters), GATEWAYS["dashscope"])
    except RefusedError:
        return False
    return True


# Sizes the vendor lists, sides close to what any bound mentions so that it is met from both sides, and anything else.
LISTED = [tuple(map(int, size.split("*"))) for row in MODELS.values() for size in row.size.enum or ()]
NEAR = [511, 512, 720, 767, 768, 928, 960, 1104, 1140, 1280, 1440, 1472, 1664, 1696, 2048, 2560, 4096]
sides = st.one_of(st.sampled_from(NEAR), st.integers(240, 4200))
sizes = st.one_of(st.sampled_from(LISTED), st.tuples(sides, sides))


@pytest.mark.parametrize("case", MODES, ids=ids(MODES))
@given(size=sizes)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_strict_never_refuses_what_the_vendor_serves(case, size):
    row, operation = case
    if row.name in MODELS and served_by_the_vendor(row, operation, size):
        check(request(row, operation, size), gateway=VENDOR)


@pytest.mark.parametrize("case", MEASURED, ids=ids(MEASURED))
@given(data=st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_between_the_page_and_the_measurement_a_size_warns_at_most(case, data):
    row, operation = case
    rule = row.mode(operation).size
    low, high = rule.served.pixels or (10_000, 16_777_216)
    width = data.draw(st.integers(math.ceil(low**0.5 / 2), math.floor(high**0.5)))
    height = data.draw(st.integers(math.ceil(low / width), math.floor(high / width)))
    assume(max(width, height) <= (rule.limit or 16) * min(width, height))

    checked = check(request(row, operation, (width, height)), gateway=VENDOR)

    assert checked.request.size.pixels == (width, height)
    assert {warning.partition(":")[0] for warning in checked.warnings} <= {"size"}


@pytest.mark.parametrize("size", [(1696, 960), (960, 1696), (1472, 1104), (1024, 1024)])
@pytest.mark.parametrize("model", ["wan2.6-t2i", "wan2.5-t2i-preview"])
def test_the_sizes_of_n8n_and_the_default_of_comfyui_go_through(model, size):
    checked = check(request(models()[model], "generate", size), gateway=VENDOR)
    assert len(checked.warnings) == (size == (1024, 1024))
