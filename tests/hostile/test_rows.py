"""Whoever writes a rows file reads nothing with the worker's rights that the author did not allow."""

from __future__ import annotations

import base64
import json
import os

import pytest

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.qwenimage import QwenImageEditOperator
from harness import InMemoryAirflow
from operators.pictures import BLUE, picture, served

MODEL = "qwen-image-2.0"


@pytest.fixture
def objects(s3, bucket):
    """The bucket of the rows, and another one that the same connection reads."""
    client = s3.client()
    other = f"salaries-{bucket}"
    client.create_bucket(Bucket=other)
    for where, key in ((bucket, "photos/a.png"), (bucket, "drafts/b.png"), (other, "c.png")):
        client.put_object(Bucket=where, Key=key, Body=picture())

    def put(rows):
        body = "\n".join(json.dumps(row) for row in rows).encode()
        client.put_object(Bucket=bucket, Key="rows.jsonl", Body=body)
        return f"s3://{bucket}/rows.jsonl"

    return bucket, other, put


def edit_of(image):
    return {"prompt": "bluer", "images": [image], "model": MODEL}


@pytest.fixture
def run(qwenimage_connection, bucket):
    def run(requests, **options):
        return InMemoryAirflow().run_to_end(
            QwenImageBatchOperator(
                task_id="batch",
                requests=requests,
                persist_to=f"s3://{bucket}/out/",
                qwenimage_conn_id=qwenimage_connection(),
                **options,
            )
        )

    return run


def refused(attempt, simulator, *said):
    assert isinstance(attempt.error, InvalidRequest)
    for text in ("line 1, images[0]: ", "inputs_from", *said):
        assert text in str(attempt.error)
    assert simulator.state.posts == 0


def test_rows_of_a_file_name_no_file_of_the_worker(simulator, objects, run, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture())
    for path in (str(secret), f" {secret}", os.path.relpath(secret), f"file://{secret}"):
        refused(run(objects[2]([edit_of(path)])), simulator)


def test_a_file_of_the_worker_is_not_even_looked_for(simulator, objects, run, tmp_path):
    refused(run(objects[2]([edit_of(str(tmp_path / "is-it-there"))])), simulator, "elsewhere")


def test_rows_of_a_file_name_no_other_bucket(simulator, objects, run):
    _, other, put = objects
    refused(run(put([edit_of(f"s3://{other}/c.png")])), simulator, other)


def test_links_data_and_the_bucket_of_the_rows_are_allowed(simulator, objects, run):
    bucket, _, put = objects
    data = f"data:image/png;base64,{base64.b64encode(picture(BLUE)).decode()}"
    with served({"/a.png": picture()}) as (base, _asked):
        attempt = run(put([edit_of(each) for each in (f"s3://{bucket}/photos/a.png", data, f"{base}/a.png")]))
    assert attempt.error is None
    assert simulator.state.posts == 3


@pytest.fixture
def folder(tmp_path):
    """A folder with a picture and a link out of it; pictures lie beside it, and in another folder of a like name."""
    folder = tmp_path / "photos"
    for place in (folder, tmp_path / "photos-else"):
        place.mkdir()
        (place / "in.png").write_bytes(picture())
    (tmp_path / "out.png").write_bytes(picture())
    (folder / "linked.png").symlink_to(tmp_path / "out.png")
    return folder


@pytest.mark.parametrize(
    "case",
    [
        (["s3://{bucket}/photos/"], "s3://{bucket}/photos/a.png", True),
        (["s3://{bucket}/photos"], "s3://{bucket}/photos/a.png", True),
        (["s3://{bucket}/photos"], "s3://{bucket}/drafts/b.png", False),
        (["s3://{bucket}/photos/"], "s3://{bucket}/photos/../drafts/b.png", False),
        (["s3://{other}"], "s3://{other}/c.png", True),
        ("['s3://{other}/', 'https']", "s3://{other}/c.png", True),
        ("s3://{other}/", "s3://{other}/c.png", True),
        (["https", "data"], "s3://{bucket}/photos/a.png", False),
        (["https"], "http://photos.example/a.png", False),
        (["http"], "https://photos.example/a.png", True),
        ([], "s3://{bucket}/photos/a.png", False),
        (["{folder}"], "{folder}/in.png", True),
        (["{folder}"], "{folder}/../out.png", False),
        (["{folder}"], "{folder}/linked.png", False),
        (["{folder}"], "{folder}-else/in.png", False),
    ],
)
def test_inputs_from_says_what_is_allowed(simulator, objects, run, folder, case):
    (bucket, other, put), (given, image, passes) = objects, case
    names = {"bucket": bucket, "other": other, "folder": folder}

    def named(text):
        return text.format(**names)

    given = named(given) if isinstance(given, str) else [named(each) for each in given]

    attempt = run(put([edit_of(named(image))]), inputs_from=given)

    if passes:
        assert attempt.error is None
        assert simulator.state.posts == 1
    else:
        refused(attempt, simulator)


def test_rows_of_a_list_are_the_author_s_own_unless_inputs_from_is_given(simulator, objects, run, tmp_path):
    _, other, _ = objects
    local = tmp_path / "mine.png"
    local.write_bytes(picture())
    rows = [edit_of(str(local)), edit_of(f"s3://{other}/c.png")]

    attempt = run(rows, inputs_from=["http"])
    assert "requests[1], images[0]: " in str(attempt.error)
    assert simulator.state.posts == 0
    assert run(rows).error is None


@pytest.mark.parametrize("place", ["ftp://x/", "photos", "s3", "HTTPS"])
def test_a_place_that_is_none_is_refused(simulator, objects, run, place):
    rows = objects[2](["a mug"])
    with pytest.raises(InvalidRequest, match="inputs_from"):  # a literal, when the Dag is parsed
        run(rows, inputs_from=[place])
    attempt = run(rows, inputs_from=f"{{{{ [{place!r}] }}}}")
    assert isinstance(attempt.error, InvalidRequest)
    assert "inputs_from" in str(attempt.error)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_only_regular_files_are_opened(simulator, qwenimage_connection, tmp_path, kind):
    path = tmp_path / "input.png"
    if kind == "pipe":
        os.mkfifo(path)  # nobody writes: who reads it waits without end
    else:
        path.symlink_to("/dev/zero")

    attempt = InMemoryAirflow().run(
        QwenImageEditOperator(
            task_id="edit",
            prompt="bluer",
            model=MODEL,
            images=[str(path)],
            qwenimage_conn_id=qwenimage_connection(),
        )
    )

    assert isinstance(attempt.error, InvalidRequest)
    assert "images[0]" in str(attempt.error)
    assert "is no regular file" in str(attempt.error)
    assert simulator.state.posts == 0
