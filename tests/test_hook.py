"""The hook on every gateway, both ways: the same models come out, and nothing is left open."""

from __future__ import annotations

import asyncio
import base64
import inspect
import io
import os
import ssl
import threading
import time

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, Connection
from PIL import Image

from airflow_provider_qwenimage.exceptions import InvalidRequest, OutcomeUnknown
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.models.requests import GenerateRequest
from airflow_provider_qwenimage.models.results import Generation, Job

GATEWAYS = ["tokenhot", "onetoken", "applerouter", "tokenhub", "dashscope", "dashscope-intl", "dashscope-us"]


def _drawn() -> str:
    file = io.BytesIO()
    Image.new("RGB", (512, 512), "teal").save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


PNG = _drawn()


@pytest.fixture
def gateway(simulator):
    simulator.state.reset()
    before = simulator.state.settings.job_seconds
    simulator.state.settings.change({"job_seconds": 0.05})
    yield simulator
    simulator.state.settings.change({"job_seconds": before})


@pytest.fixture(params=["sync", "async"])
def call(request):
    """Call a method of a hook by its synchronous name, or its twin on an event loop."""

    def sync(hook, name, *args, **fields):
        with hook:
            return getattr(hook, name)(*args, **fields)

    async def awaited(hook, name, *args, **fields):
        async with hook:
            return await getattr(hook, "await_job" if name == "wait" else f"a{name}")(*args, **fields)

    def through(hook, name, *args, **fields):
        if request.param == "sync":
            return sync(hook, name, *args, **fields)
        return asyncio.run(awaited(hook, name, *args, **fields))

    return through


@pytest.mark.parametrize("name", GATEWAYS)
def test_every_gateway_generates(call, gateway, qwenimage_connection, name):
    hook = QwenImageHook(qwenimage_connection(name))
    generation = call(hook, "generate", "a teapot", model="qwen-image-2.0", size="1328*1328", seed=0)

    (url,) = generation.urls
    assert url.startswith(gateway.url)
    assert gateway.content(url)[:4] == b"\x89PNG"
    assert (generation.gateway, generation.model, generation.failures) == (name, "qwen-image-2.0", ())
    assert generation.request_id
    assert (generation.images[0].seed, generation.images[0].prompt) == (0, "a teapot")
    assert gateway.state.billed == 1


def test_an_engine_answers_with_bytes(call, gateway, qwenimage_connection):
    hook = QwenImageHook(qwenimage_connection("openai-compatible"))
    generation = call(hook, "generate", "a teapot", model="Qwen/Qwen-Image", size="1024x768", n=2)

    assert generation.urls == []
    assert [image.data[:4] for image in generation.images] == [b"\x89PNG"] * 2


@pytest.mark.parametrize("name", ["tokenhot", "onetoken", "applerouter", "dashscope", "openai-compatible"])
def test_every_gateway_edits(call, gateway, qwenimage_connection, name):
    hook = QwenImageHook(qwenimage_connection(name))
    model = "Qwen/Qwen-Image-Edit" if name == "openai-compatible" else "qwen-image-edit-plus"

    assert len(call(hook, "edit", "make it blue", [PNG], model=model, n=2).images) == 2


def test_a_series_comes_in_order_and_with_its_captions(call, gateway, qwenimage_connection):
    hook = QwenImageHook(qwenimage_connection("tokenhub"))
    series = call(hook, "sequence", "a cat in four seasons", model="wan2.7-image-pro", size="2K")
    assert [image.index for image in series.images] == [0, 1, 2, 3]

    streamed = {"model": "wan2.6-image", "n": 2, "parameters": {"stream": True}}
    told = call(QwenImageHook(qwenimage_connection("dashscope")), "sequence", "tea in two steps", **streamed)
    assert len(told.images) == len(told.texts) == 2


def test_a_job_is_submitted_waited_for_and_cancelled(call, gateway, qwenimage_connection):
    conn_id = qwenimage_connection("dashscope")
    request = GenerateRequest(model="wan2.5-t2i-preview", prompt="a teapot", size="1280*1280")

    job = call(QwenImageHook(conn_id), "submit", request)
    assert isinstance(job, Job)
    done = call(
        QwenImageHook(conn_id), "wait", Job.model_validate(job.model_dump(mode="json")), interval=0.02
    )
    assert (isinstance(done, Generation), done.job_id, len(done.images)) == (True, job.id, 1)
    assert call(QwenImageHook(conn_id), "wait", done) is done
    assert call(QwenImageHook(conn_id), "cancel", job) is False

    gateway.state.settings.change({"job_seconds": 60})
    assert call(QwenImageHook(conn_id), "cancel", call(QwenImageHook(conn_id), "submit", request)) is True


def test_the_price_of_the_connection_is_the_estimate_of_the_result(call, gateway, qwenimage_connection):
    prices = {"qwen-image-2.0": 0.2, "currency": "CNY"}
    hook = QwenImageHook(qwenimage_connection("tokenhub", price_per_image=prices, model="qwen-image-2.0"))

    usage = call(hook, "generate", "a teapot", n=3).usage
    assert (usage.image_count, usage.cost, usage.currency) == (3, 0.6, "CNY")


def test_a_request_that_breaks_a_rule_is_refused_before_anything_is_sent(call, gateway, qwenimage_connection):
    hook = QwenImageHook(qwenimage_connection("tokenhot"))

    for fields, words in (
        ({"prompt": " ", "model": "qwen-image-plus"}, "prompt: must not be empty"),
        ({"prompt": "a", "model": "qwen-image-plus", "n": "two"}, "n: must be a whole number, got 'two'"),
        ({"prompt": "a", "model": "qwen-image-plus", "n": 0}, "n: must be at least 1"),
        ({"prompt": "a", "model": "qwen-image-plus", "size": "big"}, "size: must look like"),
        ({"prompt": "a"}, "model: is not set"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            call(hook, "generate", fields.pop("prompt"), **fields)
    assert gateway.state.posts == 0


def test_the_client_is_closed_after_the_block_also_when_it_fails(gateway, qwenimage_connection):
    hook = QwenImageHook(qwenimage_connection("tokenhot"))

    with pytest.raises(InvalidRequest), hook:
        client = hook.get_conn()
        assert hook.get_conn() is client
        raise InvalidRequest("n", "is odd")
    assert client.is_closed

    async def main():
        async with hook:
            return await hook.aget_conn()

    assert asyncio.run(main()).is_closed


def test_calls_that_start_together_share_one_client(gateway, qwenimage_connection):
    async def main():
        async with QwenImageHook(qwenimage_connection("tokenhot")) as hook:
            return await asyncio.gather(*(hook.aget_conn() for _ in range(8)))

    clients = asyncio.run(main())
    assert len({id(client) for client in clients}) == 1
    assert clients[0].is_closed


def test_an_asynchronous_caller_never_blocks_the_loop(gateway, qwenimage_connection, monkeypatch):
    conn_id = qwenimage_connection("dashscope", model="wan2.5-t2i-preview")
    on_loop: list[str] = []
    loop_thread = threading.get_ident()

    def watched(name, original):
        def call(*args, **fields):
            if threading.get_ident() == loop_thread:
                on_loop.append(name)
            return original(*args, **fields)

        return call

    monkeypatch.setattr(time, "sleep", watched("time.sleep", time.sleep))
    lookup = QwenImageHook.__dict__.get("get_connection") or inspect.getattr_static(
        QwenImageHook, "get_connection"
    )
    monkeypatch.setattr(
        QwenImageHook, "get_connection", classmethod(watched("get_connection", lookup.__func__))
    )
    monkeypatch.setattr(
        ssl.SSLContext, "load_verify_locations", watched("CA bundle", ssl.SSLContext.load_verify_locations)
    )

    async def main():
        async with QwenImageHook(conn_id) as hook:
            job = await hook.asubmit(GenerateRequest(prompt="a teapot", size="1280*1280"))
            return await hook.await_job(job, interval=0.01)

    # The guard in conftest fails the test when a blocking client sends on the loop's thread.
    assert len(asyncio.run(main()).images) == 1
    assert on_loop == []


def test_a_ca_bundle_that_is_not_there_names_its_field(call, gateway, qwenimage_connection, tmp_path):
    hook = QwenImageHook(qwenimage_connection("tokenhot", verify=str(tmp_path / "missing.pem")))

    with pytest.raises(InvalidRequest, match=r"verify: cannot read the CA bundle .*missing\.pem"):
        call(hook, "generate", "a teapot", model="qwen-image-plus")
    assert gateway.state.posts == 0


def test_the_hook_is_the_one_that_airflow_makes_for_its_connection(gateway, qwenimage_connection):
    qwenimage_connection("tokenhot")

    assert QwenImageHook().settings.gateway.name == "tokenhot"
    assert (
        QwenImageHook.conn_type
        == Connection.from_json(os.environ["AIRFLOW_CONN_QWENIMAGE_DEFAULT"]).conn_type
    )


def test_every_method_that_sends_has_its_twin():
    names = {name for name, _ in inspect.getmembers(QwenImageHook, inspect.iscoroutinefunction)}

    assert {
        "agenerate",
        "aedit",
        "asequence",
        "asubmit",
        "acancel",
        "await_job",
        "aget_conn",
        "aclose",
    } <= names


@pytest.mark.parametrize(
    ("name", "twin"),
    [*((name, f"a{name}") for name in ("generate", "edit", "sequence", "submit", "cancel", "get_conn", "close")),
     ("wait", "await_job")],
)  # fmt: skip
def test_a_method_and_its_twin_are_called_alike(name, twin):
    called = inspect.signature(getattr(QwenImageHook, name))
    awaited = inspect.signature(getattr(QwenImageHook, twin))

    assert list(awaited.parameters.values()) == list(called.parameters.values())
    assert awaited.return_annotation.removeprefix("Async") == called.return_annotation
    assert inspect.iscoroutinefunction(getattr(QwenImageHook, twin))


@pytest.mark.parametrize(
    "fields", [{"prompt": ""}, {"prompt": "a teapot", "model": "qwen-image-plus", "size": "3*3"}]
)
def test_what_would_be_refused_again_ends_a_task_that_calls_the_hook(
    gateway, qwenimage_connection, call, fields
):
    hook = QwenImageHook(qwenimage_connection("dashscope"))
    with pytest.raises(InvalidRequest) as refused:
        call(hook, "generate", **fields)
    assert isinstance(refused.value, AirflowFailException)
    assert gateway.state.posts == 0


def test_a_job_is_asked_for_only_where_it_was_submitted(gateway, qwenimage_connection, call):
    with QwenImageHook(qwenimage_connection("dashscope", conn_id="there")) as hook:
        job = hook.submit(GenerateRequest(prompt="a teapot", model="wan2.5-t2i-preview"))
    elsewhere = QwenImageHook(qwenimage_connection("dashscope-intl", conn_id="elsewhere"))
    with pytest.raises(
        OutcomeUnknown, match=r"was submitted to dashscope at .* leads to dashscope-intl"
    ) as refused:
        call(elsewhere, "wait", job)
    assert (refused.value.billing, refused.value.job_id) == ("maybe", job.id)
    assert call(QwenImageHook("there"), "wait", job).job_id == job.id
