"""Marks of origin pass every path as they came, and the manifest tells them."""

from __future__ import annotations

import json

import pytest

from airflow_provider_qwenimage.images.checked import receive_bytes
from airflow_provider_qwenimage.images.label import Label, labelled
from airflow_provider_qwenimage.images.origin import TRAINED
from airflow_provider_qwenimage.models.options import StoreOptions
from airflow_provider_qwenimage.storage.sources import read_sources
from airflow_provider_qwenimage.storage.store import ImageStore
from store.file_server import png

ORIGIN = {"c2pa": False, "digital_source_type": TRAINED, "tc260": None}


@pytest.fixture
def marked():
    with receive_bytes(png(1), max_bytes=1 << 20) as plain, labelled(plain, Label()) as image:
        return bytes(image.read())


def stored(images, prefix):
    with ImageStore(StoreOptions(s3_prefix=prefix, allow_private_hosts=True)) as store:
        return store.store_all(read_sources(images))


def read(s3, uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return s3.client().get_object(Bucket=bucket, Key=key)["Body"].read()


def test_a_marked_image_is_stored_copied_and_told_as_it_is(files, s3, bucket, marked):
    url = files.put("/marked.png", marked)
    first = stored([url, files.put("/plain.png", png(2))], f"s3://{bucket}/first/")
    assert [image.origin for image in first.images] == [ORIGIN, {**ORIGIN, "digital_source_type": None}]
    again = stored([url], f"s3://{bucket}/first/")
    assert again.images[0].origin == ORIGIN
    copied = stored(first.stored, f"s3://{bucket}/second/")
    assert copied.images[0].origin == ORIGIN
    assert json.loads(read(s3, copied.manifest))["images"][0]["origin"] == ORIGIN
    assert {read(s3, outcome.uris[0]) for outcome in (first, again, copied)} == {marked}
