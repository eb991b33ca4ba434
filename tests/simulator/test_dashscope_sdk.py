"""Alibaba's own Python SDK as a client of the simulator."""

from __future__ import annotations

from http import HTTPStatus

import dashscope
import pytest
from dashscope.aigc.image_generation import ImageGeneration
from dashscope.aigc.image_synthesis import AioImageSynthesis, ImageSynthesis
from dashscope.utils.oss_utils import OssUtils

from simulator.bodies import AUTH, flat, image_urls, native, png

MESSAGE = {"role": "user", "content": [{"text": "a red fox in snow"}]}
SMALL = {"n": 1, "size": "512*512"}


@pytest.fixture(autouse=True)
def sdk(sim, monkeypatch):
    sim.state.settings.job_seconds = 0
    monkeypatch.setattr(dashscope, "base_http_api_url", sim.base("dashscope") + "/api/v1")
    monkeypatch.setattr(dashscope, "api_key", sim.state.settings.key)


def images(reply):
    assert reply.status_code == HTTPStatus.OK, reply
    return image_urls(dict(reply.output))


def test_a_synchronous_generation(sim, call):
    reply = ImageGeneration.call(model="qwen-image-2.0", messages=[MESSAGE], **SMALL)
    (url,) = images(reply)
    assert call.image(url).size == (512, 512)
    assert sim.state.billed == 1


def test_a_refusal_keeps_its_code(sim):
    reply = ImageGeneration.call(model="qwen-image-2.0", messages=[MESSAGE], n=99)
    assert (reply.status_code, reply.code) == (400, "InvalidParameter")
    assert (
        ImageGeneration.call(model="qwen-image-2.0", messages=[MESSAGE], api_key="other").status_code == 401
    )
    assert sim.state.billed == 0


def test_an_asynchronous_generation_is_waited_for():
    task = ImageGeneration.async_call(model="wan2.6-t2i", messages=[MESSAGE], n=2, size="1280*1280")
    assert task.output.task_status == "PENDING"
    assert len(images(ImageGeneration.wait(task))) == 2
    assert len(images(ImageGeneration.fetch(task.output.task_id))) == 2


def test_a_legacy_job_is_submitted_and_waited_for_in_one_call(sim):
    reply = ImageSynthesis.call(model="wan2.5-t2i-preview", prompt="a red fox", n=2, size="1280*1280")
    assert [result.url.startswith("http") for result in reply.output.results] == [True, True]
    assert (reply.usage.image_count, sim.state.billed) == (2, 2)


@pytest.mark.parametrize("model", ["wan2.2-t2i-flash", "wan2.2-t2i-plus"])
def test_wan22_answers_a_synchronous_call(sim, call, model):
    reply = ImageSynthesis.sync_call(model=model, prompt="a red fox", n=2, size="1024*1024")
    assert [call.image(result.url).size for result in reply.output.results] == [(1024, 1024)] * 2
    assert sim.state.billed == 2


def test_other_models_do_not(sim):
    reply = ImageSynthesis.sync_call(model="wan2.5-t2i-preview", prompt="a red fox", **SMALL)
    assert (reply.status_code, "synchronous" in reply.message, sim.state.billed) == (403, True, 0)


async def test_the_asynchronous_client(sim):
    try:
        reply = await AioImageSynthesis.sync_call(model="wan2.2-t2i-flash", prompt="a red fox", n=1)
    finally:
        await dashscope.close_shared_aio_session()
    assert len(reply.output.results) == sim.state.billed == 1


def test_a_pending_job_is_cancelled(sim):
    sim.state.settings.job_seconds = 60
    task = ImageGeneration.async_call(
        model="wan2.6-t2i", messages=[MESSAGE], **(SMALL | {"size": "1280*1280"})
    )
    assert ImageGeneration.cancel(task).status_code == HTTPStatus.OK
    assert ImageGeneration.fetch(task).output.task_status == "CANCELED"
    assert sim.state.billed == 0


def test_jobs_are_listed():
    task = ImageGeneration.async_call(model="wan2.6-t2i", messages=[MESSAGE], n=1, size="1280*1280")
    listed = ImageGeneration.list(page_size=5)
    assert [job["task_id"] for job in listed.output["data"]] == [task.output.task_id]


def test_interleaved_frames_are_streamed(sim):
    frames = list(
        ImageGeneration.call(
            model="wan2.6-image", messages=[MESSAGE], stream=True, enable_interleave=True, max_images=2
        )
    )
    contents = [frame.output.choices[0].message.content[0]["type"] for frame in frames]
    assert contents == ["text", "image", "text", "image"]
    assert (frames[-1].usage.image_count, sim.state.billed) == (2, 2)


def test_the_header_alone_asks_for_a_stream(call):
    body = native("qwen-image-2.0", n=1, size="512*512")
    path = "/api/v1/services/aigc/multimodal-generation/generation"
    reply = call.post("dashscope", body, path=path, headers={"X-DashScope-SSE": "enable"})
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert "event:result" in reply.text


def test_a_local_file_is_uploaded_and_edited(sim, call, tmp_path):
    source = tmp_path / "red.png"
    source.write_bytes(png("red"))
    content = [{"image": f"file://{source}"}, {"text": "make it blue"}]
    reply = ImageGeneration.call(model="qwen-image-2.0", messages=[{"role": "user", "content": content}], n=1)
    (url,) = images(reply)
    assert call.image(url).size == (400, 400)
    link = sim.state.bodies[-1]["input"]["messages"][0]["content"][0]["image"]
    assert link.startswith("oss://dashscope-instant/")
    assert sim.state.uploads.find(link) == png("red")


def test_an_uploaded_file_is_not_found_without_the_header_or_the_policy(sim, call, tmp_path):
    source = tmp_path / "red.png"
    source.write_bytes(png("red"))
    link, certificate = OssUtils.upload("qwen-image-2.0", str(source), sim.state.settings.key)
    refused = call.post("dashscope", native("qwen-image-2.0", images=[link], n=1))
    assert (refused.status_code, sim.state.billed) == (400, 0)
    with pytest.raises(Exception, match="Policy"):  # it may not be overwritten
        OssUtils.upload("qwen-image-2.0", str(source), sim.state.settings.key, certificate)


def test_an_upload_policy_needs_the_key_and_a_model(sim, call):
    assert call.get("dashscope", "/api/v1/uploads?action=getPolicy").status_code == 400
    url = sim.base("dashscope") + "/api/v1/uploads?action=getPolicy&model=qwen-image-2.0"
    assert call.client.get(url).status_code == 401
    data = call.client.get(url, headers=AUTH).json()["data"]
    assert data["upload_host"].startswith(sim.url)


def test_a_poll_may_end_in_a_slash(call):
    task = ImageGeneration.async_call(model="wan2.6-t2i", messages=[MESSAGE], n=1, size="1280*1280")
    reply = call.get("dashscope", f"/api/v1/tasks/{task.output.task_id}/").json()
    assert reply["output"]["task_status"] == "SUCCEEDED"


def test_the_vendor_answers_in_openais_shapes_too(sim, call):
    body = flat("qwen-image-2.0", n=1, size="512x512")
    reply = call.post("dashscope", body, path="/compatible-mode/v1/images/generations")
    assert call.image(reply.json()["data"][0]["url"]).size == (512, 512)
    assert sim.state.total("billed", "dashscope") == 1
