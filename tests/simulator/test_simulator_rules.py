from __future__ import annotations

import pytest

from airflow_provider_qwenimage.simulator.vendor import MODELS
from simulator.bodies import data_url, flat, native

IMAGE = data_url((9, 9, 9), (512, 512))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (native("qwen-image-plus", n=2), "num_images_per_prompt must be 1"),
        (native("qwen-image-2.0", n=7), "[1, 6]"),
        (native("qwen-image-2.0", n=0), "[1, 6]"),
        (native("qwen-image-2.0", n="2"), "[1, 6]"),
        (native("qwen-image-2.0", n=True), "[1, 6]"),
        (native("wan2.7-image", n=5), "[1, 4]"),
        (native("wan2.7-image", n=13, enable_sequential=True), "[1, 12]"),
        (native("qwen-image", size="1024*1024", n=1), "1664*928,1472*1104,1328*1328"),
        (native("qwen-image-2.0", size="1024x1024", n=1), "expected width*height"),
        (native("qwen-image-2.0", size="500*500", n=1), "Image area must be between 262144 and 4194304"),
        (native("qwen-image-3.0", size="4608*512", n=1), "aspect ratio"),
        (native("wan2.6-t2i", size="2560*640", n=1, seed=1), None),
        (native("wan2.2-t2i-flash", size="1441*1024", n=1), "between 512 and 1440"),
        (native("wan2.7-image", size="4K", n=1), "Maximum supported size is 2K"),
        (native("wan2.7-image-pro", size="4K", n=1, images=[IMAGE]), "Maximum supported size is 2K"),
        (native("wan2.7-image-pro", size="4K", n=1), "Maximum supported size is 2K"),
        (native("wan2.7-image", size="4096*4096", n=1), None),
        (native("wan2.7-image", size="4096*4097", n=1), "must be between 589824 and 16777216"),
        (native("wan2.6-t2i", size="1024*1024", n=1), None),
        (
            native("wan2.6-t2i", size="767*768", n=1),
            "Total pixels (589056) must be between 589824 and 2073600",
        ),
        (native("qwen-image-3.0", size="2560*2560", n=1), None),
        (native("qwen-image-3.0", size="2560*2561", n=1), "between 262144 and 6553600"),
        (native("qwen-image-max", size="2000*2000", n=1), "out of range [512*512, 1664*1664]"),
        (native("qwen-image", size="1472*1140", n=1), "does not match the allowed size"),
        (native("qwen-image-edit-plus", size="400*4096", n=1, images=[IMAGE]), "between 512 and 2048"),
        (native("qwen-image-edit", n=1), "number of images"),
        (native("qwen-image-edit", n=1, images=[IMAGE] * 4), "number of images"),
        (native("qwen-image-plus", n=1, images=[IMAGE]), "number of images"),
        (native("wan2.6-image", n=1), "between 1 and 4"),
        (native("wan2.6-image", n=2, enable_interleave=True), "use max_images"),
        (native("wan2.6-image", max_images=6, enable_interleave=True), "[1, 5]"),
        (native("qwen-image-2.0", n=1, enable_sequential=True), "enable_sequential"),
        (native("wan2.6-t2i", n=1, enable_interleave=True), "enable_interleave"),
        (native("qwen-image-2.0", n=1, enable_thinking=True), "enable_thinking"),
        (native("qwen-image-3.0", n=1, enable_thinking=True), None),
        (native("qwen-image-3.0", n=1, enable_thinking=True, images=[IMAGE]), None),
        (native("qwen-image-3.0", n=1, enable_thinking=True, prompt_extend=False), "requires prompt_extend"),
        (native("qwen-image-3.0", n=1, prompt_extend_mode="agent"), None),
        (
            native("qwen-image-3.0", n=1, prompt_extend_mode="agent", images=[IMAGE]),
            "only supported for text",
        ),
        (native("qwen-image-2.0", n=1, seed=2147483648), "seed"),
        (native("qwen-image-2.0", n=1, seed=2147483647), None),
        (native("wan2.7-image", n=1, images=[IMAGE], bbox_list=[[], []]), "bbox_list"),
        (native("wan2.7-image", n=1, images=[IMAGE], bbox_list=[[[1, 2, 3]]]), "bbox_list"),
        (native("wan2.7-image", n=1, images=[IMAGE], bbox_list=[[[0, 0, 9, 9]] * 3]), "bbox_list"),
        (native("wan2.7-image", n=1, color_palette=[{"hex": "#fff", "ratio": "100.00%"}]), "color_palette"),
        (native("qwen-image-2.0", "", n=1), "exactly one text"),
    ],
)
def test_the_vendor_refuses_in_its_words_and_bills_nothing(sim, call, body, words):
    reply = call.post("applerouter", body)
    if words is None:
        assert reply.status_code == 200, reply.text
        return
    assert reply.status_code == 400
    assert words in reply.json()["error"]["message"]
    assert (sim.state.posts, sim.state.billed) == (1, 0)


def test_two_texts_or_two_messages_are_refused(call):
    two_texts = native("qwen-image-2.0", n=1)
    two_texts["input"]["messages"][0]["content"].append({"text": "more"})
    assert "exactly one text" in call.post("dashscope", two_texts).json()["message"]
    two_messages = native("qwen-image-2.0", n=1)
    two_messages["input"]["messages"] *= 2
    assert "exactly one message" in call.post("dashscope", two_messages).json()["message"]


@pytest.mark.parametrize(
    "body", [None, [], "text", {}, {"model": "qwen-image"}, {"model": 3, "input": {"messages": []}}]
)
@pytest.mark.parametrize("gateway", ["tokenhot", "onetoken", "dashscope", "openai-compatible"])
def test_a_body_that_is_no_request_is_refused(sim, call, gateway, body):
    assert call.post(gateway, body).status_code == 400
    assert sim.state.billed == 0


def test_the_engine_has_none_of_the_vendors_limits_but_its_own_size_format(call):
    assert call.post("openai-compatible", flat("qwen-image", n=3, size="640x640")).status_code == 200
    reply = call.post("openai-compatible", flat(size="640*640"))
    assert (reply.status_code, reply.json()["detail"]) == (
        400,
        "Invalid size format: '640*640'. Expected WIDTHxHEIGHT",
    )


@pytest.mark.parametrize("model", [model for model in MODELS if MODELS[model].reply != "translation"])
def test_every_model_draws_with_nothing_but_what_it_must_have(sim, call, model):
    row = MODELS[model]
    body = native(model, images=[IMAGE] * row.images[0])
    reply = call.post("onetoken", body)
    assert reply.status_code == 200, reply.text
    assert sim.state.billed == row.n[2]
