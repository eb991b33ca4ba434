"""What a batch has stored is shown before it is finished: its journal tells, under the prefix that Airflow recorded."""

from __future__ import annotations

import json

import pytest

from airflow_provider_qwenimage.plugins import access
from plugins.people import ANNA, BEN, CLEO

PREFIX = "gallery/batch/"


def rename(key, new):
    """Rename an XCom of ``batch``."""
    from airflow.models.xcom import XComModel
    from airflow.settings import Session

    xcoms = XComModel.__table__
    with Session() as session:
        session.execute(xcoms.update().where(xcoms.c.dag_id == "batch", xcoms.c.key == key).values(key=new))
        session.commit()


@pytest.fixture
def unfinished(anna, server):
    """The run of ``batch`` as if its manifest were not pushed yet."""
    (run,) = anna.get("/api/v2/dags/batch/dagRuns").raise_for_status().json()["dag_runs"]
    of = {"dag_id": "batch", "run_id": run["dag_run_id"], "task_id": "store"}

    access.records._kept.clear()
    rename("manifest", "manifest_later")
    yield of
    rename("manifest_later", "manifest")
    access.records._kept.clear()


def test_what_is_stored_is_told_with_its_cost_and_served(anna, unfinished):
    part = anna.get("/qwenimage/unfinished", params=unfinished).raise_for_status().json()
    assert [image["prompt"] for image in part["images"]] == ["a mug", "a lamp"]
    assert part["more"] is False
    for image in part["images"]:
        for page in ("image", "thumbnail"):
            answer = anna.get(f"/qwenimage/{page}", params={**unfinished, "uri": image["uri"]})
            assert (answer.status_code, answer.headers["content-type"][:6]) == (200, "image/")
    again = anna.get("/qwenimage/unfinished", params={**unfinished, "after": part["after"]}).json()
    assert again == {"images": [], "after": part["after"], "more": False}


@pytest.mark.parametrize("page", [None, 0])
def test_a_manifest_is_served_as_soon_as_it_is_there(anna, unfinished, page):
    asked = unfinished if page is None else {**unfinished, "page": page}
    assert anna.get("/qwenimage/unfinished", params=unfinished).status_code == 200
    assert anna.get("/qwenimage/manifest", params=asked).status_code == 404
    rename("manifest_later", "manifest")
    assert len(anna.get("/qwenimage/manifest", params=asked).raise_for_status().json()["images"]) == 2


def test_no_other_object_under_the_prefix_is_served(anna, unfinished):
    for name in ("manifest.json", "journal/batch.json", "nothing.png"):
        query = {**unfinished, "uri": f"s3://{PREFIX}{name}"}
        assert anna.get("/qwenimage/image", params=query).status_code == 404


def journal(s3):
    client = s3.client()
    listed = client.list_objects_v2(Bucket="gallery", Prefix="batch/journal/")["Contents"]
    return client, {
        entry["Key"]: client.get_object(Bucket="gallery", Key=entry["Key"])["Body"].read() for entry in listed
    }


def changed_header(**origin):
    def change(text):
        header = json.loads(text)
        return json.dumps({**header, "origin": {**header["origin"], **origin}}).encode()

    return "batch.json", change


DOCTORED = {
    "of another Dag": changed_header(dag_id="secrets"),
    "of another task": changed_header(task_id="other"),
    "no header": ("batch.json", lambda _: b"[]"),
    "no entries": (".jsonl", lambda _: b"{}\n"),
    "not UTF-8": (".jsonl", lambda _: b"\xff\xfe\n"),
}


@pytest.mark.parametrize("kind", DOCTORED)
def test_a_doctored_journal_shows_nothing(anna, unfinished, rclone_s3, kind):
    ending, change = DOCTORED[kind]
    client, kept = journal(rclone_s3)
    try:
        for key, text in kept.items():
            if key.endswith(ending):
                client.put_object(Bucket="gallery", Key=key, Body=change(text))
        access.records._kept.clear()
        assert anna.get("/qwenimage/unfinished", params=unfinished).status_code == 404
    finally:
        for key, text in kept.items():
            client.put_object(Bucket="gallery", Key=key, Body=text)


def test_an_image_elsewhere_that_a_journal_names_is_left_out(anna, unfinished, rclone_s3, shown):
    client, kept = journal(rclone_s3)
    (key,) = [key for key in kept if key.endswith(".jsonl")]
    foreign = json.loads(kept[key].splitlines()[0])
    foreign["images"][0] |= {"uri": shown.stored[0]["uri"], "sha256": shown.stored[0]["sha256"]}
    try:
        client.put_object(Bucket="gallery", Key=key, Body=json.dumps(foreign).encode() + b"\n")
        access.records._kept.clear()
        assert anna.get("/qwenimage/unfinished", params=unfinished).json()["images"] == []
        query = {**unfinished, "uri": shown.stored[0]["uri"]}
        assert anna.get("/qwenimage/image", params=query).status_code == 404
    finally:
        client.put_object(Bucket="gallery", Key=key, Body=kept[key])


def test_it_is_for_who_may_read_the_dag(as_user, unfinished):
    assert as_user(BEN).get("/qwenimage/unfinished", params=unfinished).status_code == 403
    assert as_user(None).get("/qwenimage/unfinished", params=unfinished).status_code == 401


def test_who_may_read_xcoms_only_hides_it_from_nobody(as_user, unfinished):
    for user, status in ((CLEO, 404), (ANNA, 200)):
        assert as_user(user).get("/qwenimage/unfinished", params=unfinished).status_code == status


def test_a_task_without_a_journal_has_none(anna, shown):
    assert anna.get("/qwenimage/unfinished", params=shown.query(uri=None)).status_code == 404
