"""What ``make matrix`` says of its rows, also of those that could not be tried for lack of a Python."""

from __future__ import annotations

from pathlib import Path

import yaml

from matrix import run_rows

ROOT = Path(__file__).parent.parent
TRIED = {"python": "3.13.0", "airflow": "3.3.2", "retry policy": True, "Dags": 8, "faults": 19, "wrong": 0}


def cells(table):
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}


def test_a_row_without_its_python_stands_in_the_table_as_skipped():
    rows = {"3.3": TRIED, "3.14": {"python": "3.14", "skipped": "SKIPPED: no such Python"}}
    assert cells(run_rows.table(rows)) == {
        "3.3": {
            "row": "3.3",
            "python": "3.13.0",
            "airflow": "3.3.2",
            "retry policy": "yes",
            "tried": "8 Dags, 19 faults",
        },
        "3.14": {
            "row": "3.14",
            "python": "3.14",
            "airflow": "–",
            "retry policy": "–",
            "tried": "SKIPPED: no such Python",
        },
    }


def test_where_every_row_was_skipped_nothing_was_tried():
    left = {"skipped": "SKIPPED"}
    assert run_rows.result({"3.3": TRIED, "3.14": left}, []) == 0
    assert run_rows.result({"3.14": left}, []) == 1
    assert run_rows.result({"3.3": TRIED}, ["row 3.14: not all that it needs has wheels"]) == 1


def test_the_page_has_every_row_and_the_forge_tries_every_row():
    page = run_rows.PAGE.read_text(encoding="utf-8").partition(run_rows.TABLE)[2]
    assert list(cells(page)) == list(run_rows.ROWS)
    forge = yaml.safe_load((ROOT / ".github/workflows/ci.yaml").read_text(encoding="utf-8"))
    assert forge["jobs"]["matrix"]["strategy"]["matrix"]["row"] == list(run_rows.ROWS)
