"""The manifest as it is stored."""

from __future__ import annotations

import json

import pytest

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.manifest import Failure, Manifest, StoredImage

KEYS = ["version", "dag_id", "run_id", "task_id", "map_index", "created_at", "images", "failures"]
BYTES = ["uri", "index", "content_type", "bytes", "sha256", "width", "height"]
FIELDS = [
    "url",
    "gateway",
    "model",
    "prompt",
    "revised_prompt",
    "seed",
    "size",
    "asked_size",
    "request_id",
    "created_at",
    "expires_at",
    "labels",
    "operation",
    "origin",
    "arrived_sha256",
]

IMAGE = StoredImage(
    uri="s3://b/p/000-aa.png", index=0, content_type="image/png", bytes=3, sha256="aa", width=1, height=2,
    url="https://user@h.example/a.png?Expires=1&Signature=topsecret#x", model="m",
)  # fmt: skip


def test_the_manifest_has_exactly_the_keys_of_its_format():
    stored = json.loads(
        Manifest(dag_id="d", images=(IMAGE,), failures=(Failure(index=1, reason="gone"),)).dump()
    )
    assert list(stored) == KEYS
    assert list(stored["images"][0]) == BYTES + FIELDS
    assert stored["version"] == 1
    assert stored["failures"] == [{"index": 1, "reason": "gone"}]
    assert stored["created_at"].endswith("Z")


def test_a_url_is_kept_without_the_right_to_it():
    text = Manifest(images=(IMAGE,)).dump().decode()
    assert IMAGE.url == "https://h.example/a.png"
    assert "topsecret" not in text


def test_what_was_written_is_read():
    written = Manifest(dag_id="d", run_id="r", task_id="t", map_index=3, images=(IMAGE,))
    read = Manifest.load(written.dump())
    assert read.images == written.images
    assert (read.dag_id, read.map_index) == ("d", 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"version": 2, "images": []}', "version other than 1"),
        (b'{"name": "My app", "icons": []}', "not a manifest of this provider"),
        (b"[]", "not a manifest"),
        (b"not json", "not a manifest"),
        (b"\xff\xfe", "not a manifest"),
    ],
)
def test_what_is_no_manifest_of_this_version_is_refused(text, said):
    with pytest.raises(InvalidRequest, match=said) as caught:
        Manifest.load(text, where="s3://b/p/manifest.json")
    assert caught.value.field == "s3://b/p/manifest.json"
