"""Marks of origin in a batch: a label on each image, or a row's failure; nothing is bought again for one."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re

import pytest
from PIL import Image

from airflow_provider_qwenimage.batch import marks
from airflow_provider_qwenimage.images.origin import COMPOSITE, TRAINED
from airflow_provider_qwenimage.storage.prefix import Bucket
from harness import InMemoryAirflow
from images.marked import exiv2_xmp, picture, signed
from operators.pictures import picture as input_picture

MARKED = exiv2_xmp(picture("png"), {"Xmp.iptcExt.DigitalSourceType": TRAINED})
SIGNED = signed(picture("png"), "png")
GIVEN = "[fault:file_given]"


def rows(count, *marked):
    return [f"product {number} {GIVEN if number in marked else ''}" for number in range(count)]


@pytest.fixture
def gateway(gateway):
    gateway.state.settings.given_file = base64.b64encode(MARKED).decode()
    return gateway


def source_type(whole):
    """As Pillow finds it; exiv2 calls the empty texts in the simulator's pictures corrupted."""
    with Image.open(io.BytesIO(whole)) as image:
        image.load()
        return re.search(r"http://cv\.iptc\.org/[\w/]+", image.text["XML:com.adobe.xmp"])[0]


def run(task):
    return InMemoryAirflow().run(task)


def outcomes(attempt):
    return [(failure["request"], failure["outcome"]) for failure in attempt.xcoms.get("failures", [])]


@pytest.mark.parametrize("whole", [MARKED, SIGNED], ids=["xmp", "c2pa"])
@pytest.mark.parametrize("provenance", ["keep", "require", "label"])
def test_marks_pass_a_batch_byte_for_byte(gateway, batch, shelf, provenance, whole):
    gateway.state.settings.given_file = base64.b64encode(whole).decode()
    attempt = run(batch(rows(3, 0, 1, 2), provenance=provenance))
    assert attempt.state == "success", attempt.error
    assert {shelf.read(name) for name in shelf.images()} == {whole}


def test_every_image_is_labelled_and_the_manifest_tells_both_digests(gateway, batch, shelf):
    url = f"data:image/png;base64,{base64.b64encode(input_picture()).decode()}"
    edit = {"operation": "edit", "prompt": "bluer", "images": [url], "model": "qwen-image-2.0"}
    attempt = run(batch(["a cup", edit, f"b {GIVEN}"], provenance="label"))
    assert attempt.state == "success", attempt.error
    images = shelf.manifest()["images"]
    stored = [shelf.read(name) for name in shelf.images()]
    assert [source_type(each) for each in stored] == [
        TRAINED,
        COMPOSITE,
        TRAINED,
    ]
    assert [(image["sha256"], image["bytes"]) for image in images] == [
        (hashlib.sha256(each).hexdigest(), len(each)) for each in stored
    ]
    assert [image["arrived_sha256"] is None for image in images] == [False, False, True]


def test_a_resumed_batch_finds_what_it_labelled(gateway, batch, shelf):
    first = run(batch(rows(4), provenance="label"))
    before = shelf.manifest()["images"]
    again = run(batch(rows(4), provenance="label"))
    assert (again.result, gateway.state.posts) == (first.result, 4)
    assert shelf.manifest()["images"] == before


def test_a_row_without_a_mark_is_that_rows_failure(gateway, batch, shelf):
    attempt = run(batch(rows(4, 0, 2, 3), provenance="require", on_error="continue"))
    assert attempt.state == "success"
    assert outcomes(attempt) == [(1, "unmarked")]
    assert "no machine-readable mark" in attempt.xcoms["failures"][0]["reason"]
    assert shelf.images() == ["00000.png", "00002.png", "00003.png"]
    manifest = shelf.manifest()
    assert [image["index"] for image in manifest["images"]] == [0, 2, 3]
    assert [failure["index"] for failure in manifest["failures"]] == [1]


@pytest.mark.parametrize("resend", ["fail", "resubmit"])
@pytest.mark.parametrize("on_error", ["fail", "continue"])
@pytest.mark.parametrize("way", [{}, {"gateway": "openai-compatible"}], ids=["links", "inline"])
def test_nothing_is_bought_again_for_lack_of_a_mark(gateway, batch, on_error, resend, way):
    asked = {"provenance": "require", "on_error": on_error, "on_unknown_outcome": resend, **way}
    first = run(batch(["a cup"], **asked))
    assert first.state == "failed"  # and not up for a retry
    assert outcomes(first) == [(0, "unmarked")]
    again = run(batch(["a cup"], **asked))
    assert (again.state, outcomes(again)) == ("failed", [(0, "unmarked")])
    assert gateway.state.posts == 1


def test_what_was_refused_for_its_mark_is_stored_once_none_is_asked_for(gateway, batch, shelf):
    run(batch(["a cup"], provenance="require"))
    attempt = run(batch(["a cup"]))
    assert (attempt.state, shelf.images(), gateway.state.posts) == ("success", ["00000.png"], 1)


def test_a_gateway_that_marks_nothing_is_not_paid_for_a_whole_batch(gateway, batch):
    attempt = run(batch(rows(80), provenance="require", on_error="continue", max_concurrency=1))
    assert attempt.state == "failed"
    assert gateway.state.posts < 40
    posts = gateway.state.posts
    run(batch(rows(80), provenance="require", on_error="continue", max_concurrency=1))
    assert gateway.state.posts < posts + 12


def test_what_an_earlier_run_stored_unlabelled_is_labelled_in_its_place(gateway, batch, shelf):
    run(batch(rows(5, 4)))
    kept = {image["index"]: image for image in shelf.manifest()["images"]}
    attempt = run(batch(rows(5, 4), provenance="label"))
    assert (attempt.state, gateway.state.posts) == ("success", 5)
    for image in shelf.manifest()["images"]:
        whole = shelf.read(image["uri"].rpartition("/")[2])
        assert image["sha256"] == hashlib.sha256(whole).hexdigest()
        assert source_type(whole) == TRAINED
        if image["index"] != 4:
            assert image["arrived_sha256"] == kept[image["index"]]["sha256"]
    assert shelf.images() == [f"{number:05d}.png" for number in range(5)]


def test_what_an_earlier_run_stored_without_a_mark_is_named_and_stays(gateway, batch, shelf):
    run(batch(rows(3, 0)))
    attempt = run(batch(rows(3, 0), provenance="require", on_error="continue"))
    assert (attempt.state, gateway.state.posts) == ("success", 3)
    assert outcomes(attempt) == [(1, "unmarked"), (2, "unmarked")]
    assert [image["index"] for image in shelf.manifest()["images"]] == [0]
    assert len(run(batch(rows(3, 0))).result) == 3
    assert gateway.state.posts == 3


@pytest.mark.parametrize("provenance", ["keep", "label"])
def test_a_run_that_died_between_a_label_and_the_journal_loses_no_image(
    gateway, batch, shelf, monkeypatch, provenance
):
    class Died(BaseException):
        """As a kill: nothing is written after it."""

    mark_again = marks.mark_again

    def dies(*of):
        mark_again(*of)
        raise Died

    run(batch(rows(3)))
    with monkeypatch.context() as patch:
        patch.setattr(marks, "mark_again", dies)
        assert run(batch(rows(3), provenance="label")).state != "success"
    assert {line["state"] for line in shelf.journal()} == {"done"}
    attempt = run(batch(rows(3), provenance=provenance, on_unknown_outcome="resubmit"))
    assert (attempt.state, gateway.state.posts) == ("success", 3)
    for image in shelf.manifest()["images"]:
        assert image["sha256"] == hashlib.sha256(shelf.read(image["uri"].rpartition("/")[2])).hexdigest()
        assert image["origin"]["digital_source_type"] == TRAINED


def test_an_image_that_cannot_be_stored_with_its_label_now_is_stored_by_a_retry(
    gateway, batch, shelf, monkeypatch
):
    put, failing = Bucket.put, [True]

    def sometimes(bucket, name, body, **facts):
        if name.endswith(".png") and failing:
            failing.clear()
            raise OSError(28, "No space left on device")
        return put(bucket, name, body, **facts)

    monkeypatch.setattr(Bucket, "put", sometimes)
    airflow = InMemoryAirflow()
    task = batch(["a cup"], provenance="label")
    assert [airflow.run(task).state, airflow.run(task).state] == ["up_for_retry", "success"]
    assert gateway.state.posts == 1
    assert json.loads(shelf.read("manifest.json"))["images"][0]["arrived_sha256"]
