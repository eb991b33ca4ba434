"""The trigger: it polls what the worker submitted, as often as it is started, and buys nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_qwenimage.exceptions import JobFailed, OutcomeUnknown, restore
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.models.requests import GenerateRequest
from airflow_provider_qwenimage.models.results import Generation
from airflow_provider_qwenimage.triggers.qwenimage import QwenImageJobTrigger
from airflow_provider_qwenimage.triggers.shared import shared_hook


@pytest.fixture
def gateway(simulator):
    settings = simulator.state.settings
    before = (settings.job_seconds, settings.pending_share)
    simulator.state.reset()
    settings.job_seconds = 0.2
    yield simulator
    settings.job_seconds, settings.pending_share = before


@pytest.fixture
def conn_id(qwenimage_connection):
    return qwenimage_connection("dashscope")


async def submitted(conn_id, n=1):
    async with QwenImageHook(conn_id) as hook:
        return await hook.asubmit(GenerateRequest(prompt="a teapot", model="wan2.5-t2i-preview", n=n))


@pytest.fixture
async def job(gateway, conn_id):
    return await submitted(conn_id, n=2)


def trigger_of(job, conn_id, **arguments):
    given = {"qwenimage_conn_id": conn_id, "poll_interval": 0.05, "job_timeout": 60, **arguments}
    return QwenImageJobTrigger(job.model_dump(mode="json"), **given)


async def first_event(trigger):
    async with contextlib.aclosing(trigger.run()) as events:
        async for event in events:
            return event.payload
    raise AssertionError("the trigger ended without an event")


async def test_its_event_holds_the_images_as_plain_json(gateway, conn_id, job):
    event = await first_event(trigger_of(job, conn_id))

    generation = Generation.model_validate(json.loads(json.dumps(event))["generation"])
    assert len(generation.images) == 2
    assert generation.job_id == job.id
    assert gateway.state.posts == 1


async def test_another_triggerer_goes_on_with_what_was_serialized(gateway, conn_id, job):
    path, arguments = trigger_of(job, conn_id).serialize()
    again = QwenImageJobTrigger(**json.loads(json.dumps(arguments)))

    assert path == "airflow_provider_qwenimage.triggers.qwenimage.QwenImageJobTrigger"
    assert again.serialize() == (path, arguments)
    assert len((await first_event(again))["generation"]["images"]) == 2


async def test_it_runs_any_number_of_times_for_the_same_images(gateway, conn_id, job):
    first, second = [await first_event(trigger_of(job, conn_id)) for _ in range(2)]

    urls = [
        [image["url"].partition("?")[0] for image in event["generation"]["images"]]
        for event in (first, second)
    ]
    assert urls[0] == urls[1]
    assert gateway.state.posts == 1


@pytest.mark.parametrize("fault", ["job_failed", "job_failed_top_level", "job_unknown"])
async def test_a_job_that_ends_badly_is_an_event_with_its_error(gateway, conn_id, fault):
    gateway.fault(fault)
    job = await submitted(conn_id)

    error = restore(json.loads(json.dumps(await first_event(trigger_of(job, conn_id))))["error"])

    assert isinstance(error, JobFailed)
    assert error.job_id == job.id
    assert error.may_be_billed == (fault == "job_unknown")


async def test_its_deadline_counts_from_the_submission(gateway, conn_id):
    gateway.state.settings.job_seconds = 600
    job = await submitted(conn_id)
    an_hour_ago = job.model_copy(update={"submitted_at": datetime.now(UTC) - timedelta(hours=1)})

    event = await first_event(trigger_of(an_hour_ago, conn_id, job_timeout=3600))

    error = restore(event["error"])
    assert isinstance(error, OutcomeUnknown)
    assert error.job_id == job.id
    assert gateway.state.polls == 1


async def test_a_person_who_ends_the_task_cancels_its_waiting_job(gateway, conn_id):
    gateway.state.settings.change({"job_seconds": 600, "pending_share": 1})
    job = await submitted(conn_id)

    await trigger_of(job, conn_id).on_kill()

    assert gateway.state.jobs.statuses() == {"CANCELED": 1}
    assert (gateway.state.cancels, gateway.state.billed) == (1, 0)


async def test_a_job_that_has_started_is_left_to_end_and_that_is_said(gateway, conn_id, capsys):
    gateway.state.settings.change({"job_seconds": 600, "pending_share": 0})
    job = await submitted(conn_id)

    await trigger_of(job, conn_id).on_kill()

    assert gateway.state.jobs.statuses() == {"RUNNING": 1}
    assert f"Job {job.id} could not be cancelled" in capsys.readouterr().out


async def test_a_triggerer_that_ends_cancels_no_job(gateway, conn_id):
    gateway.state.settings.change({"job_seconds": 600, "pending_share": 1})
    job = await submitted(conn_id)
    running = asyncio.create_task(first_event(trigger_of(job, conn_id)))
    while not gateway.state.polls:  # noqa: ASYNC110 - the simulator runs in another thread
        await asyncio.sleep(0)

    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running

    assert gateway.state.cancels == 0
    assert gateway.state.jobs.statuses() == {"PENDING": 1}


async def test_triggers_of_a_connection_share_one_client_and_the_last_closes_it(gateway, conn_id):
    async with shared_hook(conn_id) as first:
        async with shared_hook(conn_id) as second:
            assert first is second
        client = await first.aget_conn()
        assert not client.is_closed
    assert client.is_closed


async def test_connections_of_one_account_share_its_budget(gateway, qwenimage_connection, monkeypatch):
    monkeypatch.setenv("AIRFLOW__QWENIMAGE__POLLS_PER_SECOND", "10")
    gateway.state.settings.job_seconds = 0
    names = [qwenimage_connection("dashscope", conn_id=f"account_{number}") for number in range(3)]
    jobs = [await submitted(names[0]) for _ in range(24)]

    events = await asyncio.gather(*(first_event(trigger_of(job, names[n % 3])) for n, job in enumerate(jobs)))

    assert all("generation" in event for event in events)
    assert gateway.state.polls == 24
    assert gateway.state.max_polls_per_second <= 10


async def test_only_polls_wait_for_the_budget(gateway, conn_id, monkeypatch):
    monkeypatch.setenv("AIRFLOW__QWENIMAGE__POLLS_PER_SECOND", "0.001")  # one now, the next in half an hour
    gateway.state.settings.job_seconds = 0
    async with asyncio.timeout(60), QwenImageHook(conn_id) as hook:
        await hook.await_job(await submitted(conn_id))
        gateway.state.settings.change({"job_seconds": 600, "pending_share": 1})
        jobs = [await submitted(conn_id) for _ in range(2)]
        cancelled = [await hook.acancel(job) for job in jobs]

    assert cancelled == [True, True]
    assert (gateway.state.posts, gateway.state.polls) == (3, 1)


async def test_a_gateway_that_throttles_polls_is_asked_later_by_everybody(gateway, conn_id):
    gateway.state.settings.job_seconds = 0
    jobs = [await submitted(conn_id) for _ in range(5)]
    gateway.fault("429_retry_after", on="poll", seconds=1)

    events = await asyncio.gather(*(first_event(trigger_of(job, conn_id)) for job in jobs))

    assert all("generation" in event for event in events)
    assert (gateway.state.polls, gateway.state.posts) == (6, 5)
