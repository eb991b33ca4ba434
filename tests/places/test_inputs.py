"""Whoever writes a file of rows names what lies beside it, in whatever store, and nothing else."""

from __future__ import annotations

import pytest

from airflow_provider_qwenimage.batch.allowed import AllowedInputs
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.operators.lineage import _dataset
from airflow_provider_qwenimage.wire.links import lies_below, split_prefix

OF_A_FOLDER = AllowedInputs.beside("file:///data/rows.jsonl")
OF_GOOGLE = AllowedInputs.beside("gs://briefs@marketing/rows.jsonl")
OF_AZURE = AllowedInputs(["abfs://blobs@images/photos/"])


@pytest.mark.parametrize(
    ("allowed", "image"),
    [
        (OF_A_FOLDER, "file:///data/photo.png"),
        (OF_A_FOLDER, "/data/deep/er/photo.png"),
        (OF_GOOGLE, "gs://briefs@marketing/photo.png"),
        (OF_AZURE, "abfs://blobs@images/photos/a.png"),
        (AllowedInputs(["file:///data"]), "/data/a.png"),
    ],
)
def test_what_lies_beside_the_rows_may_be_named(allowed, image):
    allowed.check([image])


@pytest.mark.parametrize(
    ("allowed", "image"),
    [
        (OF_A_FOLDER, "file:///etc/photo.png"),
        (OF_A_FOLDER, "file:///data/../etc/photo.png"),
        (OF_A_FOLDER, "file:///database/photo.png"),
        (OF_A_FOLDER, "s3://bucket/photo.png"),
        (OF_GOOGLE, "gs://marketing/photo.png"),
        (OF_GOOGLE, "gs://another@marketing/photo.png"),
        (OF_GOOGLE, "gs://briefs@salaries/photo.png"),
        (OF_GOOGLE, "file:///data/photo.png"),
        (OF_GOOGLE, "/data/photo.png"),
        (OF_AZURE, "abfs://blobs@images/photos/../a.png"),
        (OF_AZURE, "abfss://blobs@images/photos/a.png"),
    ],
)
def test_what_lies_elsewhere_may_not(allowed, image):
    with pytest.raises(InvalidRequest, match="elsewhere than inputs_from allows"):
        allowed.check([image])


def test_a_link_out_of_the_folder_leads_out_of_it(tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(InvalidRequest):
        AllowedInputs.beside(f"file://{tmp_path}/rows/rows.csv").check([f"file://{tmp_path}/rows/link.png"])


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("s3://bucket", ("s3://bucket", "")),
        ("gs://conn@bucket/a/b", ("gs://conn@bucket", "a/b/")),
        ("abfss://container/a/", ("abfss://container", "a/")),
        ("file:///mnt/images", ("file://", "mnt/images/")),
    ],
)
def test_a_prefix_of_any_store_is_taken_apart(uri, parts):
    assert split_prefix(uri, field="persist_to") == parts


@pytest.mark.parametrize(
    "uri",
    ["azure://images/a/", "az://images/a/", "gcs://b/a/", "file://host/a/", "s3://conn@bucket/a/", "/a/", ""],
)
def test_what_is_no_store_is_refused_with_the_forms_there_are(uri):
    with pytest.raises(InvalidRequest, match=r"abfs://container/path/ or file:///path/"):
        split_prefix(uri, field="persist_to")


def test_what_lies_below_a_prefix_is_told_by_connection_and_bucket():
    assert lies_below("gs://a@bucket/set/1.png", "gs://a@bucket/set/")
    for other in ("gs://b@bucket/set/1.png", "gs://bucket/set/1.png", "s3://bucket/set/1.png"):
        assert not lies_below(other, "gs://a@bucket/set/")


@pytest.mark.parametrize(
    ("uri", "dataset"),
    [
        ("s3://bucket/set/", ("s3://bucket", "set")),
        ("gs://conn@bucket/set/1.png", ("gs://bucket", "set/1.png")),
        ("file:///mnt/images/1.png", ("file", "/mnt/images/1.png")),
    ],
)
def test_lineage_names_datasets_and_no_connections(uri, dataset):
    assert _dataset(uri) == dataset
