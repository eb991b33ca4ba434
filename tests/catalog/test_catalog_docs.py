"""The pages rendered from data and sources are the ones in the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_qwenimage import exceptions
from airflow_provider_qwenimage.catalog import gateways
from airflow_provider_qwenimage.catalog.models import models
from docs.generate import write

DOCS = Path(__file__).parents[2] / "docs"
PACKAGE = Path(exceptions.__file__).parent
RENDERED = ("models.md", "gateways.md", "errors.md", "configuration.md")
REMEDY = "run python -m docs.generate"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return {path.name: path.read_text(encoding="utf-8") for path in write(tmp_path_factory.mktemp("docs"))}


@pytest.mark.parametrize("name", RENDERED)
def test_a_rendered_page_is_up_to_date(pages, name):
    (page,) = (path for path in DOCS.rglob("*.md") if path.name == name)
    assert page.read_text(encoding="utf-8") == pages[name], REMEDY


def test_every_model_and_every_gateway_is_on_its_page(pages):
    names = [name for row in models().values() for name in (row.name, *row.names)]
    assert [name for name in names if f"`{name}`" not in pages["models.md"]] == []
    assert [name for name in gateways() if f"`{name}`" not in pages["gateways.md"]] == []


@pytest.mark.parametrize("name", RENDERED)
def test_every_table_line_has_the_cells_of_its_head(pages, name):
    for table in re.findall(r"(?:^\|.*\n)+", pages[name], flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_no_star_of_a_size_begins_an_emphasis(pages):
    outside_code = re.sub(r"`[^`]*`", "", pages["models.md"] + pages["gateways.md"])
    assert re.findall(r"\d\*\d", outside_code) == []


def test_every_error_has_a_place_to_which_its_message_leads(pages):
    headings = re.findall(r"^## (\w+)$", pages["errors.md"], flags=re.MULTILINE)
    assert set(headings) == {name for name, kind in vars(exceptions).items() if _is_below_the_root(kind)}


def _is_below_the_root(kind):
    return (
        isinstance(kind, type)
        and issubclass(kind, exceptions.QwenImageError)
        and kind is not exceptions.QwenImageError
    )


def test_every_advice_of_the_sources_is_on_the_page(pages):
    # Read in another way than the page is made: whatever text stands behind advice= in a call.
    page = re.sub(r"\\([*\[])", r"\1", pages["errors.md"])
    sources = [
        path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if "simulator" not in path.parts
    ]
    advice = {text for source in sources for text in re.findall(r'advice="([^"{}]+)"', source)}
    assert len(advice) > 40
    assert [text for text in advice if text not in page] == []
