"""The Markdown a person decides by: images through Airflow, prompts as they were written."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_qwenimage.contact_sheet import contact_sheet, labels

OF = {"dag_id": "d", "run_id": "manual__2026-11-21T06:00:00+00:00", "task_id": "store"}


def stored(*prompts):
    return [
        {"uri": f"s3://b/k/{index:03d} (1).png", "prompt": prompt} for index, prompt in enumerate(prompts)
    ]


def cells(line):
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_labels_are_what_the_sheet_calls_its_images():
    sheet = contact_sheet(stored("a", "b", "c"), **OF)
    assert [label for label in labels(3) if f"**{label}**" in sheet] == ["Image 1", "Image 2", "Image 3"]


def test_an_image_is_shown_through_airflow_by_the_task_that_stored_it():
    sheet = contact_sheet(stored("a"), **OF, map_index=2)
    address = sheet.partition("![Image 1](")[2].partition(")")[0]
    assert urlsplit(address).path == "qwenimage/thumbnail"
    assert parse_qs(urlsplit(address).query) == {
        "dag_id": ["d"],
        "run_id": ["manual__2026-11-21T06:00:00+00:00"],
        "task_id": ["store"],
        "map_index": ["2"],
        "uri": ["s3://b/k/000 (1).png"],
    }


def test_rows_have_as_many_cells_as_there_are_columns():
    lines = contact_sheet(stored("a", "b", "c"), **OF, columns=2).splitlines()
    assert len(lines) == 7
    assert {line.count(" | ") + 1 for line in lines} == {2}
    assert cells(lines[1]) == ["---", "---"]


@pytest.mark.parametrize(
    "prompt",
    [
        "<img src=x onerror=alert(1)>",
        "a | b",
        "**bold** _it_ `code`",
        "[x](javascript:alert(1))",
        "![x](y)",
        "~~a~~ & \\",
    ],
)
def test_a_prompt_is_no_markdown(prompt):
    last = contact_sheet(stored(prompt), **OF, columns=1).splitlines()[-1]
    shown = last.removeprefix("| ").removesuffix(" |")
    assert all(
        shown[at - 1] == "\\" for at, sign in enumerate(shown) if sign in "<>|*_`[]()!~&" and sign != "\\"
    )
    assert shown.replace("\\\\", "\0").replace("\\", "").replace("\0", "\\") == prompt


# What Airflow's pages make links of in a text, escaped or not (mdast-util-gfm-autolink-literal 2.0.1).
AUTOLINKS = (
    re.compile(r"(https?://|www(?=\.))([-.\w]+)([^ \t\r\n]*)", re.IGNORECASE),
    re.compile(r"([-.\w+]+)@([-\w]+(?:\.[-\w]+)+)"),
)


@pytest.mark.parametrize(
    "prompt",
    [
        "see https://login.evil.example/ now",
        "HTTP://evil.example",
        "WWW.evil.example",
        "x (www.evil.example)",
        "mail boss@evil.example",
        "https://a@www.evil.example",
    ],
)
def test_an_address_in_a_prompt_is_no_link(prompt):
    (line,) = contact_sheet(stored(prompt), **OF, columns=1).splitlines()[-1:]
    shown = line.removeprefix("| ").removesuffix(" |").replace("\\", "")
    assert not any(pattern.search(shown) for pattern in AUTOLINKS)
    assert shown.replace("\u2060", "") == prompt


def test_a_prompt_of_many_lines_stays_in_its_cell_and_a_long_one_is_cut():
    (line,) = contact_sheet(stored("a\n\nb\tc " + "x" * 500), **OF, columns=1).splitlines()[-1:]
    assert line.startswith("| a b c x")
    assert line.endswith("x… |")
    assert len(line) < 200


def test_no_images_make_an_empty_sheet():
    assert contact_sheet([], **OF) == ""
