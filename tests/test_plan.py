"""How a request goes: as a job where the gateway has jobs, at once elsewhere."""

from __future__ import annotations

import pytest

from airflow_provider_qwenimage.gateway import calls, connection
from airflow_provider_qwenimage.models.requests import EditRequest, GenerateRequest


def settings(gateway):
    return connection.read(
        host="llm-4f2k" if gateway.startswith("dashscope") else None,
        port=None,
        schema=None,
        password="sk-simulator-key",
        extra={"gateway": gateway},
    )


@pytest.mark.parametrize(
    "request_",
    [
        GenerateRequest(prompt="a boat", model="qwen-image-3.0", size="2K"),
        GenerateRequest(prompt="a boat", model="qwen-image-3.0-pro"),
        EditRequest(prompt="a boat", model="qwen-image-3.0-pro", images=["https://img.example/1.png"]),
        GenerateRequest(prompt="a boat", model="wan2.2-t2i-flash", size="1024*1024"),
    ],
    ids=lambda request: request.model,
)
def test_what_can_be_a_job_is_one_because_a_job_cannot_be_lost(request_):
    assert calls.plan(settings("dashscope-eu"), request_).is_job
    assert not calls.plan(settings("dashscope-compatible"), request_).is_job
    assert not calls.plan(settings("tokenhot"), request_).is_job
