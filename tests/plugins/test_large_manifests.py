"""A manifest is read as a stream, shown by pages, and never held whole: it may list 20,000 images."""

from __future__ import annotations

import json
import os
import tracemalloc
from hashlib import sha256
from itertools import chain

import pytest

from airflow_provider_qwenimage.models.manifest import Manifest, StoredImage
from airflow_provider_qwenimage.plugins import serving
from airflow_provider_qwenimage.plugins.listing import PAGE, NotAManifest, scan
from airflow_provider_qwenimage.plugins.records import Instance

MIB = 1024 * 1024
OWNER = Instance("d", "r", "t")
COUNT = 20_000


def stored(number, prompt):
    return StoredImage(
        uri=f"s3://large/set/{number:05d}.png",
        index=number,
        content_type="image/png",
        bytes=1_500_000,
        sha256=sha256(str(number).encode()).hexdigest(),
        width=1328,
        height=1328,
        prompt=prompt,
    )


def manifest_of(count, prompt="a mug"):
    images = tuple(stored(number, prompt) for number in range(count))
    return Manifest(dag_id="d", run_id="r", task_id="t", images=images).dump()


@pytest.fixture(scope="module")
def bucket(rclone_s3):
    client = rclone_s3.client()
    client.create_bucket(Bucket="large")
    return client


@pytest.fixture
def aws(rclone_s3):
    os.environ["AIRFLOW_CONN_AWS_LARGE"] = rclone_s3.connection
    return "aws_large"


@pytest.fixture
def put(bucket, aws):
    def put(text, key="set/manifest.json"):
        bucket.put_object(Bucket="large", Key=key, Body=text)
        return f"s3://large/{key}"

    return put


def pages(uri, listing, aws):
    for number in range(listing.pages):
        yield json.loads(serving.page(uri, number, of=listing, aws_conn_id=aws))


def test_20_000_images_are_read_in_bounded_memory_and_shown_by_pages(put, aws):
    text = manifest_of(COUNT, "ein Becher, \u00e4\u00f6\u00fc \u676f\u5b50 \U0001f375 " * 30)
    uri = put(text)
    assert len(text) > 24 * MIB
    serving.listing(put(manifest_of(1), "warm.json"), owner=OWNER, aws_conn_id=aws)  # what boto3 itself takes

    tracemalloc.start()
    listing = serving.listing(uri, owner=OWNER, aws_conn_id=aws)
    shown = [[image["uri"] for image in page] for page in pages(uri, listing, aws)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert [len(page) for page in shown] == [PAGE] * (COUNT // PAGE)
    assert list(chain.from_iterable(shown)) == [f"s3://large/set/{number:05d}.png" for number in range(COUNT)]
    assert listing.digests.get("s3://large/set/19999.png") == sha256(b"19999").hexdigest()
    assert listing.digests.get("s3://large/set/20000.png") is None
    assert peak < 16 * MIB


@pytest.mark.parametrize("count", [0, 1, PAGE - 1, PAGE, PAGE + 1])
def test_pages_hold_every_image_once(put, aws, count):
    text = manifest_of(count)
    uri = put(text)
    listing = serving.listing(uri, owner=OWNER, aws_conn_id=aws)
    assert list(chain.from_iterable(pages(uri, listing, aws))) == json.loads(text)["images"]


def test_a_manifest_that_did_not_change_is_not_read_again(put, aws):
    uri = put(manifest_of(3))
    first = serving.listing(uri, owner=OWNER, aws_conn_id=aws)
    assert serving.listing(uri, owner=OWNER, aws_conn_id=aws, known=first) is first
    put(manifest_of(4))
    again = serving.listing(uri, owner=OWNER, aws_conn_id=aws, known=first)
    assert len(again.digests) == 4


def test_a_page_of_a_manifest_that_was_replaced_meanwhile_is_not_shown(put, aws):
    uri = put(manifest_of(3))
    listing = serving.listing(uri, owner=OWNER, aws_conn_id=aws)
    put(manifest_of(3).replace(b"00001.png", b"00009.png"))
    for read in (
        lambda: serving.page(uri, 0, of=listing, aws_conn_id=aws),
        lambda: serving.manifest(uri, of=listing, aws_conn_id=aws),
    ):
        with pytest.raises(serving.NotServed):
            read()


GOOD = manifest_of(2).decode()
BAD = {
    "empty": "",
    "a list": "[]",
    "cut short": GOOD[:-20],
    "another version": GOOD.replace('"version": 1', '"version": 2'),
    "no images": '{"version": 1}',
    "images twice": GOOD.rstrip()[:-1] + ', "images": []}',
    "an object for a URI": GOOD.replace('"s3://large/set/00001.png"', '{"toString": 1}'),
    "no digest": GOOD.replace(sha256(b"1").hexdigest(), "0"),
    "NaN": GOOD.replace('"width": 1328', '"width": NaN'),
    "digits without end": GOOD.replace('"width": 1328', f'"width": {"9" * 6000}'),
    "nested without end": GOOD.replace('"width": 1328', f'"width": {"[" * 100_000}'),
    "an image of 4 MiB": GOOD.replace('"a mug"', f'"{"x" * 4 * MIB}"'),
    "more behind it": GOOD + "{}",
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("size", [7, 1 << 18])
def test_what_is_no_manifest_is_refused(kind, size):
    text = BAD[kind].encode()
    if size == 7:
        text = text[:50_000]  # cut: a byte at a time is for the borders between chunks
    with pytest.raises(NotAManifest):
        scan(text[at : at + size] for at in range(0, len(text), size))


@pytest.mark.parametrize("size", [1, 2, 3, 64])
def test_where_chunks_end_does_not_matter(size):
    text = manifest_of(3, '\u676f \U0001f375 \\" ]}').strip()
    whole = scan(iter([text]))
    parts = scan(text[at : at + size] for at in range(0, len(text), size))
    assert (parts.owner, parts.starts) == (whole.owner, whole.starts)
    assert json.loads(b"[" + text[parts.starts[0] : parts.starts[1]] + b"]") == json.loads(text)["images"]


def test_what_is_gone_foreign_or_nowhere_gets_one_and_the_same_answer(put, aws):
    put(b"salaries", "foreign.txt")
    put(json.dumps({"version": 1, "secret": 7}).encode(), "foreign.json")
    put(GOOD.replace('"task_id": "t"', '"task_id": "other"').encode(), "of-another-task.json")
    named = [
        "s3://large/foreign.txt",
        "s3://large/foreign.json",
        "s3://large/of-another-task.json",
        "s3://large/is-not-there.json",
        "s3://no-such-bucket-anywhere/x.json",
        "s3://large",
        "http://169.254.169.254/latest",
    ]
    reads = (
        lambda uri: serving.image(uri, sha256="0" * 64, aws_conn_id=aws),
        lambda uri: serving.listing(uri, owner=OWNER, aws_conn_id=aws),
    )
    answers = set()
    for uri in named:
        for read in reads:
            with pytest.raises(serving.NotServed) as caught:
                read(uri)
            answers.add(str(caught.value).replace(uri, "…"))
    assert len(answers) == 1
