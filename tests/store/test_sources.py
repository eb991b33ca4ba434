"""What authors and upstream tasks may give as ``images``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.results import GeneratedImage, ImageSource
from airflow_provider_qwenimage.storage.sources import read_sources

A, B, C = "https://h.example/a.png?Signature=x", "https://h.example/b.png", "s3://bucket/c.png"


class Lazy(Sequence):
    """What Airflow hands over for the outputs of a mapped task."""

    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, position):
        return self.items[position]


@pytest.mark.parametrize(
    "images",
    [
        [A, B, C],
        (A, [B, [C]]),
        [[A], [], [B, C]],
        Lazy([A], [B, C]),
        iter([A, B, C]),
        f'["{A}", ["{B}", "{C}"]]',
        f"['{A}', '{B}', {{'url': '{C}', 'seed': None}}]",
        [{"url": A, "index": 9}, {"url": B, "gateway": "x"}, C],
        f"  {[A, B, C]}  ",
    ],
    ids=["list", "tuple", "nested", "mapped", "iterator", "json", "python", "objects", "blanks"],
)
def test_images_are_flattened_in_order(images):
    assert [source.location for source in read_sources(images)] == [A, B, C]


def test_one_image_needs_no_list():
    assert [source.location for source in read_sources(A)] == [A]
    assert [source.location for source in read_sources({"url": A})] == [A]
    assert [source.location for source in read_sources(f'{{"url": "{A}"}}')] == [A]


def test_the_fields_of_an_image_object_are_kept_without_its_signature_and_its_bytes():
    (source,) = read_sources([{"url": A, "seed": "7", "product": {"sku": 3}, "index": 4, "b64_json": "AAAA"}])
    kept = source.fields.model_dump(exclude_none=True)
    assert kept == {"url": "https://h.example/a.png", "seed": 7, "labels": {}, "product": {"sku": 3}}


def test_what_was_stored_can_be_stored_again_from_where_it_lies():
    (source,) = read_sources([{"uri": C, "url": B, "sha256": "0" * 64, "bytes": 3, "model": "m"}])
    assert (source.kind, source.location, source.fields.url, source.fields.model) == ("stored", C, B, "m")


def test_a_generated_image_brings_its_bytes_along():
    image = GeneratedImage(
        url=None,
        index=0,
        gateway="g",
        model="m",
        prompt="p",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        data=b"x",
    )
    (source,) = read_sources([image])
    assert (source.kind, source.data, source.fields.prompt) == ("bytes", b"x", "p")
    assert source.fields.created_at == "2026-01-01T00:00:00Z"


def test_a_data_url_leaves_no_trace_in_what_is_recorded():
    (source,) = read_sources("data:image/png;base64,AAAA")
    assert (source.kind, source.fields.url) == ("data", None)
    assert "AAAA" not in repr(source)


@pytest.mark.parametrize(
    ("images", "field"),
    [
        ([], "images"),
        ([[], [[]]], "images"),
        ("[]", "images"),
        ("", "images"),
        ("None", "images"),
        (None, "images"),
        (7, "images"),
        ("[1, 2", "images"),
        ([A, None], "images[1]"),
        ([[A], [B, 3]], "images[1][1]"),
        ([A, ""], "images[1]"),
        ([{"url": None}], "images[0]"),
        ([{"prompt": "p"}], "images[0]"),
        (["/data/a.png"], "images[0]"),
        (["oss://bucket/a.png"], "images[0]"),
        ([{A, B}], "images[0]"),
        ([b"x"], "images[0]"),
        ([{"url": A, "seed": "many"}], "images[0].seed"),
    ],
)
def test_what_holds_no_image_is_refused_by_name(images, field):
    with pytest.raises(InvalidRequest) as caught:
        read_sources(images)
    assert caught.value.field == field


@pytest.mark.parametrize("url", [None, " ", "ftp://h.example/a.png", "/home/a.png"])
def test_an_image_of_ours_has_bytes_or_a_link_that_can_be_fetched(url):
    image = GeneratedImage(
        url=url, index=0, gateway="x", model="m", prompt="p", created_at=datetime(2026, 11, 21, tzinfo=UTC)
    )
    with pytest.raises(InvalidRequest, match="neither bytes nor a URL"):
        ImageSource.of(image)
    assert ImageSource.of(image.model_copy(update={"data": b"bytes"})).kind == "bytes"
