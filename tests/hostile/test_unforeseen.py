"""Whatever nobody foresaw between a request and its record is an unknown outcome, whoever asked."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from airflow.sdk.exceptions import AirflowException

from airflow_provider_qwenimage.exceptions import OutcomeUnknown, restore
from airflow_provider_qwenimage.gateway import calls
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.models.requests import GenerateRequest
from airflow_provider_qwenimage.triggers.qwenimage import QwenImageJobTrigger


def broken(*_, **__):
    """Stand for a defect: a flow that raises what no rule knows, after its call was answered."""
    yield calls.encode_native.Call("GET", "/v1/models")
    raise ZeroDivisionError("sk-secret-key-123456 cannot be divided")


@pytest.mark.parametrize("way", ["submit", "asubmit"])
def test_a_defect_after_the_answer_is_an_unknown_outcome_of_the_hook(
    simulator, qwenimage_connection, monkeypatch, way
):
    monkeypatch.setattr(calls.flows, "generate", broken)
    hook = QwenImageHook(qwenimage_connection("tokenhot"))
    request = GenerateRequest(prompt="a fox", model="qwen-image-plus")

    async def asked():
        async with hook:
            await hook.asubmit(request)

    with pytest.raises(OutcomeUnknown, match="ZeroDivisionError") as unknown, hook:
        hook.submit(request) if way == "submit" else asyncio.run(asked())
    assert unknown.value.billing == "maybe"
    assert "sk-secret" not in str(unknown.value)


async def test_a_trigger_that_breaks_tells_its_task_instead_of_failing(
    simulator, qwenimage_connection, monkeypatch
):
    async with QwenImageHook(qwenimage_connection("dashscope")) as hook:
        job = await hook.asubmit(GenerateRequest(prompt="a fox", model="wan2.5-t2i-preview"))

    async def away(_):
        raise AirflowException("the API server is away")

    monkeypatch.setattr(QwenImageHook, "asettings", away)
    trigger = QwenImageJobTrigger(
        job.model_dump(mode="json"), qwenimage_conn_id="qwenimage_default", poll_interval=0.05, job_timeout=60
    )
    async with contextlib.aclosing(trigger.run()) as events:
        event = (await anext(events)).payload
    error = restore({**event["error"], "job": None})
    assert isinstance(error, OutcomeUnknown)
    assert error.job_id == job.id
