"""A batch writes its manifest as a table, too, where it is asked to."""

from __future__ import annotations

import io
import sys

import pytest
from pyarrow import parquet

from airflow_provider_qwenimage.exceptions import InvalidRequest
from batch.conftest import prompts
from harness import InMemoryAirflow


def test_a_batch_has_a_row_for_each_image(gateway, batch, shelf):
    attempt = InMemoryAirflow().run_to_end(batch(prompts(3), manifest_format="{{ 'parquet' }}"))

    rows = parquet.read_table(io.BytesIO(shelf.read("manifest.parquet"))).to_pylist()
    assert [row["uri"] for row in rows] == attempt.result
    assert [row["request"] for row in rows] == [0, 1, 2]
    assert [row["prompt"] for row in rows] == [image["prompt"] for image in shelf.manifest()["images"]]


@pytest.mark.parametrize("theirs", [False, True])
def test_a_table_that_cannot_be_written_is_refused_before_anything_is_paid(
    gateway, batch, shelf, monkeypatch, theirs
):
    if theirs:
        shelf.put("manifest.parquet", b"theirs")
    else:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    before = shelf.names()
    attempt = InMemoryAirflow().run_to_end(batch(prompts(2), manifest_format="parquet"))

    assert "manifest_format: 'parquet' " in str(attempt.error)
    assert (gateway.state.posts, shelf.names()) == (0, before)


def test_a_format_that_there_is_none_of_is_refused_when_the_dag_is_parsed(batch):
    with pytest.raises(InvalidRequest, match="manifest_format"):
        batch(prompts(1), manifest_format="avro")
