"""Marks of origin where one task pays for its images and stores them; nothing is bought again for one."""

from __future__ import annotations

import base64

import pytest
from airflow.sdk import task

from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferIncomplete, UnexpectedReply
from airflow_provider_qwenimage.images.checked import receive_bytes
from airflow_provider_qwenimage.images.origin import COMPOSITE, TRAINED
from airflow_provider_qwenimage.operators.qwenimage import (
    QwenImageEditOperator,
    QwenImageGenerateOperator,
    QwenImageSequenceOperator,
    QwenImageTranslateOperator,
)
from harness import InMemoryAirflow
from images.marked import exiv2_xmp, picture, signed
from operators.pictures import picture as input_picture

MARKED = {
    "xmp": exiv2_xmp(picture("png"), {"Xmp.iptcExt.DigitalSourceType": TRAINED}),
    "c2pa": signed(picture("png"), "png"),
    "c2pa jpg": signed(picture("jpg"), "jpg"),
}
GIVEN = "a cup [fault:file_given]"


@pytest.fixture
def place(bucket):
    return f"s3://{bucket}/here/"


def read(s3, uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return s3.client().get_object(Bucket=bucket, Key=key)["Body"].read()


def names(s3, place):
    bucket = place.removeprefix("s3://").partition("/")[0]
    return [entry["Key"] for entry in s3.client().list_objects_v2(Bucket=bucket).get("Contents", ())]


def generate(place, conn_id, **arguments):
    given = {"prompt": "a cup", "model": "qwen-image-plus", "persist_to": place, "poll_interval": 0.05}
    return QwenImageGenerateOperator(task_id="t", qwenimage_conn_id=conn_id, **{**given, **arguments})


def source_types(s3, attempt):
    whole = [receive_bytes(read(s3, uri), max_bytes=1 << 30) for uri in attempt.result]
    return [image.facts.marks.digital_source_type for image in whole]


@pytest.mark.parametrize("provenance", ["keep", "require", "label"])
@pytest.mark.parametrize("mark", MARKED)
def test_marks_stay_byte_for_byte(simulator, qwenimage_connection, s3, place, mark, provenance):  # noqa: PLR0917
    simulator.state.settings.given_file = base64.b64encode(MARKED[mark]).decode()
    attempt = InMemoryAirflow().run(
        generate(place, qwenimage_connection("tokenhot"), prompt=GIVEN, provenance=provenance)
    )
    assert attempt.state == "success", attempt.error
    assert read(s3, attempt.result[0]) == MARKED[mark]


@pytest.mark.parametrize("deferrable", [False, True])
def test_images_of_a_job_are_labelled(simulator, qwenimage_connection, s3, place, deferrable):
    task = generate(place, qwenimage_connection("dashscope"), provenance="label", deferrable=deferrable)
    attempt = InMemoryAirflow().run_to_end(task)
    assert attempt.state == "success", attempt.error
    assert source_types(s3, attempt) == [TRAINED]
    assert attempt.xcoms["images"][0]["origin"]["digital_source_type"] == TRAINED
    assert attempt.xcoms["stored"][0]["arrived_sha256"]


def test_what_is_made_of_another_image_is_labelled_as_a_composite(
    simulator, qwenimage_connection, s3, bucket, place
):
    s3.client().put_object(Bucket=bucket, Key="in.png", Body=input_picture())
    shared = {"task_id": "t", "images": f"s3://{bucket}/in.png", "persist_to": place, "provenance": "label"}
    edit = QwenImageEditOperator(
        prompt="bluer", model="qwen-image-2.0", qwenimage_conn_id=qwenimage_connection("tokenhot"), **shared
    )
    attempt = InMemoryAirflow().run(edit)
    assert source_types(s3, attempt) == [COMPOSITE]
    conn_id = qwenimage_connection("dashscope")
    translate = QwenImageTranslateOperator(
        target_lang="ja",
        qwenimage_conn_id=conn_id,
        poll_interval=0.05,
        **{**shared, "persist_to": f"{place}2/"},
    )
    attempt = InMemoryAirflow().run(translate)
    assert attempt.state == "success", attempt.error
    assert source_types(s3, attempt) == [COMPOSITE]


def test_a_sequence_is_generated(simulator, qwenimage_connection, s3, place):
    series = QwenImageSequenceOperator(
        task_id="t",
        prompt="a fox",
        n=2,
        model="wan2.7-image",
        qwenimage_conn_id=qwenimage_connection("tokenhot"),
        persist_to=place,
        provenance="label",
    )
    attempt = InMemoryAirflow().run(series)
    assert attempt.state == "success", attempt.error
    assert source_types(s3, attempt) == [TRAINED] * 2


def test_a_decorated_function_is_labelled(simulator, qwenimage_connection, s3, place, dag):
    conn_id = qwenimage_connection("tokenhot")
    with dag:

        @task.qwen_image(
            model="qwen-image-plus", qwenimage_conn_id=conn_id, persist_to=place, provenance="label"
        )
        def draw():
            return "a cup"

        made = draw().operator
    attempt = InMemoryAirflow().run(made)
    assert source_types(s3, attempt) == [TRAINED]


@pytest.mark.parametrize("resend", ["fail", "resubmit"])
def test_an_image_without_a_mark_is_a_failure_that_buys_nothing(
    simulator, qwenimage_connection, s3, place, resend
):
    airflow = InMemoryAirflow()
    asked = generate(
        place, qwenimage_connection("tokenhot"), provenance="require", on_unknown_outcome=resend, retries=3
    )
    attempt = airflow.run(asked)
    assert attempt.state == "failed"  # at once: a retry meets the same
    assert isinstance(attempt.error, TransferIncomplete)
    assert attempt.error.billing == "yes"
    assert "no machine-readable mark" in str(attempt.error)
    assert attempt.xcoms["images"][0]["url"].startswith(
        "http"
    )  # its link is told, for who wants it all the same
    assert names(s3, place) == []
    assert airflow.run(asked).state == "failed"
    assert simulator.state.posts == 1


def test_an_unmarked_image_that_came_inside_the_reply_is_kept_on_the_worker(
    simulator, qwenimage_connection, s3, bucket, place
):
    asked = generate(
        place, qwenimage_connection("openai-compatible"), model="Qwen/Qwen-Image", provenance="require"
    )
    attempt = InMemoryAirflow().run(asked)
    assert (attempt.state, simulator.state.posts) == ("failed", 1)
    assert isinstance(attempt.error, UnexpectedReply)
    assert "no machine-readable mark" in str(attempt.error)
    assert "They lie in " in str(attempt.error)


def test_a_retry_that_finds_its_label_stores_nothing_anew(simulator, qwenimage_connection, s3, place):
    airflow = InMemoryAirflow()
    asked = generate(place, qwenimage_connection("tokenhot"), provenance="label", retries=2)
    simulator.fault("file_404", times=1, on="file")
    first, second = airflow.run(asked), airflow.run(asked)
    assert (first.state, second.state) == ("up_for_retry", "success")
    third = airflow.run(asked)
    facts = ("uri", "sha256", "arrived_sha256", "bytes", "origin")
    told = [
        [{name: image[name] for name in facts} for image in each.xcoms["stored"]] for each in (second, third)
    ]
    assert (third.result, told[1]) == (second.result, told[0])
    assert simulator.state.posts == 1


@pytest.mark.parametrize("provenance", ["require", "label"])
def test_without_a_place_nothing_is_sent(simulator, qwenimage_connection, provenance):
    attempt = InMemoryAirflow().run(generate(None, qwenimage_connection("tokenhot"), provenance=provenance))
    assert isinstance(attempt.error, InvalidRequest)
    assert attempt.error.field == "provenance"
    assert "needs persist_to" in str(attempt.error)
    assert simulator.state.posts == 0
