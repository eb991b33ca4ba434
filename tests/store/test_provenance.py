"""What ``provenance`` asks of marks of origin, kept by the transfer whatever is stored already, whatever dies."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from airflow_provider_qwenimage.exceptions import ImageUnmarked, TransferIncomplete
from airflow_provider_qwenimage.images.origin import COMPOSITE, TRAINED
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator
from harness import run_task
from images.marked import (
    LABEL,
    TERMS,
    exiv2_comment,
    exiv2_reads,
    exiv2_xmp,
    picture,
    signature_state,
    signed,
)
from store.file_server import png

MARKED = {
    **{f"c2pa {ext}": signed(picture(ext), ext) for ext in ("png", "jpg", "webp", "avif", "gif", "tiff")},
    **{
        f"xmp {ext}": exiv2_xmp(picture(ext), {"Xmp.iptcExt.DigitalSourceType": TRAINED})
        for ext in ("png", "jpg", "webp", "tiff")
    },
    **{
        f"tc260 {ext}": exiv2_xmp(picture(ext), {"Xmp.TC260.AIGC": json.dumps(LABEL)})
        for ext in ("png", "jpg", "webp")
    },
    "tc260 in exif": exiv2_comment(picture("jpg"), json.dumps({"AIGC": LABEL})),
}


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def _gateway(qwenimage_connection):
    qwenimage_connection("tokenhot", host="http://127.0.0.1:1")


@pytest.fixture
def transfer(prefix):
    def run(images, where=prefix, **arguments):
        task = QwenImageToS3Operator(task_id="transfer", images=images, s3_prefix=where, **arguments)
        return run_task(task)

    return run


def bytes_of(s3, uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return s3.client().get_object(Bucket=bucket, Key=key)["Body"].read()


def metadata_of(s3, uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    told = s3.client().head_object(Bucket=bucket, Key=key)["Metadata"]
    return {name.lower(): value for name, value in told.items() if name.lower() != "mtime"}  # rclone's own


@pytest.mark.parametrize("provenance", ["keep", "require"])
def test_every_mark_passes_a_transfer_and_a_copy_on_the_server_byte_for_byte(
    files, s3, transfer, prefix, provenance
):
    urls = [files.put(f"/{number}", whole) for number, whole in enumerate(MARKED.values())]
    first = transfer(urls, provenance=provenance)
    copied = transfer(first.result, f"{prefix}copy/", provenance=provenance)
    described = transfer(first.xcoms["stored"], f"{prefix}told/", provenance=provenance)
    for attempt in (first, copied, described):
        assert attempt.state == "success", attempt.error
        assert [bytes_of(s3, uri) for uri in attempt.result] == list(MARKED.values())
        assert [metadata_of(s3, uri)["sha256"] for uri in attempt.result] == list(map(sha, MARKED.values()))
    origins = [image["origin"] for image in described.xcoms["stored"]]
    assert origins == [image["origin"] for image in first.xcoms["stored"]]


@pytest.mark.parametrize("name", MARKED)
def test_a_label_adds_nothing_to_what_carries_a_mark_and_never_touches_a_signed_file(
    files, s3, transfer, name
):
    if name.startswith("tc260"):
        pytest.skip("a DigitalSourceType is added beside it")
    attempt = transfer(files.put("/a", MARKED[name]), provenance="label")
    assert bytes_of(s3, attempt.result[0]) == MARKED[name]
    assert attempt.xcoms["stored"][0]["arrived_sha256"] is None


def test_every_object_says_in_its_metadata_what_its_bytes_say(files, s3, transfer, prefix):
    images = [
        files.put("/a", MARKED["xmp png"]),
        files.put("/b", MARKED["c2pa png"]),
        files.put("/c", MARKED["tc260 png"]),
        files.put("/d", png(1)),
    ]
    first = transfer(images)
    told = [metadata_of(s3, uri) for uri in first.result]
    assert [{name: each[name] for name in each if name != "sha256"} for each in told] == [
        {"digital-source-type": TRAINED},
        {"c2pa": "true"},
        {"tc260-label": "1"},
        {},
    ]
    for copy in (transfer(first.result, f"{prefix}bare/"), transfer(first.xcoms["stored"], f"{prefix}told/")):
        assert [metadata_of(s3, uri) for uri in copy.result] == told


def test_metadata_takes_any_mark(files, s3, transfer):
    odd = exiv2_xmp(picture("png"), {"Xmp.iptcExt.DigitalSourceType": f"{TERMS}生成%"})
    attempt = transfer(files.put("/a", odd))
    assert metadata_of(s3, attempt.result[0])["digital-source-type"] == f"{TERMS}%E7%94%9F%E6%88%90%"


@pytest.mark.parametrize("s3", ["moto_s3"], indirect=True)  # rclone takes less, and counts other headers, too
def test_metadata_leaves_room_to_the_author(files, s3, transfer):
    full = {"note": "x" * 1850}
    attempt = transfer(files.put("/b", MARKED["xmp png"]), extra_args={"Metadata": full})
    assert attempt.state == "success", attempt.error
    assert metadata_of(s3, attempt.result[0]).keys() == {"note", "sha256"}


@pytest.mark.parametrize("on_error", ["fail", "partial"])
def test_what_lacks_a_mark_is_a_failure_that_is_named_and_final(files, s3, transfer, objects, on_error):
    camera = exiv2_xmp(picture("jpg"), {"Xmp.iptcExt.DigitalSourceType": f"{TERMS}digitalCapture"})
    images = [files.put("/a", png(1)), files.put("/b", MARKED["xmp jpg"]), files.put("/c", camera)]
    attempt = transfer(images, provenance="require", on_error=on_error)
    failures = attempt.xcoms["failures"]
    assert [failure["index"] for failure in failures] == [0, 2]
    assert "no machine-readable mark" in failures[0]["reason"]
    assert "digitalCapture" in failures[1]["reason"]
    assert [image["index"] for image in attempt.xcoms["stored"]] == [1]
    assert [name for name in objects.names() if not name.startswith("manifest")] == [
        f"001-{sha(MARKED['xmp jpg'])[:8]}.jpg"
    ]
    if on_error == "fail":
        assert attempt.state == "failed"  # and not up for a retry, which would find the same
        assert isinstance(attempt.error, TransferIncomplete)
        assert isinstance(attempt.error.__cause__, ImageUnmarked)
    else:
        assert attempt.state == "success"


@pytest.mark.parametrize("ext", ["png", "jpg", "webp"])
def test_a_label_is_in_the_stored_bytes_and_both_digests_in_the_manifest(files, s3, transfer, objects, ext):
    os.environ["AIRFLOW__QWENIMAGE__TC260_PRODUCER"] = "91330000MA"
    whole = picture(ext)
    edit = {"url": files.put("/b", whole), "operation": "edit"}
    attempt = transfer([files.put("/a", whole), edit], provenance="label")
    stored = [bytes_of(s3, uri) for uri in attempt.result]
    assert [exiv2_reads(each)["Xmp.iptcExt.DigitalSourceType"] for each in stored] == [TRAINED, COMPOSITE]
    assert [exiv2_reads(each)["Xmp.TC260.AIGC"][:40] for each in stored] == [
        '{"Label":"1","ContentProducer":"91330000'
    ] * 2
    told = json.loads(objects.read("manifest.json"))["images"]
    assert [(image["sha256"], image["bytes"]) for image in told] == [
        (sha(each), len(each)) for each in stored
    ]
    assert {image["arrived_sha256"] for image in told} == {sha(whole)}
    assert {metadata_of(s3, uri)["arrived-sha256"] for uri in attempt.result} == {sha(whole)}
    assert told[1]["origin"]["digital_source_type"] == COMPOSITE


def test_a_retry_labels_the_same_bytes_the_same_way_and_writes_nothing(files, transfer, objects):
    urls = files.images(3)
    first = transfer(urls, provenance="label")
    written = {name: objects.get(name)["LastModified"] for name in objects.names() if name != "manifest.json"}
    fetched = len(files.seen)
    again = transfer(urls, provenance="label")
    assert (again.result, again.xcoms["stored"]) == (first.result, first.xcoms["stored"])
    assert len(files.seen) == fetched
    objects.delete("manifest.json")  # as where the task died before its end
    third = transfer(urls, provenance="label")
    assert (third.result, third.xcoms["stored"]) == (first.result, first.xcoms["stored"])
    assert {name: objects.get(name)["LastModified"] for name in written} == written


def test_what_was_kept_without_a_mark_is_labelled_from_the_bucket_once_its_link_is_dead(
    files, s3, transfer, objects
):
    urls = files.images(2)
    kept = transfer(urls)
    for number in range(2):
        files.put(f"/{number}.png")  # the links have died
    attempt = transfer(urls, provenance="label")
    assert attempt.state == "success", attempt.error
    assert set(attempt.result).isdisjoint(kept.result)
    assert [image["arrived_sha256"] for image in attempt.xcoms["stored"]] == [
        image["sha256"] for image in kept.xcoms["stored"]
    ]
    assert {image["origin"]["digital_source_type"] for image in attempt.xcoms["stored"]} == {TRAINED}


def test_what_is_required_of_kept_images_is_read_from_the_bucket(files, transfer, objects):
    urls = [files.put("/a.png", png(1)), files.put("/b.png", MARKED["xmp png"])]
    transfer(urls)
    files.put("/a.png"), files.put("/b.png")
    attempt = transfer(urls, provenance="require")
    assert [failure["index"] for failure in attempt.xcoms["failures"]] == [0]
    assert "no machine-readable mark" in attempt.xcoms["failures"][0]["reason"]


def test_an_unmarked_object_that_if_exists_lets_stay_is_no_success(files, transfer, objects):
    objects.put("0.png", png(1))
    attempt = transfer(files.images(1), provenance="label", filename="{index}.{ext}")
    assert "if_exists='skip' lets it stay" in attempt.xcoms["failures"][0]["reason"]
    assert objects.read("0.png") == png(1)
    replaced = transfer(files.images(1), provenance="label", filename="{index}.{ext}", if_exists="replace")
    assert replaced.xcoms["stored"][0]["arrived_sha256"] == sha(png(0))


@pytest.mark.parametrize("ext", ["gif", "bmp", "tiff", "avif"])
def test_a_format_that_takes_no_label_is_a_named_failure(files, transfer, ext):
    attempt = transfer(files.put("/a", picture(ext)), provenance="label")
    assert attempt.state == "failed"
    assert f"image/{ext}" in attempt.xcoms["failures"][0]["reason"]


def test_an_object_in_s3_is_labelled_on_its_way(s3, transfer, prefix, objects):
    uri = objects.put("inbox/a.png", png(1))
    attempt = transfer(uri, f"{prefix}out/", provenance="label")
    assert attempt.xcoms["stored"][0]["arrived_sha256"] == sha(png(1))
    assert objects.read("inbox/a.png") == png(1)
    copied = transfer(attempt.result, f"{prefix}more/", provenance="label")
    assert bytes_of(s3, copied.result[0]) == bytes_of(s3, attempt.result[0])
    assert transfer(uri, f"{prefix}never/", provenance="require").state == "failed"


def test_a_record_that_lies_of_its_marks_is_not_believed(transfer, prefix, objects):
    uri = objects.put("inbox/a.png", png(1))
    lie = {"uri": uri, "origin": {"c2pa": True, "digital_source_type": TRAINED, "tc260": None}}
    assert transfer([lie], f"{prefix}out/", provenance="require").state == "failed"


@pytest.mark.parametrize("origin", ["trained", ["c2pa"], 7])
def test_an_image_object_with_an_odd_origin_is_named(transfer, files, origin):
    attempt = transfer([{"url": files.images(1)[0], "origin": origin}])
    assert str(attempt.error).startswith("images[0].origin: ")


def test_signatures_hold_after_every_path(files, s3, transfer, prefix):
    whole = MARKED["c2pa jpg"]
    first = transfer(files.put("/a", whole), provenance="label")
    copied = transfer(first.result, f"{prefix}copy/", provenance="require")
    assert signature_state(bytes_of(s3, copied.result[0]), "jpg") == "Valid"
