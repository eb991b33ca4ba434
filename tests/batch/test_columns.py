"""Columns of a row that no request has: words of its prompt, labels of its images, or a mistake that is named."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_provider_qwenimage.batch.columns import Columns
from airflow_provider_qwenimage.batch.items import read_batch, rows_of
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.models.coercion import build
from airflow_provider_qwenimage.models.options import BatchOptions
from batch.conftest import prompts
from harness import InMemoryAirflow

TEMPLATE = "Studio photo of {name} in {colour}"


@pytest.fixture
def read(qwenimage_connection, tmp_path):
    """Read rows, a list or the text of a CSV, as a batch with these arguments does."""

    def reading(rows, *, prompt_template=None, extra_columns="refuse", **defaults):
        settings = QwenImageHook(qwenimage_connection("dashscope")).settings
        if isinstance(rows, str) and not rows.startswith("/"):
            file = tmp_path / "rows.csv"
            file.write_text(rows, encoding="utf-8")
            rows = str(file)
        options = build(
            BatchOptions, persist_to="s3://b/p/", prompt_template=prompt_template, extra_columns=extra_columns
        )
        filled = Columns.of(options).filled(rows_of(rows, None))
        return read_batch(filled, defaults={"model": "qwen-image-2.0", **defaults}, settings=settings).items

    return reading


@pytest.fixture
def refused(read):
    def reading(*args, **kwargs):
        with pytest.raises(InvalidRequest) as caught:
            read(*args, **kwargs)
        return str(caught.value)

    return reading


def test_a_prompt_is_filled_from_the_columns_of_its_row(read):
    items = read("name,colour,size\nan enamel mug,blue,16:9\n\na lamp,red,\n", prompt_template=TEMPLATE)

    assert [item.request.prompt for item in items] == [
        "Studio photo of an enamel mug in blue",
        "Studio photo of a lamp in red",
    ]
    assert [item.request.labels for item in items] == [{}, {}]


def test_columns_may_have_any_name_and_fields_of_the_request_are_columns_too(read):
    (item,) = read(
        [{"product name": "mug", "a.b": 3, "n": 2}], prompt_template="{n} × {product name} {{{a.b}}}"
    )

    assert (item.request.prompt, item.request.n) == ("2 × mug {3}", 2)


def test_a_row_keeps_a_prompt_of_its_own(read):
    items = read([{"prompt": "a fox"}, {"name": "mug", "colour": "red"}], prompt_template=TEMPLATE)

    assert [item.request.prompt for item in items] == ["a fox", "Studio photo of mug in red"]


def test_text_in_a_cell_is_no_template(read):
    (item,) = read([{"name": "{colour} mug", "colour": "red"}], prompt_template=TEMPLATE)

    assert item.request.prompt == "Studio photo of {colour} mug in red"


@pytest.mark.parametrize("extra_columns", ["refuse", "labels"])
def test_a_template_that_names_a_column_no_row_has_is_named_once_with_what_there_is(refused, extra_columns):
    said = refused("name,color\nmug,red\nlamp,blue\n", prompt_template=TEMPLATE, extra_columns=extra_columns)

    assert said.startswith(
        "prompt_template: names {colour}, a column that no row has; line 2 has name, color"
    )


def test_rows_without_a_column_of_the_template_are_named(refused):
    said = refused("name,colour\nmug,red\nlamp,\n,\n,blue\n", prompt_template=TEMPLATE)

    assert "2 of 3 cannot be sent" in said
    assert "line 3, colour: is named by prompt_template and is not there" in said
    assert "line 5, name: is named by" in said


def test_what_is_no_word_of_a_prompt_is_named(refused):
    said = refused([{"name": {"en": "mug"}, "colour": "red"}], prompt_template=TEMPLATE)

    assert "requests[0], name: must be text, got dict" in said


def test_further_columns_are_refused_by_name_unless_they_are_labels(read, refused):
    rows = "prompt,sku,market\na mug,A-1,DE\na lamp,B/2,\n"

    assert "line 2, sku, market: are not known; known are prompt, model" in refused(rows)
    assert [item.request.labels for item in read(rows, extra_columns="labels")] == [
        {"sku": "A-1", "market": "DE"},
        {"sku": "B/2"},
    ]


def test_columns_of_the_template_are_labels_where_the_others_are(read):
    (item,) = read([{"name": "mug", "colour": "red"}], prompt_template=TEMPLATE, extra_columns="labels")

    assert item.request.labels == {"name": "mug", "colour": "red"}


def test_the_labels_of_a_row_stand_above_its_columns_and_those_of_the_batch(read):
    rows = [{"prompt": "x", "sku": "column", "labels": {"sku": "own", "n": 1}}, {"prompt": "y"}]
    items = read(rows, extra_columns="labels", labels={"sku": "batch", "season": "spring"})

    assert items[0].request.labels == {"sku": "own", "season": "spring", "n": "1"}
    assert items[1].request.labels == {"sku": "batch", "season": "spring"}


def test_a_cell_may_hold_labels_as_json(read):
    (item,) = read('prompt,labels\na mug,"{""sku"": ""A-1""}"\n')

    assert item.request.labels == {"sku": "A-1"}


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"sku": {"en": "A"}}, "labels.sku: must be text, got an object"),
        ({"sku": ["A"]}, "labels.sku: must be text, got list"),
        (["A"], "labels: must be an object, got ['A']"),
        ("A-1", "labels: must be a list or an object, got 'A-1'"),
        ({"": "A"}, "labels..[key]: must have a name of 1 to 64 characters"),
        ({"k" * 65: "A"}, f"labels.{'k' * 65}.[key]: must have a name of 1 to 64 characters"),
        ({"sku": "x" * 4097}, "labels.sku: must have 4096 characters at most, got 4097"),
        ({"sku": "\ud800"}, "labels.sku: holds a NUL or half a character"),
        ({"sku": "a\0b"}, "labels.sku: holds a NUL or half a character"),
        ({f"l{n}": "x" for n in range(51)}, "labels: must hold at most 50, got"),
    ],
)
def test_what_is_no_label_is_named_with_its_row(refused, labels, said):
    message = refused([{"prompt": "fine"}, {"prompt": "x", "labels": labels}])

    assert f"requests[1], {said}" in message
    message.encode()


@pytest.mark.parametrize("label", ["a/b", "🦊", "x" * 3000, "红色 杯子", " ", "1\n2", '"'])
def test_a_label_may_be_any_text(read, label):
    (item,) = read([{"prompt": "x", "labels": {"sku": label}}])

    assert item.request.labels == {"sku": label}


def test_labels_are_no_part_of_what_is_paid(read):
    one, other = read([{"prompt": "x", "labels": {"sku": "A"}}, {"prompt": "x", "labels": {"sku": "B"}}])

    assert one.fingerprint == other.fingerprint == read([{"prompt": "x"}])[0].fingerprint


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("a mug", "names no column in braces"),
        ("a {mug", "expected '}' before end of string"),
        ("a {}", "must name a column"),
        ("a {mug!r}", "must name a column"),
        ("a {mug:>9}", "must name a column"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused_when_the_dag_is_parsed(batch, template, said):
    with pytest.raises(InvalidRequest, match="prompt_template") as caught:
        batch(prompts(1), prompt_template=template)
    assert said in str(caught.value)


def test_nothing_is_sent_for_a_batch_with_a_bad_label_or_column(gateway, batch, shelf):
    for arguments in ({"prompt_template": "a {colour}"}, {"extra_columns": "labels"}):
        rows = [{"prompt": "fine"}, {"labels": {"sku": {}}, "name": "mug"}]
        assert InMemoryAirflow().run_to_end(batch(rows, **arguments)).state == "failed"
    assert gateway.state.posts == 0
    assert shelf.names() == []


def test_a_parquet_file_is_read_as_warehouses_write_it(read, tmp_path):
    table = pa.table(
        {
            "prompt": ["a mug", "a lamp"],
            "n": [2, None],
            "sku": ["A-1", "B-2"],
            "price": [Decimal("9.90"), None],
            "since": [date(2026, 11, 1), None],
            "share": [0.5, float("nan")],
            "labels": pa.array([[("market", "DE")], None], pa.map_(pa.string(), pa.string())),
        }
    )
    parquet.write_table(table, tmp_path / "rows.parquet")

    one, other = read(str(tmp_path / "rows.parquet"), extra_columns="labels")

    assert (one.where, one.request.n, other.request.n) == ("row 1", 2, 1)
    assert one.request.labels == {
        "sku": "A-1",
        "price": "9.90",
        "since": "2026-11-01",
        "share": "0.5",
        "market": "DE",
    }
    assert other.request.labels == {"sku": "B-2"}


def test_what_is_called_parquet_and_is_none_is_refused(refused, tmp_path):
    file = tmp_path / "rows.parquet"
    file.write_bytes(json.dumps({"prompt": "x"}).encode())

    assert "requests: is no Parquet that can be read" in refused(str(file))
