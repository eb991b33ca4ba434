"""``manifest.parquet`` beside ``manifest.json``: the same set for a warehouse, and no more than that promises."""

from __future__ import annotations

import io
import sys

import pytest
from pyarrow import parquet

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.manifests import read_manifest
from store.file_server import Answer

NAMES = ["manifest.json", "manifest.parquet"]


@pytest.fixture
def rows(objects):
    """Return what a warehouse reads of the prefix."""

    def read():
        table = parquet.read_table(io.BytesIO(objects.read("manifest.parquet")))
        return table.to_pylist(maps_as_pydicts="strict")

    return read


@pytest.fixture
def manifests(objects):
    return lambda: [name for name in objects.names() if name.startswith("manifest")]


def test_a_table_tells_what_the_manifest_tells(files, keep, rows, prefix):
    images = [{"url": url, "prompt": "a mug", "labels": {"sku": "A/1"}, "seed": 7} for url in files.images(3)]
    keep(images, manifest_format="parquet")

    told = [image.xcom() for image in read_manifest(prefix).images]
    for name in ("uri", "index", "sha256", "bytes", "width", "prompt", "seed", "labels", "content_type"):
        assert [row[name] for row in rows()] == [image[name] for image in told]


def test_there_is_no_table_unless_it_is_asked_for(files, keep, manifests):
    keep(files.images(2))

    assert manifests() == ["manifest.json"]


def test_a_table_goes_with_the_manifest_when_the_set_changes(files, keep, manifests):
    keep(files.images(2), manifest_format="parquet")
    assert manifests() == NAMES
    more = [files.put("/new.png", Answer(status=404)), *files.images(1, first=5)]
    outcome = keep(more, manifest_format="parquet")

    assert outcome.manifest is None
    assert manifests() == ["manifest.partial.json"]


def test_a_table_that_the_manifest_does_not_match_any_more_is_removed(files, keep, manifests):
    keep(files.images(2), manifest_format="parquet")
    keep(files.images(1))

    assert manifests() == ["manifest.json"]


def test_a_manifest_that_cannot_be_written_leaves_the_table_to_the_next_run(files, keep, rows, objects):
    images = files.images(2)
    keep(images, manifest_format="parquet")
    objects.delete("manifest.json")
    keep(images, manifest_format="parquet")

    assert [row["index"] for row in rows()] == [0, 1]


def test_somebody_elses_table_is_refused_and_stays(files, keep, objects):
    objects.put("manifest.parquet", b"theirs")

    with pytest.raises(InvalidRequest, match="manifest_format: 'parquet' would replace s3://"):
        keep(files.images(1), manifest_format="parquet")
    assert (objects.names(), files.seen) == (["manifest.parquet"], [])
    keep(files.images(1))
    assert objects.read("manifest.parquet") == b"theirs"


def test_a_table_needs_pyarrow_and_says_so_before_the_first_download(files, keep, objects, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(InvalidRequest, match="manifest_format: 'parquet' needs pyarrow"):
        keep(files.images(1), manifest_format="parquet")
    assert (objects.names(), files.seen) == ([], [])


def test_a_format_that_there_is_none_of_is_refused(files, keep):
    with pytest.raises((InvalidRequest, ValueError), match="manifest_format"):
        keep(files.images(1), manifest_format="avro")
