"""Many jobs at a gateway, and the triggers that wait for them, without an Airflow around them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.models.requests import GenerateRequest

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

CONNECTION = "crowd"


async def submitted(jobs: int) -> list[dict[str, Any]]:
    """Submit jobs, and return the arguments of a trigger for each."""
    places = asyncio.Semaphore(20)

    async def submit(hook: QwenImageHook, number: int) -> Any:
        async with places:
            return await hook.asubmit(GenerateRequest(prompt=f"teapot {number}", model="wan2.5-t2i-preview"))

    async with QwenImageHook(CONNECTION) as hook:
        found = await asyncio.gather(*(submit(hook, number) for number in range(jobs)))
    shared = {"qwenimage_conn_id": CONNECTION, "poll_interval": 5, "job_timeout": 600}
    return [{"job": job.model_dump(mode="json"), **shared} for job in found]


async def first_event(trigger: BaseTrigger) -> Any:
    """Return what a trigger says first."""
    async with contextlib.aclosing(trigger.run()) as events:
        async for event in events:
            return event.payload
    raise AssertionError("the trigger ended without an event")
