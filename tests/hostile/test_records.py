"""Records are not orders: whoever may write a task's state, a journal or a manifest does not steer its credentials."""

from __future__ import annotations

import json

import pytest

from airflow_provider_qwenimage.exceptions import InvalidRequest, OutcomeUnknown
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from airflow_provider_qwenimage.payment.ledger import KEY
from harness import InMemoryAirflow
from operators.pictures import picture


class Neighbours:
    """A bucket of ours, and a picture that belongs to somebody else."""

    def __init__(self, client, bucket):
        self.client, self.bucket = client, bucket
        self.secret = f"s3://{bucket}/salaries/chart.png"
        self.put("salaries/chart.png", picture())

    def put(self, key, body):
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def read(self, key):
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def keys(self, prefix):
        found = self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return sorted(entry["Key"] for entry in found)


@pytest.fixture
def neighbours(s3, bucket):
    return Neighbours(s3.client(), bucket)


def generate(conn_id, persist_to):
    return QwenImageGenerateOperator(
        task_id="generate",
        prompt="a teapot",
        model="qwen-image-plus",
        qwenimage_conn_id=conn_id,
        persist_to=persist_to,
        retries=2,
    )


def replayed(task, uri):
    """Pay for a task's images, change where its record says they lie, and run its next try."""
    airflow = InMemoryAirflow()
    assert airflow.run(task).error is None
    airflow.stored(task)[KEY]["generation"]["images"][0]["url"] = uri
    airflow.lose_report(task)
    return airflow.run(task), airflow.stored(task)


@pytest.mark.parametrize(
    "where", ["{secret}", " S3://elsewhere/x.png", "s3://{bucket}/ours/../salaries/chart.png"]
)
def test_a_replay_copies_nothing_from_beside_the_task_s_own_prefix(
    simulator, qwenimage_connection, neighbours, where
):
    uri = where.format(secret=neighbours.secret, bucket=neighbours.bucket)

    attempt, record = replayed(generate(qwenimage_connection(), f"s3://{neighbours.bucket}/ours/"), uri)

    assert isinstance(attempt.error, OutcomeUnknown)
    assert "does not lie below persist_to" in str(attempt.error)
    assert attempt.state == "failed"
    assert attempt.xcoms == {}
    assert len(neighbours.keys("ours/")) == 2  # the image of the first try, and its manifest
    assert record[KEY]["phase"] == "done"
    assert simulator.state.posts == 1


def test_a_replay_without_a_prefix_passes_no_object_on(simulator, qwenimage_connection, neighbours):
    attempt, _ = replayed(generate(qwenimage_connection(), None), neighbours.secret)

    assert isinstance(attempt.error, OutcomeUnknown)
    assert attempt.xcoms == {}
    assert simulator.state.posts == 1


def test_a_replay_of_what_the_task_itself_stored_goes_on(simulator, qwenimage_connection, neighbours):
    task, airflow = generate(qwenimage_connection(), f"s3://{neighbours.bucket}/ours/"), InMemoryAirflow()
    first = airflow.run(task)
    airflow.lose_report(task)

    assert airflow.run(task).result == first.result
    assert simulator.state.posts == 1


def doctored(journal, uri, *, field):
    """Return journal lines in which the first request was delivered, or is done, as ``uri``."""
    entry = next(line for line in map(json.loads, journal.splitlines()) if line["state"] == "done")
    if field == "generation":
        entry = {**entry, "state": "delivered", "images": []}
        entry["generation"]["images"][0]["url"] = uri
    else:
        entry["images"][0]["uri"] = uri
    return json.dumps(entry).encode() + b"\n"


@pytest.mark.parametrize("field", ["generation", "images"])
def test_a_journal_that_names_another_s_object_is_refused(simulator, qwenimage_connection, neighbours, field):
    def batch():
        return QwenImageBatchOperator(
            task_id="batch",
            requests=["a mug", "a lamp"],
            model="qwen-image-plus",
            qwenimage_conn_id=qwenimage_connection(),
            persist_to=f"s3://{neighbours.bucket}/ours/",
            max_concurrency=1,
            on_error="fail",
        )

    simulator.fault("moderation", times=1, match="a lamp")  # so that the journal keeps what it was given
    assert InMemoryAirflow().run_to_end(batch()).state == "failed"
    (name,) = [key for key in neighbours.keys("ours/journal/") if key.endswith(".jsonl")]
    neighbours.put(name, doctored(neighbours.read(name), neighbours.secret, field=field))
    before, posts = neighbours.keys("ours/"), simulator.state.posts

    attempt = InMemoryAirflow(run_id="next").run_to_end(batch())

    assert isinstance(attempt.error, InvalidRequest)
    assert neighbours.secret in str(attempt.error)
    assert neighbours.keys("ours/") == before
    assert simulator.state.posts == posts
