"""A translation is a job of its own shape: one image by link in, one JPEG of the same size out."""

from __future__ import annotations

import pytest

from simulator.bodies import AUTH

PATH = "/api/v1/services/aigc/image2image/image-synthesis"
ASYNC = {**AUTH, "X-DashScope-Async": "enable"}


def body(model="qwen-mt-image-2.0", **given):
    shared = {"image_url": "https://img.example/1.png", "source_lang": "zh", "target_lang": "en"}
    return {"model": model, "input": {**shared, **given}}


@pytest.fixture
def submit(sim, call):
    sim.state.settings.job_seconds = 0.0

    def post(content, headers=ASYNC):
        return call.client.post(sim.base("dashscope") + PATH, json=content, headers=headers)

    return post


def done(sim, call, reply):
    job = reply.json()["output"]["task_id"]
    return call.get("dashscope", f"/api/v1/tasks/{job}").json()


def test_a_translation_brings_one_jpeg_of_the_size_of_its_input(sim, call, submit):
    polled = done(sim, call, submit(body(ext={"domainHint": "a poster"})))
    assert polled["output"]["task_status"] == "SUCCEEDED"
    assert polled["usage"] == {"image_count": 1}
    assert "message" not in polled["output"]
    image = call.image(polled["output"]["image_url"])
    assert (image.format, image.size) == ("JPEG", (1024, 1024))
    assert sim.state.billed == 1


def test_an_image_without_text_succeeds_and_is_billed(sim, call, submit):
    sim.fault("no_text")
    polled = done(sim, call, submit(body()))
    assert polled["output"]["task_status"] == "SUCCEEDED"
    assert polled["output"]["message"] == "No text detected for translation"
    assert polled["output"]["image_url"]
    assert sim.state.billed == 1


@pytest.mark.parametrize(
    ("content", "headers", "words"),
    [
        (body(target_lang="zh"), ASYNC, "language pair zh to zh"),
        (body(target_lang="auto"), ASYNC, "language pair zh to auto"),
        (body("qwen-mt-image", source_lang="ja", target_lang="ko"), ASYNC, "language pair ja to ko"),
        (body(image_url="data:image/png;base64,AAAA"), ASYNC, "url error"),
        (body(image_url=""), ASYNC, "input.image_url"),
        (body(target_lang=None), ASYNC, "input.target_lang"),
        (body("wan2.5-i2i-preview"), ASYNC, "input.prompt"),
        (
            {"model": "qwen-mt-image", "input": {"prompt": "x", "images": ["https://h.example/1.png"]}},
            ASYNC,
            "image_url",
        ),
        (body(), AUTH, "synchronous calls"),
    ],
)
def test_what_the_vendor_refuses_costs_nothing(sim, submit, content, headers, words):
    reply = submit(content, headers)
    assert reply.status_code in (400, 403)
    assert words in reply.json()["message"]
    assert (sim.state.billed, sim.state.jobs.statuses()) == (0, {})


def test_the_newer_model_translates_between_any_two_languages(submit):
    assert submit(body(source_lang="ja", target_lang="ko")).status_code == 200
