"""An author's own names for an image go wherever the image goes, and cost nothing."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import Asset

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.manifests import read_manifest
from airflow_provider_qwenimage.models.results import ImageFields
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from airflow_provider_qwenimage.storage.objects import Filename
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator
from harness import InMemoryAirflow

LABELS = {"sku": "A/1", "name": "红色 🦊"}


@pytest.fixture
def metadata(s3):
    """Return what an object's metadata says, as every server gives it back."""

    def read(uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        answer = s3.client().head_object(Bucket=bucket, Key=key)
        return {name.lower(): value for name, value in answer["Metadata"].items()}

    return read


@pytest.fixture
def generate(qwenimage_connection, bucket, simulator):
    def make(*, gateway="tokenhot", stored=True, **arguments):
        given = {
            "prompt": "a mug",
            "model": "qwen-image-plus",
            "labels": LABELS,
            "poll_interval": 0.05,
            "retries": 2,
        }
        if stored:
            given["persist_to"] = f"s3://{bucket}/set/"
        return QwenImageGenerateOperator(
            task_id="generate", qwenimage_conn_id=qwenimage_connection(gateway), **(given | arguments)
        )

    return make


@pytest.mark.parametrize("gateway", ["tokenhot", "dashscope"])
def test_labels_reach_xcom_manifest_object_and_asset_event_and_no_request(
    generate, metadata, simulator, gateway
):
    attempt = InMemoryAirflow().run_to_end(generate(gateway=gateway, outlets=[Asset("s3://marketing/set")]))

    (image,), (stored,) = attempt.xcoms["images"], attempt.xcoms["stored"]
    assert image["labels"] == stored["labels"] == LABELS
    assert read_manifest(attempt.xcoms["manifest"]).images[0].labels == LABELS
    assert json.loads(metadata(stored["uri"])["labels"]) == LABELS
    assert attempt.outlet_events[0]["extra"]["labels"] == LABELS
    assert "A/1" not in json.dumps([each.body for each in simulator.state.requests], default=str)


def test_labels_come_from_a_template_and_from_text(generate):
    task = generate(stored=False, labels="{{ {'sku': 'A-' ~ 1} }}")

    assert InMemoryAirflow().run(task).xcoms["images"][0]["labels"] == {"sku": "A-1"}


@pytest.mark.parametrize("labels", [None, "", "None", {}])
def test_no_labels_are_an_empty_object(generate, metadata, labels):
    attempt = InMemoryAirflow().run(generate(labels=labels))

    assert attempt.xcoms["images"][0]["labels"] == {}
    assert "labels" not in metadata(attempt.result[0])


def test_a_label_that_is_no_text_is_refused_by_its_name_before_the_request(generate, simulator):
    attempt = InMemoryAirflow().run_to_end(generate(labels={"sku": {"en": "A"}}))

    assert "labels.sku: must be text, got an object" in str(attempt.error)
    assert simulator.state.posts == 0


def test_the_hook_labels_what_it_brings(qwenimage_connection, simulator):
    with QwenImageHook(qwenimage_connection("tokenhot", model="qwen-image-plus")) as hook:
        generation = hook.generate("a mug", labels={"sku": "A-1"})

    assert [image.labels for image in generation.images] == [{"sku": "A-1"}]


def test_what_did_not_come_says_whose_it_is(generate, simulator):
    simulator.fault("partial_failure", times=1)
    attempt = InMemoryAirflow().run_to_end(generate(model="qwen-image-2.0", n=2))

    (failure,) = attempt.xcoms["failures"]
    assert failure["labels"] == LABELS
    assert read_manifest(attempt.xcoms["manifest"]).failures[0].labels == LABELS


def test_another_label_on_a_retry_buys_nothing_and_is_the_one_that_is_told(generate, metadata, simulator):
    airflow, task = InMemoryAirflow(), generate()
    first = airflow.run(task)
    airflow.lose_report(task)
    task.labels = {"sku": "B-2"}
    second = airflow.run(task)

    assert simulator.state.posts == 1
    assert second.result == first.result
    assert second.xcoms["images"][0]["labels"] == {"sku": "B-2"}
    assert read_manifest(second.xcoms["manifest"]).images[0].labels == {"sku": "B-2"}
    assert json.loads(metadata(second.result[0])["labels"]) == {"sku": "B-2"}


def test_a_job_submitted_under_other_labels_is_resumed(generate, simulator):
    airflow = InMemoryAirflow()
    task = generate(gateway="dashscope", model="wan2.5-t2i-preview", deferrable=True)
    deferred = airflow.run(task)
    airflow.fire(task, deferred.trigger)
    task.labels = {"sku": "B-2"}
    attempt = airflow.run(task)

    assert attempt.xcoms["images"][0]["labels"] == {"sku": "B-2"}
    assert simulator.state.posts == 1


def test_labels_beyond_what_s3_takes_are_in_the_manifest_only(generate, metadata):
    long = {"sku": "A-1", "text": "🦊" * 1000}
    attempt = InMemoryAirflow().run(generate(labels=long))

    assert "labels" not in metadata(attempt.result[0])
    assert len(metadata(attempt.result[0])["sha256"]) == 64
    assert read_manifest(attempt.xcoms["manifest"]).images[0].labels == long


@pytest.mark.parametrize("named", ["objects", "uris"])
def test_a_transfer_carries_labels_to_names_manifest_and_objects(generate, metadata, bucket, named):
    made = InMemoryAirflow().run(generate())
    images = made.xcoms["images"] if named == "objects" else made.result
    attempt = InMemoryAirflow().run_to_end(
        QwenImageToS3Operator(
            task_id="store",
            images=images,
            s3_prefix=f"s3://{bucket}/shop/",
            filename="{labels[sku]}/{labels[name]}.{ext}",
        )
    )

    assert attempt.error is None
    if named == "objects":
        assert attempt.result == [f"s3://{bucket}/shop/A-1/红色.png"]
    assert attempt.xcoms["stored"][0]["labels"] == LABELS
    assert json.loads(metadata(attempt.result[0])["labels"]) == LABELS


def test_a_transfer_in_place_takes_labels_away_and_gives_others(generate, metadata):
    made = InMemoryAirflow().run(generate())
    place = made.result[0].rpartition("/")[0] + "/"

    for labels in ({"sku": "B-2"}, {}):
        images = [image | {"labels": labels} for image in made.xcoms["images"]]
        attempt = InMemoryAirflow().run_to_end(
            QwenImageToS3Operator(task_id="store", images=images, s3_prefix=place)
        )
        assert attempt.result == made.result
        assert json.loads(metadata(made.result[0]).get("labels", "{}")) == labels
        assert read_manifest(place).images[0].labels == labels


@pytest.mark.parametrize(
    ("label", "made"),
    [
        ("A-1", "A-1"),
        ("a/../b\\c", "a-..-b-c"),
        ("../../etc", "etc"),
        ("🦊", "none"),
        ("", "none"),
        ("红色 杯子", "红色-杯子"),
        ("Ærø\n1", "Ærø-1"),
        ("{index}", "index"),
    ],
)
def test_a_label_in_a_name_is_made_safe(label, made):
    fields = ImageFields(labels={"product name": label})
    name = Filename("{labels[product name]}.{ext}").render(
        index=0, sha256="", ext="png", fields=fields, map_index=-1
    )
    assert name == f"{made}.png"


def test_labels_named_by_a_number_or_not_there_have_names_too():
    fields = ImageFields(labels={"1": "one"})
    name = Filename("{labels[1]:>5}-{labels[2]}.{ext}").render(
        index=0, sha256="", ext="png", fields=fields, map_index=-1
    )
    assert name == "one-none.png"


@pytest.mark.parametrize(
    "template",
    ["{labels}.png", "{labels.sku}.png", "{labels[a][b]}.png", "{labels[sku]!r}.png", "{labels[]}.png"],
)
def test_a_name_takes_one_label_at_a_time(template):
    with pytest.raises(InvalidRequest, match="filename"):
        Filename(template)


@pytest.mark.parametrize(("template", "made"), [("{labels[sku]}.{ext}", "A-4.png"), ("{labels[sku]}", "A-4")])
def test_an_image_beyond_those_asked_for_has_a_name_of_its_own(template, made):
    filename, fields = Filename(template, places=4), ImageFields(labels={"sku": "A"})
    assert filename.render(index=3, sha256="", ext="png", fields=fields, map_index=-1) == made.replace(
        "-4", ""
    )
    assert filename.render(index=4, sha256="", ext="png", fields=fields, map_index=-1) == made


def test_labels_too_long_for_a_name_are_refused():
    fields = ImageFields(labels={"sku": "x" * 3000})
    with pytest.raises(InvalidRequest, match="longer than an object's"):
        Filename("{labels[sku]}").render(index=0, sha256="", ext="png", fields=fields, map_index=-1)
