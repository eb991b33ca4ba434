"""Whole sets in stores beside S3: operators, transfer, batch and campaign keep there what they keep in S3."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter

import pytest
from airflow.sdk import DAG, timezone

from airflow_provider_qwenimage.batch.running import BatchRun
from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.manifests import read_manifest
from airflow_provider_qwenimage.models.manifest import Origin
from airflow_provider_qwenimage.models.options import BatchOptions
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.campaign import qwen_image_campaign
from airflow_provider_qwenimage.operators.qwenimage import QwenImageEditOperator, QwenImageGenerateOperator
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator
from harness import InMemoryAirflow, run_task
from operators.pictures import picture
from store.file_server import FileServer, png

pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
PROMPTS = [{"prompt": f"product {number}", "labels": {"sku": f"A-{number}"}} for number in range(5)]


@pytest.fixture(autouse=True)
def gateway(simulator, qwenimage_connection):
    qwenimage_connection("tokenhot")
    simulator.state.settings.latency = 0
    return simulator


@pytest.fixture
def files():
    server = FileServer()
    yield server
    server.close()


def batch(place, requests=PROMPTS, **arguments):
    given = {"model": "qwen-image-plus", "persist_to": place.prefix, "retries": 1, **arguments}
    return QwenImageBatchOperator(task_id="batch", requests=requests, **given)


def test_an_operator_stores_what_it_paid_for(gateway, place):
    task = QwenImageGenerateOperator(
        task_id="t", prompt="a mug", model="qwen-image-plus", persist_to=place.prefix
    )
    attempt = InMemoryAirflow().run_to_end(task)

    assert attempt.error is None
    (uri,) = attempt.result
    assert uri.startswith(place.prefix)
    assert place.read(uri.removeprefix(place.prefix))[:4] == b"\x89PNG"
    manifest = read_manifest(attempt.xcoms["manifest"])
    assert [image.uri for image in manifest.images] == attempt.result
    assert manifest.images[0].prompt == "a mug"


def test_a_transfer_once_more_fetches_nothing_and_writes_the_same_set(files, place):
    urls = files.images(3)
    first = run_task(QwenImageToS3Operator(task_id="t", images=urls, s3_prefix=place.prefix))
    asked = len(files.seen)
    files.close()
    again = run_task(QwenImageToS3Operator(task_id="t", images=urls, s3_prefix=place.prefix))

    assert first.error is again.error is None
    assert (again.result, len(files.seen)) == (first.result, asked)
    assert [image["url"] for image in place.manifest()["images"]] == [url.partition("?")[0] for url in urls]


def test_images_go_from_store_to_store(files, place, moto_s3, request):
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = moto_s3.connection
    bucket = f"from-{id(place)}"
    moto_s3.client().create_bucket(Bucket=bucket)
    steps = [files.images(2)]
    for prefix in (f"s3://{bucket}/a/", place.prefix, f"s3://{bucket}/b/"):
        attempt = run_task(
            QwenImageToS3Operator(
                task_id="t", images=steps[-1], s3_prefix=prefix, filename="{index}-{sha8}.{ext}"
            )
        )
        assert attempt.error is None
        steps.append(attempt.result)
    for index in range(2):
        assert place.read(steps[2][index].removeprefix(place.prefix)) == png(index)
        key = steps[3][index].removeprefix(f"s3://{bucket}/")
        there = moto_s3.client().get_object(Bucket=bucket, Key=key)
        assert (there["Body"].read(), there["ContentType"]) == (png(index), "image/png")


def test_a_batch_is_paid_once_whatever_runs_again(gateway, place):
    first = InMemoryAirflow().run_to_end(batch(place))
    second = InMemoryAirflow(run_id="another").run_to_end(batch(place))
    place.bucket.delete("manifest.json")
    third = InMemoryAirflow(run_id="a third").run_to_end(batch(place))

    assert first.error is second.error is third.error is None
    assert gateway.state.posts == len(PROMPTS)
    assert first.result == second.result == third.result
    assert place.images() == [f"0000{number}.png" for number in range(5)]
    assert [image["labels"]["sku"] for image in place.manifest()["images"]][-1] == "A-4"


def test_other_labels_buy_nothing_and_are_told_beside_the_objects(gateway, place):
    assert InMemoryAirflow().run_to_end(batch(place)).error is None
    named = [{**row, "labels": {"sku": "new"}} for row in PROMPTS]
    assert InMemoryAirflow(run_id="another").run_to_end(batch(place, named)).error is None

    assert gateway.state.posts == len(PROMPTS)
    assert {image["labels"]["sku"] for image in place.manifest()["images"]} == {"new"}
    with place.bucket.open("00000.png") as stored:
        assert json.loads(stored.metadata["labels"]) == {"sku": "new"}


def test_a_mark_of_origin_is_told_beside_the_objects(place):
    attempt = InMemoryAirflow().run_to_end(batch(place, provenance="label"))
    assert attempt.error is None
    with place.bucket.open("00000.png") as stored:
        assert stored.marks["digital-source-type"].endswith("trainedAlgorithmicMedia")


def test_an_image_of_somebody_else_at_our_names_is_refused_unpaid(gateway, place):
    place.put("00001.png", b"somebody's picture")
    attempt = InMemoryAirflow().run_to_end(batch(place))
    assert isinstance(attempt.error, InvalidRequest)
    assert "persist_to" in str(attempt.error)
    assert "00001.png is not an image of this provider" in str(attempt.error)
    assert (gateway.state.posts, place.names()) == (0, ["00001.png"])


def test_of_two_runs_at_one_prefix_one_stops_and_nothing_is_paid_twice(gateway, place):
    if not place.conditional:
        pytest.skip("this server takes a name twice, and docs/stores.md says what follows")
    gateway.state.settings.latency = 0.4
    verdicts = {}

    def run(run_id):
        options = BatchOptions(persist_to=place.prefix, max_concurrency=4, on_error="continue")
        run = BatchRun(
            QwenImageHook("qwenimage_default").settings, options, Origin(task_id="t", run_id=run_id)
        )
        rows = [{"prompt": f"product {number}"} for number in range(24)]
        verdicts[run_id], _ = run.run(rows, defaults={"model": "qwen-image-plus"})

    def paid():
        return Counter(body["input"]["messages"][0]["content"][0]["text"] for body in gateway.state.bodies)

    runs = [threading.Thread(target=run, args=(run_id,)) for run_id in ("one", "two")]
    runs[0].start()
    deadline = time.monotonic() + 30
    while gateway.state.posts < 6:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    runs[1].start()
    for each in runs:
        each.join(60)

    assert max(paid().values()) == 1
    (stopped,) = [verdict for verdict in verdicts.values() if verdict.stopped]
    assert "Another run writes into the journal" in str(stopped.stopped)
    run("three")
    assert max(paid().values()) == 1
    assert len(verdicts["three"].done) == 24


def test_a_campaign_reads_its_rows_there_and_keeps_everything_there(gateway, place):
    rows = place.put("rows.jsonl", "".join(json.dumps(row) + "\n" for row in PROMPTS).encode())

    def run(run_id):
        with DAG("harness", schedule=None, start_date=timezone.datetime(2026, 1, 1)) as dag:
            given = {"model": "qwen-image-plus", "persist_to": f"{place.prefix}c/", "shards": 2}
            qwen_image_campaign("spring", requests=rows, manifest_format="parquet", **given)
        airflow = InMemoryAirflow(run_id=run_id)
        assert airflow.run_to_end(dag.task_dict["spring.plan"]).error is None
        shards = [airflow.run_to_end(dag.task_dict["spring.shards"], map_index=index) for index in range(2)]
        assert [attempt.error for attempt in shards] == [None, None]
        return airflow.run_to_end(dag.task_dict["spring.close"])

    first, second = run("monday"), run("tuesday")

    assert first.error is second.error is None
    assert gateway.state.posts == len(PROMPTS)
    assert first.result == second.result
    manifest = read_manifest(f"{place.prefix}c/")
    assert [image.labels["sku"] for image in manifest.images] == [f"A-{number}" for number in range(5)]
    assert "c/manifest.parquet" in place.names()


def test_an_input_image_is_read_where_it_lies(gateway, place, qwenimage_connection):
    edit = {"task_id": "edit", "prompt": "bluer", "model": "qwen-image-2.0"}
    images = [place.put("photo.png", picture())]
    qwenimage_connection("dashscope")
    assert InMemoryAirflow().run_to_end(QwenImageEditOperator(**edit, images=images)).error is None
    missing = QwenImageEditOperator(**edit, images=[f"{place.prefix}gone.png"])
    attempt = InMemoryAirflow().run_to_end(missing)
    assert isinstance(attempt.error, InvalidRequest)
    assert "images[0]" in str(attempt.error)
    assert gateway.state.posts == 1


def test_a_gateway_that_takes_links_only_gets_none_of_these(gateway, place, qwenimage_connection):
    qwenimage_connection("tokenhub")
    edit = QwenImageEditOperator(
        task_id="edit", prompt="bluer", model="qwen-image-2.0", images=[place.put("photo.png", picture())]
    )
    attempt = InMemoryAirflow().run_to_end(edit)
    assert isinstance(attempt.error, InvalidRequest)
    assert "by URL only" in str(attempt.error)
    assert "s3://bucket/key" in str(attempt.error)


def test_a_place_that_is_not_there_is_named_before_anything_is_paid(gateway, place, kind, tmp_path):
    if kind == "file":
        (tmp_path / "in the way").write_bytes(b"a file")
        nowhere = f"file://{tmp_path}/in the way/"
    else:
        nowhere = place.prefix.replace("@images/", "@no-such-place/")
    attempt = InMemoryAirflow().run_to_end(batch(place, persist_to=nowhere))
    assert isinstance(attempt.error, TransferError)
    assert nowhere in str(attempt.error)
    assert gateway.state.posts == 0
