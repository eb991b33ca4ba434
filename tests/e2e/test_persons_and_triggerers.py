"""What a person does to a task, and what happens to a triggerer: who is asked again, and what it costs."""

from __future__ import annotations

import json

import psutil
import pytest

from e2e.airflow_cluster import eventually

TASK = "generate"


def test_a_triggerer_killed_and_started_again_sends_nothing_and_loses_nothing(airflow, gateway):
    gateway.state.settings.job_seconds = 30
    run = airflow.trigger("jobs_deferred")
    eventually(
        lambda: all_are(airflow.tasks(run), "deferred"),
        "all jobs to be deferred",
        lambda: str(airflow.tasks(run)),
    )
    eventually(lambda: gateway.state.polls > 0, "the jobs to be polled")
    airflow.restart("triggerer")
    polled_by_the_first = gateway.state.polls

    assert airflow.wait_for(run) == "success"

    tasks = airflow.tasks(run)
    assert gateway.state.posts == gateway.state.billed == len(tasks) == 8
    assert gateway.state.polls > polled_by_the_first
    assert {task["try_number"] for task in tasks} == {1}
    got = {airflow.xcom(run, TASK, "job_id", map_index=task["map_index"]) for task in tasks}
    assert got == {job.id for job in gateway.state.jobs.list("dashscope")}


def test_a_clear_sends_exactly_one_new_request(airflow, gateway):
    run = airflow.trigger("image", prompt="a teapot")
    assert airflow.wait_for(run) == "success"
    first = airflow.xcom(run, TASK)

    airflow.clear(run, TASK)

    assert airflow.wait_for(run) == "success"
    assert gateway.state.posts == gateway.state.billed == 2
    assert airflow.xcom(run, TASK) != first


@pytest.mark.parametrize(
    ("dag_id", "state", "mark"),
    [
        ("job_on_the_worker", "running", "failed"),
        ("job_deferred", "deferred", "failed"),
        ("job_deferred", "deferred", "success"),
    ],
)
def test_a_task_that_a_person_ends_cancels_its_waiting_job(airflow, gateway, dag_id, state, mark):
    gateway.state.settings.change({"job_seconds": 600, "pending_share": 1})
    run = airflow.trigger(dag_id, prompt="a teapot")
    airflow.wait_for_task(run, TASK, state)
    eventually(lambda: gateway.state.polls > 0, "the job to be polled")
    worker = airflow.task(run, TASK)["pid"]

    airflow.mark(run, TASK, mark)

    eventually(lambda: gateway.state.cancels > 0, "the job to be cancelled")
    eventually(lambda: not psutil.pid_exists(worker), "the task's process to end")
    assert airflow.wait_for(run) == mark
    assert gateway.state.jobs.statuses() == {"CANCELED": 1}
    assert (gateway.state.posts, gateway.state.cancels, gateway.state.billed) == (1, 1, 0)


def test_a_task_cleared_while_its_job_waits_cancels_it_and_asks_once_more(airflow, gateway):
    gateway.state.settings.change({"job_seconds": 600, "pending_share": 1})
    run = airflow.trigger("job_deferred", prompt="a teapot")
    airflow.wait_for_task(run, TASK, "deferred")
    eventually(lambda: gateway.state.polls > 0, "the job to be polled")
    gateway.state.settings.change({"job_seconds": 1, "pending_share": 0.25})

    airflow.clear(run, TASK)

    assert airflow.wait_for(run) == "success"
    eventually(lambda: gateway.state.cancels > 0, "the first job to be cancelled")
    assert (gateway.state.posts, gateway.state.billed) == (2, 1)
    assert gateway.state.jobs.statuses() == {"CANCELED": 1, "SUCCEEDED": 1}


def all_are(tasks, state):
    return len(tasks) == 8 and all(task["state"] == state for task in tasks)


ONE_REQUEST = {
    **dict.fromkeys(
        ["drop_after", "reset_after", "hang", "500", "502", "503_empty", "504", "524"], ("failed", 1, 1)
    ),
    **dict.fromkeys(["moderation", "error_200_openai"], ("failed", 1, 1)),
}
FREE = {
    "429_retry_after*2": ("success", 1, 3),  # waited for within the task
    "503_overloaded*2": ("success", 1, 3),
    "500_internal_error*1": ("success", 2, 2),  # retried by Airflow
}


def test_what_each_fault_costs_with_three_retries(airflow, gateway):
    gateway.state.settings.hang_seconds = 8  # the connection is patient for 5
    run = airflow.trigger("faults")
    assert airflow.wait_for(run) == "failed"

    seen = {}
    for task in airflow.tasks(run):
        fault = airflow.call(
            "GET", f"/dags/faults/dagRuns/{run.run_id}/taskInstances/{TASK}/{task['map_index']}"
        )
        prompt = fault["rendered_fields"]["prompt"]
        posts = sum(prompt in json.dumps(body) for body in gateway.state.bodies)
        seen[prompt.partition("[fault:")[2].rstrip("]")] = (task["state"], task["try_number"], posts)

    assert seen == ONE_REQUEST | FREE
