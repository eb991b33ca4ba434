"""Triggerers, scheduler, Redis and PostgreSQL are lost or go away while tasks run: nothing is bought twice."""

from __future__ import annotations

import threading

from e2e.airflow_cluster import eventually
from scale.conftest import FOR_EVER, SEVERAL, end_jobs

AWAY = 20.0  # seconds Redis is away


def test_the_jobs_of_a_lost_triggerer_are_polled_by_the_other(airflow, gateway, kept):
    gateway.state.settings.job_seconds = FOR_EVER
    run = airflow.trigger("jobs_deferred")
    eventually(lambda: len(held(airflow, run)) == 3 * SEVERAL, "all jobs to be deferred")
    eventually(lambda: gateway.state.polls >= 3 * SEVERAL, "the jobs to be polled")
    first = max(held(airflow, run), key=held(airflow, run).count)

    airflow.kill(first)
    eventually(lambda: {*held(airflow, run)} == {other(first)}, "the other triggerer to take over")
    end_jobs(gateway)

    assert airflow.wait_for(run) == "success"
    assert gateway.state.posts == gateway.state.billed == kept(run) == 3 * SEVERAL
    assert {task["try_number"] for task in airflow.tasks(run)} == {1}


def test_tasks_do_not_notice_that_the_scheduler_is_lost(airflow, gateway, kept):
    gateway.state.settings.change({"job_seconds": FOR_EVER, "latency": 5})
    runs = [airflow.trigger(dag_id) for dag_id in ("requests", "jobs_on_workers", "jobs_deferred")]
    eventually(lambda: gateway.state.posts >= 2 * SEVERAL, "requests to be under way")

    airflow.kill("scheduler")
    airflow.start("scheduler")
    eventually(
        lambda: gateway.state.posts == 5 * SEVERAL, "the rest to be sent", lambda: states(airflow, runs)
    )
    end_jobs(gateway)

    assert [airflow.wait_for(run) for run in runs] == ["success"] * 3
    assert [kept(run) for run in runs] == [SEVERAL, SEVERAL, 3 * SEVERAL]
    assert gateway.state.posts == gateway.state.billed == 5 * SEVERAL
    assert {task["try_number"] for run in runs for task in airflow.tasks(run)} == {1}


def test_redis_away_costs_tries_at_most(airflow, fleet, gateway, kept):
    gateway.state.settings.change({"job_seconds": FOR_EVER, "latency": 5})
    runs = [airflow.trigger(dag_id) for dag_id in ("requests", "jobs_on_workers", "jobs_deferred")]
    eventually(lambda: gateway.state.posts >= 2 * SEVERAL, "requests to be under way")

    fleet.redis.stop()
    runs.append(airflow.trigger("requests_that_can_wait"))
    threading.Event().wait(AWAY)
    fleet.redis.start()
    eventually(
        lambda: gateway.state.posts == 6 * SEVERAL, "the rest to be sent", lambda: states(airflow, runs)
    )
    end_jobs(gateway)

    assert [airflow.wait_for(run) for run in runs] == ["success"] * 4
    assert [kept(run) for run in runs] == [SEVERAL, SEVERAL, 3 * SEVERAL, SEVERAL]
    assert gateway.state.posts == gateway.state.billed == 6 * SEVERAL


def test_postgresql_restarted_costs_nothing_that_was_begun(airflow, fleet, gateway, kept):
    gateway.state.settings.change({"job_seconds": FOR_EVER, "latency": 5})
    runs = [airflow.trigger(dag_id) for dag_id in ("requests", "jobs_on_workers", "jobs_deferred")]
    eventually(lambda: gateway.state.posts >= 2 * SEVERAL, "requests to be under way")

    fleet.postgres.stop()
    fleet.postgres.start()
    airflow.bring_back()  # as systemd and Kubernetes do with what ended
    eventually(
        lambda: gateway.state.posts == 5 * SEVERAL, "the rest to be sent", lambda: states(airflow, runs)
    )
    end_jobs(gateway)

    assert [airflow.wait_for(run) for run in runs] == ["success"] * 3
    assert [kept(run) for run in runs] == [SEVERAL, SEVERAL, 3 * SEVERAL]
    assert gateway.state.posts == gateway.state.billed == 5 * SEVERAL


def states(airflow, runs):
    """What each task is up to, for whoever reads why a test has failed."""
    return str(
        [(run.dag_id, task["state"], task["try_number"]) for run in runs for task in airflow.tasks(run)]
    )


def held(airflow, run):
    """The triggerers that hold the run's deferred tasks."""
    jobs = [task["triggerer_job"] for task in airflow.tasks(run) if task["state"] == "deferred"]
    return [job["hostname"] for job in jobs if job]


def other(triggerer):
    return {"triggerer-1": "triggerer-2", "triggerer-2": "triggerer-1"}[triggerer]
