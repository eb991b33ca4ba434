"""Several images in one zip: stored as they are, only what the tasks recorded, and no more than a zip may hold."""

from __future__ import annotations

import io
import zipfile

import pytest

from airflow_provider_qwenimage.plugins.zipped import MOST, safe
from plugins.conftest import look_up
from plugins.people import BEN


def unpacked(answer):
    return zipfile.ZipFile(io.BytesIO(answer.content))


def bytes_of(shown, image):
    bucket, _, key = image["uri"].removeprefix("s3://").partition("/")
    return (shown.s3.folder / bucket / key).read_bytes()


def test_the_images_are_in_it_byte_for_byte_and_not_compressed(anna, shown):
    answer = anna.get("/qwenimage/zip", params=shown.zipped())
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith('attachment; filename="pictures-')
    archive = unpacked(answer)
    assert archive.testzip() is None
    for image in shown.stored:
        name = image["uri"].rpartition("/")[2]
        assert archive.read(name) == bytes_of(shown, image)
        assert archive.getinfo(name).compress_type == zipfile.ZIP_STORED


def test_images_of_several_tasks_lie_in_folders_and_none_hides_another(anna, shown):
    query = shown.zipped()
    twice = {name: [query[name]] * 2 for name in ("task_id", "map_index", "folder", "names")}
    names = unpacked(anna.get("/qwenimage/zip", params={**query, **twice})).namelist()
    assert len(set(names)) == 2 * len(shown.stored)
    assert all(name.startswith("store/") for name in names)


def test_what_is_gone_is_named_in_the_zip(anna, shown):
    image = shown.stored[1]
    bucket, _, key = image["uri"].removeprefix("s3://").partition("/")
    client = shown.s3.client()
    kept = client.get_object(Bucket=bucket, Key=key)
    content, metadata = kept["Body"].read(), kept["Metadata"]
    client.delete_object(Bucket=bucket, Key=key)
    try:
        archive = unpacked(anna.get("/qwenimage/zip", params=shown.zipped()))
    finally:
        client.put_object(Bucket=bucket, Key=key, Body=content, Metadata=metadata, ContentType="image/png")
    assert image["uri"] in archive.read("missing.txt").decode()
    assert len(archive.namelist()) == 2


def test_one_that_was_not_recorded_and_nothing_is_served(anna, shown):
    other = look_up(anna, "secrets", shown.s3).stored[0]["uri"]
    prefix, _, name = other.rpartition("/")
    own = shown.zipped()
    for changed in (
        {"names": own["names"] + "/manifest.json"},
        {"names": own["names"] + "//"},
        {"folder": prefix + "/", "names": name},
        {"folder": "", "names": "x"},
        {"task_id": "generate"},
        {"task_id": "~"},
        {"run_id": ".."},
        {"map_index": 7},
        {"map_index": -7},
    ):
        assert anna.get("/qwenimage/zip", params={**own, **changed}).status_code == 404, changed


def test_a_zip_has_an_end(anna, shown):
    query = shown.zipped(names="/".join(["x.png"] * (MOST + 1)))
    assert anna.get("/qwenimage/zip", params=query).status_code == 422
    uneven = {**shown.zipped(), "folder": ["a", "b"]}
    assert anna.get("/qwenimage/zip", params=uneven).status_code == 422


def test_a_zip_is_for_who_may_read_the_dag(as_user, anna, shown):
    secrets = look_up(anna, "secrets", shown.s3)
    assert as_user(BEN).get("/qwenimage/zip", params=secrets.zipped()).status_code == 403
    assert as_user(None).get("/qwenimage/zip", params=shown.zipped()).status_code == 401


@pytest.mark.parametrize(
    ("name", "expected"),
    [("../../etc/passwd", "_.._etc_passwd"), ('a"b\r\n.png', "a_b__.png"), ("", ""), ("..", "_")],
)
def test_a_name_leads_nowhere(name, expected):
    assert safe(name) == expected
