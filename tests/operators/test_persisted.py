"""A task that stores its images makes one S3 client, and knows the place before it pays."""

from __future__ import annotations

import pytest
from airflow.providers.amazon.aws.hooks.s3 import S3Hook

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.qwenimage import QwenImageEditOperator, QwenImageGenerateOperator
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator
from harness import InMemoryAirflow
from operators.pictures import picture


class Seen:
    """The S3 clients made, whether they were closed, and each listing with the POSTs sent before it."""

    def __init__(self) -> None:
        self.clients: list[object] = []
        self.closed: list[object] = []
        self.lists: list[tuple[str, int]] = []


@pytest.fixture
def seen(monkeypatch, simulator):
    """Watch the clients that come from Airflow's hook; they do what they always do."""
    watched, make = Seen(), S3Hook.get_client_type

    def get_client_type(hook, **options):
        client = make(hook, **options)
        close = client.close
        watched.clients.append(client)
        client.close = lambda: (watched.closed.append(client), close())
        client.meta.events.register(
            "before-send.s3.ListObjectsV2",
            lambda request, **_: watched.lists.append((request.url, simulator.state.posts)),
        )
        return client

    monkeypatch.setattr(S3Hook, "get_client_type", get_client_type)
    return watched


def check_one_client(seen):
    assert len(seen.clients) == 1
    assert seen.closed == seen.clients


def generate(conn_id, prefix, **arguments):
    given = {"prompt": "a teapot", "model": "qwen-image-plus", "poll_interval": 0.05, **arguments}
    return QwenImageGenerateOperator(
        task_id="generate", qwenimage_conn_id=conn_id, persist_to=prefix, **given
    )


@pytest.mark.parametrize("gateway", ["tokenhot", "dashscope"])
def test_one_client_and_one_listing_before_the_post(simulator, qwenimage_connection, bucket, seen, gateway):
    attempt = InMemoryAirflow().run(generate(qwenimage_connection(gateway), f"s3://{bucket}/a/"))
    assert attempt.error is None
    check_one_client(seen)
    assert [posts for _, posts in seen.lists] == [0]
    assert simulator.state.posts == 1


def test_input_images_in_s3_are_read_by_the_same_client(simulator, qwenimage_connection, s3, bucket, seen):
    s3.client().put_object(Bucket=bucket, Key="in.png", Body=picture())
    task = QwenImageEditOperator(
        task_id="edit",
        prompt="bluer",
        model="qwen-image-2.0",
        images=[f"s3://{bucket}/in.png"],
        qwenimage_conn_id=qwenimage_connection("tokenhot"),
        persist_to=f"s3://{bucket}/a/",
    )
    assert InMemoryAirflow().run(task).error is None
    check_one_client(seen)
    assert [posts for _, posts in seen.lists] == [0]


def test_a_task_that_was_deferred_opens_its_place_once_more_to_store(
    simulator, qwenimage_connection, bucket, seen
):
    task = generate(qwenimage_connection("dashscope"), f"s3://{bucket}/a/", deferrable=True)
    assert InMemoryAirflow().run_to_end(task).error is None
    assert [posts for _, posts in seen.lists] == [0, 1]
    assert len(seen.clients) == 2
    assert seen.closed == seen.clients


def test_a_retry_that_only_stores_opens_its_place_anew(simulator, qwenimage_connection, bucket, seen):
    simulator.fault("file_404", times=1, on="file")
    airflow = InMemoryAirflow()
    task = generate(qwenimage_connection("tokenhot"), f"s3://{bucket}/a/", retries=1)
    assert (airflow.run(task).state, airflow.run(task).state) == ("up_for_retry", "success")
    assert [posts for _, posts in seen.lists] == [0, 1]
    assert seen.closed == seen.clients
    assert simulator.state.posts == 1


def test_a_post_that_fails_leaves_no_client_open(simulator, qwenimage_connection, bucket, seen):
    simulator.fault("moderation", times=1)
    attempt = InMemoryAirflow().run(generate(qwenimage_connection("tokenhot"), f"s3://{bucket}/a/"))
    assert attempt.error is not None
    check_one_client(seen)


def test_a_file_that_is_no_manifest_is_found_before_paying(simulator, qwenimage_connection, s3, bucket):
    s3.client().put_object(Bucket=bucket, Key="a/manifest.json", Body=b'{"name": "a web app"}')
    attempt = InMemoryAirflow().run(generate(qwenimage_connection("tokenhot"), f"s3://{bucket}/a/"))
    assert isinstance(attempt.error, InvalidRequest)
    assert attempt.error.field == "persist_to"
    assert f"s3://{bucket}/a/manifest.json" in str(attempt.error)
    assert simulator.state.posts == 0


def test_a_task_that_stores_nothing_makes_no_client(simulator, qwenimage_connection, seen):
    assert InMemoryAirflow().run(generate(qwenimage_connection("tokenhot"), None)).error is None
    assert seen.clients == []


def test_a_transfer_makes_one_client_and_lists_once(simulator, qwenimage_connection, s3, bucket, seen):
    s3.client().put_object(Bucket=bucket, Key="in.png", Body=picture())
    task = QwenImageToS3Operator(
        task_id="keep", images=[f"s3://{bucket}/in.png"], s3_prefix=f"s3://{bucket}/a/"
    )
    assert InMemoryAirflow().run(task).error is None
    check_one_client(seen)
    assert len(seen.lists) == 1


def test_a_batch_reads_its_rows_and_images_and_stores_by_one_client(
    simulator, qwenimage_connection, s3, bucket, seen
):
    s3.client().put_object(Bucket=bucket, Key="in.png", Body=picture())
    row = f'{{"prompt": "bluer", "images": ["s3://{bucket}/in.png"]}}\n'
    s3.client().put_object(Bucket=bucket, Key="rows.jsonl", Body=row.encode())
    task = QwenImageBatchOperator(
        task_id="batch",
        requests=f"s3://{bucket}/rows.jsonl",
        model="qwen-image-2.0",
        qwenimage_conn_id=qwenimage_connection("tokenhot"),
        persist_to=f"s3://{bucket}/a/",
    )
    assert InMemoryAirflow().run(task).error is None
    check_one_client(seen)
    places = [url.partition("prefix=")[2].partition("&")[0] for url, _ in seen.lists]
    assert places.count("a%2F") == 1
