"""The rows are complete, and found by every name a gateway gives them."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel

from airflow_provider_qwenimage.catalog import gateways, read
from airflow_provider_qwenimage.catalog.models import OPERATIONS, model, models, sources
from airflow_provider_qwenimage.catalog.prices import listed_prices

# Contract section 5, as the issue lists them.
NAMED = {
    "qwen-image": "qwen-image",
    "qwen-image-plus": "qwen-image-plus",
    "qwen-image-plus-2026-01-09": "qwen-image-plus-2026-01-09",
    "qwen-image-max": "qwen-image-max",
    "qwen-image-max-2025-12-30": "qwen-image-max",
    "qwen-image-2.0": "qwen-image-2.0",
    "qwen-image-2.0-2026-03-03": "qwen-image-2.0",
    "qwen-image-2.0-pro": "qwen-image-2.0-pro",
    "qwen-image-2.0-pro-2026-03-03": "qwen-image-2.0-pro",
    "qwen-image-2.0-pro-2026-04-22": "qwen-image-2.0-pro",
    "qwen-image-2.0-pro-2026-06-22": "qwen-image-2.0-pro",
    "qwen-image-3.0": "qwen-image-3.0",
    "qwen-image-3.0-pro": "qwen-image-3.0-pro",
    "qwen-image-2.1-pro": "qwen-image-2.1-pro",
    "qwen-image-2.1-turbo": "qwen-image-2.1-turbo",
    "qwen-image-edit": "qwen-image-edit",
    "qwen-image-edit-plus": "qwen-image-edit-plus",
    "qwen-image-edit-plus-2025-10-30": "qwen-image-edit-plus",
    "qwen-image-edit-plus-2025-12-15": "qwen-image-edit-plus",
    "qwen-image-edit-max": "qwen-image-edit-max",
    "qwen-image-edit-max-2026-01-16": "qwen-image-edit-max",
    "qwen-mt-image": "qwen-mt-image",
    "qwen-mt-image-2.0": "qwen-mt-image-2.0",
    "z-image-turbo": "z-image-turbo",
    "wan2.7-image": "wan2.7-image",
    "wan2.7-image-pro": "wan2.7-image-pro",
    "wan2.6-image": "wan2.6-image",
    "wan2.6-t2i": "wan2.6-t2i",
    "wan2.5-t2i-preview": "wan2.5-t2i-preview",
    "wan2.5-i2i-preview": "wan2.5-i2i-preview",
    "wan2.2-t2i-flash": "wan2.2-t2i-flash",
    "wan2.2-t2i-plus": "wan2.2-t2i-plus",
    "wanx2.1-t2i-turbo": "wanx2.1-t2i-turbo",
    "wan2.1-t2i-turbo": "wanx2.1-t2i-turbo",
    "wanx2.1-t2i-plus": "wanx2.1-t2i-plus",
    "wan2.1-t2i-plus": "wanx2.1-t2i-plus",
    "wanx2.0-t2i-turbo": "wanx2.0-t2i-turbo",
}


@pytest.mark.parametrize(("name", "row"), NAMED.items())
def test_every_name_leads_to_its_row(name, row):
    assert model(name).name == row
    assert model(f"alibaba/{name}").name == row


def test_the_catalogue_has_no_row_beyond_the_contract():
    assert set(models()) == set(NAMED.values())


# The contract's table read a second time, by hand: operation, size bounds, n and its upstream default, input images.
SQUARE = (512**2, 2048**2)
WAN_RATIO = (1280**2, 1440**2)
COUNTS = {
    "qwen-image": [("generate", None, (1, 1), 1, (0, 0))],
    "qwen-image-plus": [("generate", None, (1, 1), 1, (0, 0))],
    "qwen-image-plus-2026-01-09": [("generate", None, (1, 1), 1, (0, 0))],
    "qwen-image-max": [("generate", None, (1, 1), 1, (0, 0))],
    "qwen-image-2.0": [("generate", SQUARE, (1, 6), 1, (0, 0)), ("edit", SQUARE, (1, 6), 1, (1, 3))],
    "qwen-image-2.0-pro": [("generate", SQUARE, (1, 6), 1, (0, 0)), ("edit", SQUARE, (1, 6), 1, (1, 3))],
    "qwen-image-3.0": [("generate", SQUARE, (1, 6), 1, (0, 0)), ("edit", SQUARE, (1, 6), 1, (1, 3))],
    "qwen-image-3.0-pro": [("generate", SQUARE, (1, 6), 1, (0, 0)), ("edit", SQUARE, (1, 6), 1, (1, 3))],
    "qwen-image-2.1-pro": [("generate", SQUARE, (1, 6), 1, (0, 0)), ("edit", SQUARE, (1, 6), 1, (1, 10))],
    "qwen-image-2.1-turbo": [("generate", SQUARE, (1, 6), 1, (0, 0)), ("edit", SQUARE, (1, 6), 1, (1, 10))],
    "qwen-image-edit": [("edit", None, (1, 1), 1, (1, 3))],
    "qwen-image-edit-plus": [("edit", (512, 2048), (1, 6), 1, (1, 3))],
    "qwen-image-edit-max": [("edit", (512, 2048), (1, 6), 1, (1, 3))],
    "qwen-mt-image": [("translate", None, (1, 1), 1, (1, 1))],
    "qwen-mt-image-2.0": [("translate", None, (1, 1), 1, (1, 1))],
    "z-image-turbo": [("generate", SQUARE, (1, 1), 1, (0, 0))],
    "wan2.7-image": [
        ("generate", (768**2, 2048**2), (1, 4), 4, (0, 0)),
        ("edit", (768**2, 2048**2), (1, 4), 4, (1, 9)),
        ("sequence", (768**2, 2048**2), (1, 12), 12, (0, 9)),
    ],
    "wan2.7-image-pro": [
        ("generate", (768**2, 4096**2), (1, 4), 4, (0, 0)),
        ("edit", (768**2, 2048**2), (1, 4), 4, (1, 9)),
        ("sequence", (768**2, 2048**2), (1, 12), 12, (0, 9)),
    ],
    "wan2.6-image": [
        ("edit", (768**2, 2048**2), (1, 4), 4, (1, 4)),
        ("sequence", (768**2, 1280**2), (1, 5), 5, (0, 1)),
    ],
    "wan2.6-t2i": [("generate", WAN_RATIO, (1, 4), 4, (0, 0))],
    "wan2.5-t2i-preview": [("generate", WAN_RATIO, (1, 4), 4, (0, 0))],
    "wan2.5-i2i-preview": [("edit", (768**2, 1280**2), (1, 4), 4, (1, 3))],
    "wan2.2-t2i-flash": [("generate", (512, 1440), (1, 4), 4, (0, 0))],
    "wan2.2-t2i-plus": [("generate", (512, 1440), (1, 4), 4, (0, 0))],
    "wanx2.1-t2i-turbo": [("generate", (512, 1440), (1, 4), 4, (0, 0))],
    "wanx2.1-t2i-plus": [("generate", (512, 1440), (1, 4), 4, (0, 0))],
    "wanx2.0-t2i-turbo": [("generate", (512, 1440), (1, 4), 4, (0, 0))],
}
SYNC_ONLY = {"qwen-image-plus-2026-01-09", "qwen-image-max", "z-image-turbo", "qwen-image-2.1-pro"}
SYNC_ONLY |= {"qwen-image-2.1-turbo"}
SYNC_ONLY |= {
    "qwen-image-2.0",
    "qwen-image-2.0-pro",
    "qwen-image-edit",
    "qwen-image-edit-plus",
    "qwen-image-edit-max",
}
JOBS_ONLY = {"wan2.5-t2i-preview", "wan2.5-i2i-preview", "qwen-mt-image", "qwen-mt-image-2.0"}
JOBS_ONLY |= {"wanx2.1-t2i-turbo", "wanx2.1-t2i-plus", "wanx2.0-t2i-turbo"}


@pytest.mark.parametrize("row", models().values(), ids=models())
def test_a_row_holds_the_numbers_of_the_contract(row):
    told = [(operation, row.mode(operation)) for operation in row.operations]
    bounds = {"pixels": lambda rule: rule.pixels, "sides": lambda rule: rule.sides}
    assert COUNTS[row.name] == [
        (name, bounds.get(mode.size.rule, lambda _: None)(mode.size), mode.n, mode.n_default, mode.images)
        for name, mode in told
    ]


def test_a_verified_row_says_when_and_how():
    rows = [row for row in models().values() if row.verified]
    assert len(rows) >= 13
    assert all(row.verified.how and row.verified.date.year == 2026 for row in rows)


@pytest.mark.parametrize("row", models().values(), ids=models())
def test_what_has_jobs_goes_as_a_job(row):
    assert row.jobs_preferred == (row.jobs is not None)


def test_jobs_are_where_the_contract_has_them():
    assert {row.name for row in models().values() if row.jobs is None} == SYNC_ONLY
    assert {row.name for row in models().values() if not row.sync} == JOBS_ONLY


@pytest.mark.parametrize("name", ["gpt-image-1", "qwen-image-9.0", "Qwen/Qwen-Image", "alibaba/", ""])
def test_an_unknown_name_has_no_row(name):
    assert model(name) is None


def test_no_name_belongs_to_two_rows():
    names = [name for row in models().values() for name in (row.name, *row.names)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("row", models().values(), ids=models())
def test_every_row_says_where_and_when_it_was_read(row):
    assert row.date.year in (2025, 2026)
    assert set(row.source) <= set(sources())


def facts(value):
    """Every fact of a row that has a source, degree and date of its own, however deep it lies."""
    if isinstance(value, BaseModel):
        yield from ([value] if getattr(value, "cited", "") else [])
        for _, inner in value:
            yield from facts(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from facts(inner)


FACTS = [fact for row in models().values() for fact in facts(row)]


def test_every_source_of_the_vendor_has_an_address_and_every_source_is_used():
    vendors = {address for key, address in sources().items() if key.startswith("A-")}
    assert {urlsplit(address).scheme for address in vendors} == {"https"}
    named = [fact.source for fact in (*FACTS, *listed_prices())]
    assert {key for source in named for key in ([source] if isinstance(source, str) else source)} == set(
        sources()
    )


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: f"{type(fact).__name__}-{fact.cited}")
def test_a_fact_is_as_sure_as_its_source(fact):
    first = fact.source if isinstance(fact.source, str) else fact.source[0]
    assert fact.sure == {"A": "V", "M": "M", "T": "T"}[first[0]] or (fact.sure, first[0]) == ("T", "A")


def test_only_a_third_partys_word_does_not_refuse():
    assert {(fact.sure, fact.refuses) for fact in FACTS} <= {("V", True), ("M", True), ("T", False)}


@pytest.mark.parametrize("row", gateways().values(), ids=gateways())
def test_every_gateway_says_where_and_when_it_was_read(row):
    assert row.source
    assert row.date.year == 2026


@pytest.mark.parametrize("row", models().values(), ids=models())
def test_every_row_can_do_something_and_answers_somehow(row):
    assert row.operations
    assert row.sync or row.jobs
    assert row.jobs or not row.jobs_preferred


@pytest.mark.parametrize("row", models().values(), ids=models())
def test_input_images_are_described_exactly_where_they_are_taken(row):
    assert bool(row.input) == any(row.mode(operation).images[1] for operation in row.operations)


@pytest.mark.parametrize("row", [row for row in models().values() if row.sequence], ids=lambda row: row.name)
def test_what_turns_a_sequence_on_is_a_parameter_of_the_row(row):
    assert row.parameter(row.sequence.switch).kind == "flag"
    assert row.sequence.count == "n" or row.parameter(row.sequence.count).most == row.sequence.n[1]


def test_nothing_shared_is_left_unused():
    tables = read("models.toml")
    rows = tables["models"].values()
    modes = [row[operation] for row in rows for operation in OPERATIONS if operation in row]
    assert {mode["size"] for mode in modes} == set(tables["sizes"])
    assert {row["input"] for row in rows if "input" in row} == set(tables["inputs"])
    assert {name for row in rows for name in row["parameters"]} == set(tables["parameters"])


def test_the_toml_is_read_at_first_use_and_not_at_import():
    code = (
        "from airflow_provider_qwenimage.catalog import rules, models\n"
        "print(models.models.cache_info().currsize)\n"
        "models.model('qwen-image')\n"
        "print(models.models.cache_info().currsize)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split()[-2:] == ["0", "1"]
