"""``kill -9`` of a task's process, wherever it hurts: the retry sends no further request."""

from __future__ import annotations

import json
import signal

import pytest

from airflow_provider_qwenimage.payment.ledger import KEY
from e2e.airflow_cluster import eventually

TASK = "generate"


def test_a_worker_killed_in_the_middle_of_a_job_resumes_it(airflow, gateway):
    gateway.state.settings.job_seconds = 8
    run = airflow.trigger("job_on_the_worker", prompt="a teapot")
    eventually(lambda: gateway.state.polls > 0, "the job to be polled")
    airflow.kill_worker(run, TASK)

    assert airflow.wait_for(run) == "success"

    assert gateway.state.posts == gateway.state.billed == 1
    assert airflow.task(run, TASK)["try_number"] == 2
    (job,) = gateway.state.jobs.list("dashscope")
    assert airflow.xcom(run, TASK, "job_id") == job.id
    (url,) = airflow.xcom(run, TASK)
    assert url in json.dumps(job.reply)


def test_a_lost_machine_costs_nothing_either(airflow, gateway):
    gateway.state.settings.job_seconds = 8
    run = airflow.trigger("job_on_the_worker", prompt="a teapot")
    eventually(lambda: gateway.state.polls > 0, "the job to be polled")
    airflow.restart("scheduler")  # with its workers and their tasks; nobody is left to report them

    assert airflow.wait_for(run) == "success"

    assert gateway.state.posts == gateway.state.billed == 1
    assert airflow.task(run, TASK)["try_number"] == 2


def test_a_worker_told_to_stop_cancels_its_waiting_job_and_pays_for_one(airflow, gateway):
    gateway.state.settings.change({"job_seconds": 600, "pending_share": 1})
    run = airflow.trigger("job_on_the_worker", prompt="a teapot")
    eventually(lambda: gateway.state.polls > 0, "the job to be polled")
    gateway.state.settings.change({"job_seconds": 1, "pending_share": 0.25})
    airflow.kill_worker(run, TASK, signal.SIGTERM)

    assert airflow.wait_for(run) == "success"

    assert gateway.state.jobs.statuses() == {"CANCELED": 1, "SUCCEEDED": 1}
    assert (gateway.state.posts, gateway.state.billed) == (2, 1)


def test_a_worker_killed_between_the_request_and_its_answer_ends_the_task_with_the_reason(airflow, gateway):
    gateway.state.settings.latency = 10
    run = airflow.trigger("image", prompt="a teapot")
    eventually(lambda: gateway.state.posts == 1, "the request to arrive")
    airflow.kill_worker(run, TASK)

    assert airflow.wait_for(run) == "failed"

    eventually(lambda: gateway.state.billed == 1, "the gateway to bill what nobody waits for any more")
    assert gateway.state.posts == 1
    assert airflow.task(run, TASK)["try_number"] == 2
    said = airflow.log(run, TASK, try_number=2)
    assert "An earlier try sent this request at" in said
    assert "Images may have been billed" in said


@pytest.mark.parametrize("dag_id", ["image_lingering", "job_lingering"])
def test_a_worker_killed_after_the_answer_replays_the_same_images(airflow, gateway, scratch, dag_id):
    gateway.state.settings.job_seconds = 1
    run = airflow.trigger(dag_id, prompt="a teapot")
    eventually((scratch / dag_id).exists, "the images to arrive")
    paid_for = airflow.task_state(run, TASK, KEY)["generation"]["images"]
    airflow.kill_worker(run, TASK)

    assert airflow.wait_for(run) == "success"

    assert gateway.state.posts == gateway.state.billed == 1
    assert airflow.task(run, TASK)["try_number"] == 2
    assert airflow.xcom(run, TASK) == [image["url"] for image in paid_for]
    assert [image["request_id"] for image in airflow.xcom(run, TASK, "images")] == [paid_for[0]["request_id"]]


def test_a_worker_killed_while_it_stores_its_images_stores_the_same_ones(airflow, gateway, rclone_s3):
    gateway.state.settings.slow_seconds = 60
    run = airflow.trigger("image_stored", prompt="a teapot [fault:file_slow]")
    eventually(lambda: gateway.state.total("files") > 0, "the download to begin")
    (paid_for,) = airflow.task_state(run, TASK, KEY)["generation"]["images"]
    airflow.kill_worker(run, TASK)
    gateway.state.settings.slow_seconds = 0

    assert airflow.wait_for(run) == "success"

    assert gateway.state.posts == gateway.state.billed == 1
    (uri,) = airflow.xcom(run, TASK)
    stored = rclone_s3.client().get_object(Bucket="images", Key=uri.removeprefix("s3://images/"))
    assert stored["Body"].read() == gateway.content(paid_for["url"])
