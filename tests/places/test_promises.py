"""What is promised of S3 holds of every other store that images may go to; where not, docs/stores.md says so."""

from __future__ import annotations

import hashlib
import io
import uuid

import pytest

from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.storage.prefix import Bucket
from airflow_provider_qwenimage.storage.s3 import S3
from store.file_server import png

MIB = 1 << 20
# What aiohttp thinks of whole images in the memory of Azure's own client.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")


def sha(body):
    return hashlib.sha256(body).hexdigest()


def put(place, name, body, **options):
    return place.bucket.put(name, body, content_type="image/png", sha256=sha(body), **options)


def test_bytes_come_back_as_they_went(place):
    body = bytes(range(256)) * 512 + b"\r\n\n"
    assert put(place, "deep/er/a.png", body) is True
    assert place.read("deep/er/a.png") == body


def test_what_is_told_beside_an_object_comes_back(place):
    body = png(1)
    told = {"digital-source-type": "http://cv.iptc.org/x", "labels": '{"sku": "A-1"}', "c2pa": "true"}
    put(place, "a.png", body, metadata=told)
    with place.bucket.open("a.png") as stored:
        assert dict(stored.metadata) == {**told, "sha256": sha(body)}
        assert (stored.size, stored.sha256, stored.head(8)) == (len(body), sha(body), body[:8])
        assert stored.marks == {"digital-source-type": "http://cv.iptc.org/x", "c2pa": "true"}
    assert place.bucket.sha256("a.png") == sha(body)


def test_a_name_is_taken_once_where_the_store_can_tell(place):
    assert put(place, "a.png", png(1), exclusive=True) is True
    assert put(place, "a.png", png(2), exclusive=True) is not place.conditional
    assert place.read("a.png") == png(1 if place.conditional else 2)
    assert put(place, "a.png", png(3)) is True
    assert place.read("a.png") == png(3)


def test_what_lies_there_is_listed_with_its_size(place):
    for name in ("a.png", "b.json", "journal/1.jsonl", "journal/old/2.jsonl"):
        put(place, name, name.encode())
    Bucket(f"{place.prefix.rstrip('/')}-too/", S3(None)).put(
        "c.png", b"other", content_type="image/png", sha256=sha(b"other")
    )
    assert place.bucket.names() == {"a.png": 5, "b.json": 6}
    assert set(place.bucket.names(deep=True)) == {"a.png", "b.json", "journal/1.jsonl", "journal/old/2.jsonl"}


def test_an_empty_prefix_is_empty(place):
    assert place.bucket.names() == place.bucket.names(deep=True) == {}


def test_a_part_of_an_object_is_read(place):
    put(place, "manifest.json", b"0123456789")
    for span, part in (((2, 5), b"234"), ((8, 99), b"89")):
        with S3(None).open(f"{place.prefix}manifest.json", span=span) as stored:
            assert (stored.size, stored.head(9)) == (len(part), part)


def test_another_object_under_a_name_is_told_from_the_first(place):
    etags = []
    for body in (png(1), png(2)):
        put(place, "a.png", body)
        with place.bucket.open("a.png") as stored:
            etags.append(stored.etag)
    assert len({*etags, ""}) == 3


def test_what_is_not_there_is_final_and_named(place):
    with pytest.raises(TransferError, match=r"gone\.png") as caught:
        place.bucket.open("gone.png")
    assert (caught.value.final, caught.value.status) == (True, 404)


def test_what_is_deleted_is_gone_and_may_be_deleted_again(place):
    put(place, "a.png", png(1))
    place.bucket.delete("a.png")
    place.bucket.delete("a.png")
    assert place.names() == []


def test_a_large_file_goes_and_comes_in_pieces(place):
    block = uuid.uuid4().bytes * (MIB // 16)
    whole = block * 20 + b"end"
    told = {"content_type": "application/json", "sha256": sha(whole)}
    assert place.bucket.put("big.json", io.BytesIO(whole), **told, exclusive=True) is True
    with place.bucket.open("big.json") as stored:
        assert stored.size == len(whole)
        assert sha(b"".join(stored.chunks())) == sha(whole)
    assert (
        place.bucket.put("big.json", io.BytesIO(whole[::-1]), **told, exclusive=True) is not place.conditional
    )


def test_an_image_is_copied_within_a_store_and_told_anew(place):
    put(place, "a.png", png(1), metadata={"labels": '{"sku": "A"}'})
    facts = {"content_type": "image/png", "sha256": sha(png(1))}
    place.bucket.copy(f"{place.prefix}a.png", "b.png", **facts, metadata={"labels": '{"sku": "B"}'})
    place.bucket.copy(f"{place.prefix}a.png", "a.png", **facts)
    told = {}
    for name in ("a.png", "b.png"):
        with place.bucket.open(name) as stored:
            told[name] = (dict(stored.metadata), b"".join(stored.chunks()))
    assert told["a.png"] == ({"sha256": sha(png(1))}, png(1))
    assert told["b.png"] == ({"sha256": sha(png(1)), "labels": '{"sku": "B"}'}, png(1))


def test_an_object_that_has_become_another_is_not_copied(place):
    put(place, "a.png", png(2))
    with pytest.raises(TransferError, match="another object"):
        place.bucket.copy(f"{place.prefix}a.png", "b.png", content_type="image/png", sha256=sha(png(1)))
    assert place.names() == ["a.png"]


def test_what_belongs_to_s3_alone_is_refused_by_name(place):
    with pytest.raises(InvalidRequest, match="extra_args: are those of S3"):
        Bucket(place.prefix, S3(None), extra_args={"ACL": "private"})
