"""Every way a gateway breaks, over real HTTP and through both drivers: how often was it asked, and what was said."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest

from airflow_provider_qwenimage.exceptions import (
    ContentRefused,
    JobFailed,
    OutcomeUnknown,
    PermanentRefusal,
    QwenImageError,
    TemporaryRefusal,
    UnexpectedReply,
)
from airflow_provider_qwenimage.gateway import calls
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.models.requests import GenerateRequest, SequenceRequest
from airflow_provider_qwenimage.simulator.faults import FAULTS as KNOWN
from airflow_provider_qwenimage.transport import arun, run

KEY = "sk-simulator-key"


class Expected(NamedTuple):
    """What a caller gets: an error with its facts, or images; ``paid`` is what the gateway counted as billed."""

    error: type[QwenImageError] | None
    status: int | None = None
    code: str | None = None
    billing: str = "no"
    paid: int = 0
    posts: int = 1


def unknown(status=None, code=None, *, paid=0):
    return Expected(OutcomeUnknown, status, code, "maybe", paid)


def unexpected(code=None, *, paid=2):
    return Expected(UnexpectedReply, 200, code, "maybe", paid)


def refused(status, code, error=PermanentRefusal):
    return Expected(error, status, code)


RECOVERED = Expected(None, paid=2, posts=2)  # throttled or overloaded once: asked again, paid for once

FAULTS: dict[str, Expected] = {
    "429": RECOVERED,
    "429_retry_after": RECOVERED,
    "429_retry_after_date": RECOVERED,
    "429_empty": RECOVERED,
    "503_overloaded": RECOVERED,
    "429_allocation_quota": refused(429, "Throttling.AllocationQuota"),
    "429_bill_overdue": refused(429, "PostpaidBillOverdue"),
    "arrearage": refused(400, "Arrearage"),
    "403_quota": refused(403, "insufficient_user_quota"),
    "401": refused(401, "InvalidApiKey"),
    "403": refused(403, "AccessDenied.Unpurchased"),
    "404": refused(404, "NotFound"),
    "405": refused(405, "MethodNotAllowed"),
    "413": refused(413, "payload_too_large"),
    "moderation": refused(400, "DataInspectionFailed", ContentRefused),
    "moderation_output": refused(400, "DataInspectionFailed", ContentRefused),
    "moderation_native": refused(400, "DataInspectionFailed", ContentRefused),
    "moderation_sentence": refused(400, "bad_response_status_code", ContentRefused),
    "400_internal": refused(400, "InternalError.Algo.InvalidParameter"),
    "500": unknown(500),
    "500_internal_error": refused(500, "InternalError", TemporaryRefusal),
    "500_invalid_request": refused(500, "invalid_request"),
    "502": unknown(502, paid=2),
    "503_empty": unknown(503),
    "503_model_not_found": refused(503, "model_not_found"),
    "504": unknown(504, paid=2),
    "524": unknown(524, paid=2),
    "drop_before": unknown(),
    "reset_before": unknown(),
    "drop_after": unknown(paid=2),
    "reset_after": unknown(paid=2),
    "hang": unknown(paid=2),
    "truncated_json": unexpected(),
    "truncated_body": unknown(paid=2),
    "html_200": unexpected(paid=0),
    "empty_200": unexpected(),
    "error_200_openai": refused(200, "InternalError.Timeout"),
    "error_200_native": refused(200, "DataInspectionFailed", ContentRefused),
    "zero_images": unexpected(),
    "null_data": unexpected(),
    "server_path": unexpected("server_path"),
}
# What brings images all the same: how many, and how many items failed.
DELIVERED = {
    "lost_images": (1, 1),
    "lost_images_metadata": (2, 0),
    "fewer_images": (1, 1),
    "no_text": (2, 0),
    "partial_failure": (1, 1),
    "relative_url": (2, 0),
    "expired_url": (2, 0),
}
AT = {
    "lost_images_metadata": "applerouter",
    "server_path": "openai-compatible",
    "relative_url": "openai-compatible",
}
TWO = GenerateRequest(model="qwen-image-2.0", prompt="a teapot", size="1024*1024", n=2)
SERIES = SequenceRequest(model="wan2.6-image", prompt="tea in two steps", n=2, parameters={"stream": True})


class Sent(NamedTuple):
    """What came of one request."""

    generation: Any
    error: QwenImageError | None
    pauses: list[float]


@pytest.fixture(params=["sync", "async"])
def send(request, simulator, qwenimage_connection):
    """Send one request through a driver; its pauses are noted and not slept."""
    simulator.state.reset()

    def through(gateway, asked=TWO, **extra):
        hook = QwenImageHook(qwenimage_connection(gateway, **extra))
        drive = _run if request.param == "sync" else _arun
        pauses: list[float] = []
        try:
            return Sent(drive(hook, asked, pauses), None, pauses)
        except QwenImageError as error:
            return Sent(None, error, pauses)

    return through


def _run(hook, asked, pauses):
    with hook:
        return run(hook.get_conn(), calls._submission(hook.settings, hook.plan(asked)), sleep=pauses.append)


def _arun(hook, asked, pauses):
    async def sleep(seconds):
        pauses.append(seconds)

    async def main():
        async with hook:
            flow = calls._submission(await hook.asettings(), hook.plan(asked))
            return await arun(await hook.aget_conn(), flow, sleep=sleep)

    return asyncio.run(main())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_one_request_and_is_named(send, simulator, fault):
    expected = FAULTS[fault]
    simulator.fault(fault, seconds=5 if fault != "hang" else 60)

    sent = send(AT.get(fault, "tokenhot"), timeout=1 if fault == "hang" else 60)

    assert simulator.state.faults.served() == {fault: 1}
    assert simulator.state.posts == expected.posts
    assert simulator.state.billed == expected.paid
    if expected.error is None:
        assert len(sent.generation.images) == 2
        assert len(sent.pauses) == expected.posts - 1
        return
    error = sent.error
    assert (type(error), error.status, error.code) == (expected.error, expected.status, expected.code)
    assert error.billing == expected.billing
    assert sent.pauses == []


@pytest.mark.parametrize("fault", DELIVERED)
def test_what_was_delivered_is_kept_and_what_is_missing_is_named(send, simulator, fault):
    images, failures = DELIVERED[fault]
    simulator.fault(fault)

    extra = {"request_format": "flat"} if AT.get(fault) == "openai-compatible" else {}
    sent = send(AT.get(fault, "tokenhot"), **extra)

    assert simulator.state.posts == 1
    assert len(sent.generation.images) == images
    assert len(sent.generation.failures) == failures


@pytest.mark.parametrize("fault", ["429", "moderation", "500_internal_error", "zero_images"])
def test_the_request_id_is_kept(send, simulator, fault):
    simulator.fault(fault, times=9)

    assert send("tokenhub").error.request_id


def test_the_pause_is_the_one_that_was_asked_for(send, simulator):
    simulator.fault("429_retry_after", seconds=7)
    simulator.fault("429_retry_after", seconds=86400)

    first, second = send("tokenhot").pauses
    assert 7 <= first <= 8
    assert second == 60


def test_a_gateway_that_stays_throttled_is_asked_a_few_times(send, simulator):
    simulator.fault("429", times=99)

    sent = send("tokenhot")

    assert type(sent.error) is TemporaryRefusal
    assert simulator.state.posts == 4
    assert simulator.state.billed == 0


@pytest.mark.parametrize("fault", [*FAULTS])
def test_no_message_holds_the_key_or_a_signed_query(send, simulator, fault):
    simulator.fault(fault, times=9)

    error = send(AT.get(fault, "tokenhot"), timeout=1 if fault == "hang" else 60).error

    said = f"{error} {error!r} {error.facts()}"
    assert KEY not in said
    assert "Signature" not in said
    assert "Expires=" not in said


@pytest.mark.parametrize(("fault", "kind"), [("sse_error", ContentRefused), ("sse_cut", OutcomeUnknown)])
def test_a_stream_that_breaks_off_is_not_sent_again(send, simulator, fault, kind):
    simulator.fault(fault)

    error = send("dashscope", SERIES).error

    assert (type(error), error.billing) == (kind, "maybe")
    assert (simulator.state.posts, simulator.state.billed) == (1, 2)


def test_a_connection_that_is_reset_when_it_is_made_is_not_tried_again(send, simulator):
    simulator.fault("drop_on_accept")

    # Whether the request had left by then cannot be known on this side.
    assert type(send("tokenhot").error) is OutcomeUnknown
    assert simulator.state.total("dropped_on_accept") == 1
    assert simulator.state.posts == 0


JOBS: dict[str, tuple[type[QwenImageError], str | None, str]] = {
    "job_failed": (JobFailed, "InternalError.Algo", "no"),
    "job_failed_top_level": (JobFailed, "InternalError.Algo", "no"),
    "job_unknown": (JobFailed, None, "maybe"),
    "job_stuck": (OutcomeUnknown, None, "maybe"),
    "job_missing_status": (UnexpectedReply, None, "maybe"),
}


@pytest.fixture
def quick_jobs(simulator):
    before = simulator.state.settings.job_seconds
    simulator.state.reset()
    simulator.state.settings.change({"job_seconds": 0.05})
    yield
    simulator.state.settings.change({"job_seconds": before})


async def _agenerate(hook, **asked):
    async with hook:
        return await hook.await_job(await hook.asubmit(GenerateRequest(**asked)), interval=0.02, timeout=0.7)


def _generate(hook, **asked):
    with hook:
        return hook.wait(hook.submit(GenerateRequest(**asked)), interval=0.02, timeout=0.7)


@pytest.mark.usefixtures("quick_jobs")
@pytest.mark.parametrize("driver", ["sync", "async"])
@pytest.mark.parametrize("fault", JOBS)
def test_a_job_that_ends_badly_names_itself_and_was_submitted_once(
    simulator, qwenimage_connection, fault, driver
):
    kind, code, billing = JOBS[fault]
    simulator.fault(fault)
    hook = QwenImageHook(qwenimage_connection("dashscope"))
    asked = {"model": "wan2.5-t2i-preview", "prompt": "a teapot", "size": "1280*1280"}

    with pytest.raises(QwenImageError) as raised:
        _generate(hook, **asked) if driver == "sync" else asyncio.run(_agenerate(hook, **asked))

    error = raised.value
    assert (type(error), error.code, error.billing) == (kind, code, billing)
    assert error.job_id
    assert simulator.state.posts == 1


@pytest.mark.usefixtures("quick_jobs")
@pytest.mark.parametrize(
    "fault", ["500", "502", "429", "html_200", "truncated_json", "reset_after", "drop_after"]
)
def test_a_broken_poll_costs_nothing(simulator, qwenimage_connection, fault):
    simulator.fault(fault, on="poll", times=2)
    hook = QwenImageHook(qwenimage_connection("dashscope"))

    generation = _generate(hook, model="wan2.5-t2i-preview", prompt="a teapot", size="1280*1280")

    assert len(generation.images) == 1
    assert simulator.state.posts == 1
    assert simulator.state.faults.served() == {fault: 2}


def test_every_fault_of_the_simulator_is_met_by_a_test():
    tested = {*FAULTS, *DELIVERED, *JOBS, "sse_error", "sse_cut", "drop_on_accept"}

    assert {name for name, row in KNOWN.items() if row.on != "file"} == tested
