"""Who gets what from the gallery: the permission is Airflow's, the images are the task's own, nothing else is served."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_qwenimage.images.origin import TRAINED
from images.marked import LABEL, exiv2_xmp, picture, signed
from plugins.conftest import look_up
from plugins.people import BEN

PAGES = ("gallery", "image", "thumbnail", "manifest")
EVERYWHERE = ("library", "spend")
MARKED = {
    "c2pa": signed(picture("png"), "png"),
    "xmp": exiv2_xmp(picture("png"), {"Xmp.iptcExt.DigitalSourceType": TRAINED}),
    "tc260": exiv2_xmp(picture("jpg"), {"Xmp.TC260.AIGC": json.dumps(LABEL)}),
}


@pytest.mark.parametrize("page", [*PAGES, *EVERYWHERE, "unfinished", "zip", "static/an-older/main.js"])
def test_nobody_in_particular_gets_401(as_user, shown, page):
    assert as_user(None).get(f"/qwenimage/{page}", params=shown.query()).status_code == 401


@pytest.mark.parametrize("page", PAGES)
def test_a_user_without_the_dag_gets_403(as_user, anna, rclone_s3, page):
    secrets = look_up(anna, "secrets", rclone_s3)
    assert as_user(BEN).get(f"/qwenimage/{page}", params=secrets.query()).status_code == 403


@pytest.mark.parametrize("page", EVERYWHERE)
def test_a_page_of_all_runs_tells_nothing_by_itself(as_user, page):
    answer = as_user(BEN).get(f"/qwenimage/{page}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_what_such_a_page_asks_airflow_lists_no_other_dag(as_user, shown):
    path = "/api/v2/dags/{}/dagRuns/~/taskInstances/~/xcomEntries"
    query = {"xcom_key": "stored", "order_by": "-run_after", "run_after_gte": "2020-01-01T00:00:00Z"}
    client = as_user(BEN)
    assert client.get(path.format("~"), params=query).status_code == 403  # Ben's permission is for one Dag
    assert client.get(path.format("secrets"), params=query).status_code == 403
    own = client.get(path.format("pictures"), params=query).raise_for_status().json()
    assert {entry["dag_id"] for entry in own["xcom_entries"]} == {"pictures"}


@pytest.mark.parametrize("page", PAGES)
def test_a_user_with_the_dag_gets_it(as_user, shown, page):
    assert as_user(BEN).get(f"/qwenimage/{page}", params=shown.query()).status_code == 200


def test_naming_two_dags_does_not_lend_the_permission_of_one_to_the_other(as_user, anna, rclone_s3):
    secrets = look_up(anna, "secrets", rclone_s3)
    query = secrets.query()
    client = as_user(BEN)
    for pair in (["pictures", "secrets"], ["secrets", "pictures"]):
        answer = client.get("/qwenimage/image", params={**query, "dag_id": pair})
        assert answer.status_code in (403, 404)
        assert not answer.headers["content-type"].startswith("image/")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("page", [*PAGES, *EVERYWHERE, "unfinished", "zip", "static/an-older/main.js"])
def test_nothing_takes_anything_but_a_get(anna, shown, method, page):
    assert anna.request(method, f"/qwenimage/{page}", params=shown.query()).status_code == 405


def test_the_image_is_served_as_it_was_stored(anna, shown):
    answer = anna.get("/qwenimage/image", params=shown.query())
    bucket, _, key = shown.stored[0]["uri"].removeprefix("s3://").partition("/")
    assert answer.content == (shown.s3.folder / bucket / key).read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(shown.stored[0]["bytes"])


@pytest.mark.parametrize("mark", MARKED)
def test_marks_of_origin_are_served_byte_for_byte(anna, shown, mark):
    whole, image, client = MARKED[mark], shown.stored[0], shown.s3.client()
    bucket, _, key = image["uri"].removeprefix("s3://").partition("/")
    place = {"Bucket": bucket, "Key": key, "Metadata": {"sha256": image["sha256"]}}  # as its record has it
    stored = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    client.put_object(**place, Body=whole)
    try:
        for download in ("false", "true"):
            assert anna.get("/qwenimage/image", params=shown.query(download=download)).content == whole
    finally:
        client.put_object(**place, Body=stored)


def test_an_image_that_is_shown_again_is_not_sent_again(anna, shown):
    first = anna.get("/qwenimage/image", params=shown.query())
    again = anna.get(
        "/qwenimage/image", params=shown.query(), headers={"If-None-Match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


def test_a_download_is_named_after_its_object(anna, shown):
    answer = anna.get("/qwenimage/image", params=shown.query(download=True))
    name = shown.stored[0]["uri"].rpartition("/")[2]
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'


@pytest.mark.parametrize("page", ["image", "thumbnail"])
def test_what_the_task_did_not_record_is_not_there(anna, shown, page):
    for uri in shown.foreign_uris(look_up(anna, "secrets", shown.s3).stored[0]["uri"]):
        assert anna.get(f"/qwenimage/{page}", params=shown.query(uri=uri)).status_code == 404, uri


@pytest.mark.parametrize(
    "changed",
    [
        {"task_id": "generate"},
        {"task_id": "~"},
        {"run_id": "~"},
        {"dag_id": "~"},
        {"run_id": "../../secrets/dagRuns/x"},
        {"task_id": "store/xcomEntries/stored"},
        {"map_index": 0},
        {"map_index": 2**31},
        {"map_index": 10**30},
        {"run_id": ""},
    ],
)
def test_another_task_instance_does_not_have_it(anna, shown, changed):
    assert anna.get("/qwenimage/image", params=shown.query(**changed)).status_code == 404


@pytest.mark.parametrize("number", [1, 2**31, 10**30])
def test_a_page_that_the_manifest_has_not_is_404(anna, shown, number):
    query = shown.query(uri=None)
    (only,) = [anna.get("/qwenimage/manifest", params={**query, "page": 0}).raise_for_status().json()]
    assert (only["pages"], [image["uri"] for image in only["images"]]) == (
        1,
        [image["uri"] for image in shown.stored],
    )
    assert anna.get("/qwenimage/manifest", params={**query, "page": number}).status_code == 404


@pytest.mark.parametrize("missing", ["dag_id", "run_id", "task_id", "uri"])
def test_a_question_that_is_not_whole_is_refused(anna, shown, missing):
    assert anna.get("/qwenimage/image", params=shown.query(**{missing: None})).status_code == 422


def test_an_object_that_was_put_in_the_images_place_is_not_served(anna, shown):
    uri = shown.stored[1]["uri"]
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    client = shown.s3.client()
    kept = client.get_object(Bucket=bucket, Key=key)
    content, metadata = kept["Body"].read(), kept["Metadata"]
    html = b"<script>alert(1)</script>"
    try:
        for body, facts in ((html, {}), (html, metadata), (content, {"sha256": "0" * 64})):
            client.put_object(Bucket=bucket, Key=key, Body=body, Metadata=facts, ContentType="image/png")
            answer = anna.get("/qwenimage/image", params=shown.query(uri=uri))
            assert answer.status_code == 404
            assert "replaced" in answer.json()["detail"]
        client.delete_object(Bucket=bucket, Key=key)
        gone = anna.get("/qwenimage/image", params=shown.query(uri=uri))
        assert (gone.status_code, uri in gone.json()["detail"]) == (404, True)
    finally:
        client.put_object(Bucket=bucket, Key=key, Body=content, Metadata=metadata, ContentType="image/png")


def test_the_manifest_is_the_tasks_own(anna, shown):
    answer = anna.get("/qwenimage/manifest", params=shown.query(uri=None))
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert (told["dag_id"], told["run_id"], told["task_id"]) == ("pictures", shown.run_id, "store")
    assert [image["uri"] for image in told["images"]] == [image["uri"] for image in shown.stored]


def test_images_of_a_task_that_pushes_its_manifest_only_are_served(anna, shown):
    (run,) = anna.get("/api/v2/dags/batch/dagRuns").raise_for_status().json()["dag_runs"]
    of = {"dag_id": "batch", "run_id": run["dag_run_id"], "task_id": "store"}
    images = anna.get("/qwenimage/manifest", params=of).raise_for_status().json()["images"]
    assert [image["prompt"] for image in images] == ["a mug", "a lamp"]
    for image in images:
        answer = anna.get("/qwenimage/image", params={**of, "uri": image["uri"]})
        assert (answer.status_code, len(answer.content)) == (200, image["bytes"])
    foreign = anna.get("/qwenimage/image", params={**of, "uri": shown.stored[0]["uri"]})
    assert foreign.status_code == 404


@pytest.mark.parametrize(
    "page", [*PAGES, *EVERYWHERE, "static/an-older/main.js", "static/an-older/nothing.js"]
)
def test_every_answer_keeps_the_browser_in_check(anna, shown, page):
    headers = anna.get(f"/qwenimage/{page}", params=shown.query()).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "private, no-cache"


def test_refusals_are_as_well_protected(as_user, shown):
    headers = as_user(None).get("/qwenimage/image", params=shown.query()).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "content-security-policy" in headers


@pytest.mark.parametrize("name", ["..%2Fapp.py", "app.py", "%2e%2e/app.py", "gallery"])
def test_only_the_pages_own_files_are_served(anna, name):
    assert anna.get(f"/qwenimage/static/an-older/{name}").status_code == 404
    assert anna.get(f"/qwenimage/static/{name}").status_code == 404


def test_a_page_names_all_its_files_and_a_browser_keeps_them(anna, shown):
    page = anna.get("/qwenimage/gallery", params=shown.query()).text
    named = re.findall(r'(?:href|src)="(static/[^"]+)"', page)

    assert {name.rpartition("/")[2] for name in named} >= {"gallery.css", "main.js", "collect.js", "texts.js"}
    for name in named:
        answer = anna.get(f"/qwenimage/{name}")
        assert "immutable" in answer.headers["cache-control"]
        imported = re.findall(r'from "\./([^"]+)"', answer.text)
        assert {f"{name.rpartition('/')[0]}/{other}" for other in imported} <= set(named), name


@pytest.mark.parametrize("page", ["docs", "redoc", "openapi.json", ""])
def test_there_is_no_other_page(anna, page):
    assert anna.get(f"/qwenimage/{page}").status_code == 404
