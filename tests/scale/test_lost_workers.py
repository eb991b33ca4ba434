"""Machines with a Celery worker on them are lost or drained while tasks run there: nothing is bought twice."""

from __future__ import annotations

import json

import pytest

from e2e.airflow_cluster import eventually
from scale.conftest import FOR_EVER, SEVERAL, end_jobs


@pytest.fixture
def on_one_worker(airflow):
    """Every task runs on ``worker-1``; ``worker-2`` comes back with ``bring_back``."""
    airflow.kill("worker-2")


@pytest.mark.usefixtures("on_one_worker")
def test_a_lost_machine_costs_what_was_unanswered_and_nothing_else(airflow, gateway, kept):
    gateway.state.settings.change(
        {"hang_seconds": FOR_EVER, "slow_seconds": FOR_EVER, "job_seconds": FOR_EVER}
    )
    storing, waiting = airflow.trigger("slow_images"), airflow.trigger("jobs_on_workers")
    eventually(lambda: gateway.state.total("files") >= SEVERAL, "the downloads to begin")
    jobs = lambda: gateway.state.jobs.list("dashscope")  # noqa: E731
    eventually(lambda: len(jobs()) == SEVERAL and gateway.state.polls >= SEVERAL, "the jobs to be polled")
    asking, batch = airflow.trigger("unanswered"), airflow.trigger("batch")
    eventually(lambda: gateway.state.posts == 5 * SEVERAL, "all requests to arrive")
    assert {task["hostname"] for run in (storing, waiting, asking) for task in airflow.tasks(run)} == {
        "worker-1"
    }
    eventually(lambda: kept(batch) == SEVERAL, "what the batch has got to be stored")

    airflow.kill("worker-1")
    gateway.state.settings.slow_seconds = 0
    end_jobs(gateway)
    airflow.start("worker-2")

    states = [airflow.wait_for(run) for run in (storing, waiting, batch, asking)]
    assert states == ["success", "success", "success", "failed"]
    assert gateway.state.posts == gateway.state.billed == 5 * SEVERAL
    assert [kept(run) for run in (storing, waiting, batch, asking)] == [SEVERAL, SEVERAL, SEVERAL, 0]
    tasks = [task for run in (storing, waiting, asking) for task in airflow.tasks(run)]
    assert {(task["try_number"], task["hostname"]) for task in tasks} == {(2, "worker-2")}
    unknown = airflow.xcom(batch, "batch", "failures")
    assert [each["outcome"] for each in unknown] == ["unknown"] * SEVERAL
    for number in range(SEVERAL):
        said = airflow.log(asking, "ask", try_number=2, map_index=number)
        assert "An earlier try sent this request at" in said
        assert "Images may have been billed" in said


@pytest.mark.usefixtures("on_one_worker")
def test_a_message_that_celery_delivers_again_starts_nothing(airflow, fleet, gateway, kept):
    of_lost_workers, before = fleet.unacknowledged(), ignored(airflow)
    gateway.state.settings.job_seconds = FOR_EVER
    run = airflow.trigger("jobs_on_workers")
    eventually(lambda: gateway.state.polls >= SEVERAL, "the jobs to be polled")
    assert len(fleet.unacknowledged() - of_lost_workers) == SEVERAL

    fleet.let_visibility_end()
    airflow.start("worker-2")
    eventually(lambda: ignored(airflow) == before + SEVERAL, "the tasks to be found running")
    eventually(lambda: not fleet.unacknowledged() & of_lost_workers, "old messages to be delivered again")
    end_jobs(gateway)

    assert airflow.wait_for(run) == "success"
    assert gateway.state.posts == gateway.state.billed == kept(run) == SEVERAL
    assert {task["try_number"] for task in airflow.tasks(run)} == {1}


def test_a_worker_lost_in_the_middle_of_a_campaign_leaves_one_bill_and_one_set(
    airflow, gateway, kept, rclone_s3
):
    rows, jobs = 4 * SEVERAL, lambda: gateway.state.jobs.list("dashscope")
    gateway.state.settings.job_seconds = FOR_EVER
    run = airflow.trigger("campaign")
    eventually(lambda: gateway.state.polls >= len(jobs()) == rows, "all jobs to be polled")
    for job in jobs()[::2]:
        job.seconds = job.pending = 0
    eventually(lambda: kept(run) == rows // 2, "half of the images to be stored")

    lost = airflow.task(run, "spring.shards", map_index=0)["hostname"]
    airflow.kill(lost)
    end_jobs(gateway)

    assert airflow.wait_for(run) == "success"
    assert gateway.state.posts == gateway.state.billed == kept(run) == rows
    folder = rclone_s3.folder / "images" / run.run_id
    images = json.loads((folder / "manifest.json").read_text())["images"]
    assert [image["request"] for image in images] == list(range(rows))
    assert [image["labels"]["sku"] for image in images] == [f"A-{number}" for number in range(rows)]
    assert [image["uri"] for image in images] == airflow.xcom(run, "spring.close")
    again = [task for task in airflow.tasks(run) if task["try_number"] > 1]
    assert {task["task_id"] for task in again} == {"spring.shards"}
    assert 0 in {task["map_index"] for task in again}
    assert lost not in {task["hostname"] for task in again}


@pytest.mark.usefixtures("on_one_worker")
def test_a_drained_worker_ends_what_it_has_begun(airflow, gateway, kept):
    gateway.state.settings.latency = 10
    run = airflow.trigger("requests")
    eventually(lambda: gateway.state.posts == SEVERAL, "all requests to arrive")

    airflow.drain("worker-1")

    assert gateway.state.posts == gateway.state.billed == kept(run) == SEVERAL
    assert airflow.wait_for(run) == "success"
    assert {task["try_number"] for task in airflow.tasks(run)} == {1}


def ignored(airflow):
    """How many messages found their task running elsewhere."""
    return sum(
        airflow.component_log(name).count("Task already running elsewhere, ignoring redelivered message")
        for name in ("worker-1", "worker-2")
    )
