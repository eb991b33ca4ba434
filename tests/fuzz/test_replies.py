"""
Whatever a gateway answers, reading it ends in images or in an error of ours, and soon.

``make test`` draws the same 100 replies for each test every time, ``QWENIMAGE_FUZZ=long pytest tests/fuzz`` other
1,000 ones (``conftest.py``). They are built from the known shapes and then damaged (``reply_structures.py``).
"""

from __future__ import annotations

import base64
import json
import re
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_qwenimage import catalog
from airflow_provider_qwenimage.exceptions import GatewayRefusal, JobFailed, QwenImageError, restore
from airflow_provider_qwenimage.images.formats import content_type
from airflow_provider_qwenimage.models.requests import Asked, EditRequest, GenerateRequest, SequenceRequest
from airflow_provider_qwenimage.models.results import Generation, Job
from airflow_provider_qwenimage.wire import flows, jobs
from airflow_provider_qwenimage.wire.protocol import Call, Pause, Reply
from fuzz.reply_structures import (
    PNG,
    SECRET,
    SHAPES,
    SIGNED,
    archive,
    bodies,
    good_links,
    headers,
    spelled,
    statuses,
    stream,
)
from wire.reading import BASE, NOW, Clock, conduct

REQUESTS = (
    GenerateRequest(model="qwen-image-plus", prompt="a fox", size="1328*1328", seed=0, n=1),
    EditRequest(model="wan2.7-image", prompt="a fox", images="https://cdn.example/a.png", n=2),
    SequenceRequest(model="wan2.6-image", prompt="a fox", n=3),
)
CALL = Call("POST", "/v1/images/generations", json={}, billable=True)
JOB = Job(
    id="t-1",
    gateway="dashscope",
    asked=Asked(operation="generate", model="wan2.5-t2i-preview", prompt="a fox"),
    submitted_at=datetime.fromtimestamp(NOW, UTC),
)
MOST_SECONDS = 1.0  # of CPU
BASE64 = re.compile(r"[A-Za-z0-9+/]{100}")

replies = st.builds(Reply, statuses, headers, bodies())
gateways = st.sampled_from([catalog.gateway(name) for name in ("tokenhot", "dashscope", "openai-compatible")])


def driven(flow, reply, clock):
    """Answer every call of a flow with one reply; anything but an error of ours fails the test."""
    begun = time.thread_time()
    try:
        step = next(flow)
        while True:
            if isinstance(step, Pause):
                assert 0 <= step.seconds < 3600
                clock.now += step.seconds
            step = flow.send(None if isinstance(step, Pause) else reply)
    except StopIteration as stop:
        outcome = stop.value
    except QwenImageError as error:
        outcome = error
    assert time.thread_time() - begun < MOST_SECONDS
    return outcome


def check_generation(generation):
    """No image is no success: each has a URL with a host and no blank, or bytes that are an image."""
    assert generation.images
    for image in generation.images:
        if image.data is not None:
            assert content_type(image.data[:1024])
            continue
        parts = urlsplit(image.url)
        assert parts.scheme in ("http", "https")
        assert re.search(r"\w", parts.hostname)
        assert not re.search(r"[\s\x00-\x1f\ufffd]", image.url)
    told = json.dumps(generation.xcom(), ensure_ascii=False, allow_nan=False)
    told.encode()
    assert "\x00" not in told
    check_shown(" ".join(failure.reason for failure in generation.failures))


def check_error(error, status):
    facts = json.dumps(error.facts(), ensure_ascii=False, allow_nan=False)
    again = restore(json.loads(facts))
    assert (type(again), str(again)) == (type(error), str(error))
    told = f"{error} {facts}"
    told.encode()
    assert len(str(error)) < 6000
    check_shown(told)
    if status < 300 and error.billing == "no":
        assert isinstance(error, (GatewayRefusal, JobFailed))


def check_shown(told):
    assert SECRET not in told
    assert SIGNED not in told
    assert not BASE64.search(told)


def check(outcome, status):
    if isinstance(outcome, Generation):
        check_generation(outcome)
    elif isinstance(outcome, QwenImageError):
        check_error(outcome, status)
    else:
        assert isinstance(outcome, (Job, bool))


@given(reply=replies, request=st.sampled_from(REQUESTS), gateway=gateways)
def test_a_reply_ends_in_images_or_in_an_error_of_ours(reply, request, gateway):
    clock = Clock()
    behaviour = conduct(clock=clock, attempts=2)
    flow = flows.generate(request, CALL, gateway=gateway, base_url=BASE, conduct=behaviour)
    check(driven(flow, reply, clock), reply.status)


@pytest.mark.parametrize("ask", ["submit", "wait", "cancel"])
@given(reply=replies)
def test_what_is_said_of_a_job_ends_in_a_job_in_images_or_in_an_error_of_ours(ask, reply):
    clock = Clock()
    common = {
        "gateway": catalog.gateway("dashscope"),
        "base_url": BASE,
        "conduct": conduct(clock=clock, attempts=1),
    }
    flow = {
        "submit": lambda: jobs.submit(REQUESTS[0], CALL, **common),
        "wait": lambda: jobs.wait(JOB, **common, interval=600.0, timeout=3600.0),
        "cancel": lambda: jobs.cancel(JOB),
    }[ask]()
    outcome = driven(flow, reply, clock)
    check(outcome, reply.status)
    if isinstance(outcome, Job):
        next(jobs.wait(outcome, **common, interval=1.0, timeout=1.0)).path.encode("ascii")


@pytest.mark.parametrize("shape", SHAPES)
@given(named=good_links)
def test_every_shape_gives_back_the_images_it_was_made_of(shape, named):
    reply = Reply(200, {}, SHAPES[shape](named))
    flow = flows.generate(
        REQUESTS[0], CALL, gateway=catalog.gateway("tokenhot"), base_url=BASE, conduct=conduct()
    )

    generation = driven(flow, reply, None)

    assert [image.url for image in generation.images] == named


@given(files=st.lists(st.binary(max_size=9).map(PNG.__add__), min_size=1, max_size=4, unique=True))
def test_images_in_the_reply_itself_come_back_byte_for_byte(files):
    events = [
        {"type": "image_generation.completed", "b64_json": base64.b64encode(data).decode()} for data in files
    ]
    items = [{"b64_json": event["b64_json"]} for event in events]
    for body in (archive(files), stream(events), spelled({"data": items})):
        flow = flows.generate(
            REQUESTS[0], CALL, gateway=catalog.gateway("tokenhot"), base_url=BASE, conduct=conduct()
        )
        generation = driven(flow, Reply(200, {}, body), None)

        assert [image.data for image in generation.images] == files
