"""OpenAI's own Python SDK as a client of the simulator."""

from __future__ import annotations

import base64
import io

import openai
import pytest
from PIL import Image

from simulator.bodies import png


@pytest.fixture
def client(sim):
    with openai.OpenAI(
        base_url=sim.base("openai-compatible") + "/v1", api_key=sim.state.settings.key, max_retries=0
    ) as made:
        yield made


def size_of(encoded):
    return Image.open(io.BytesIO(base64.b64decode(encoded))).size


def test_images_are_generated(client, sim):
    reply = client.images.generate(model="Qwen/Qwen-Image", prompt="a red fox", n=2, size="512x512")
    assert [size_of(image.b64_json) for image in reply.data] == [(512, 512)] * 2
    assert sim.state.billed == 2


def test_models_are_listed(client):
    assert [model.id for model in client.models.list()] == ["Qwen/Qwen-Image"]


@pytest.mark.parametrize("gateway", ["dashscope", "dashscope-compatible", "qwencloud"])
def test_the_compatible_mode_answers_with_links(sim, call, gateway):
    base = sim.base(gateway) + "/compatible-mode/v1"
    with openai.OpenAI(base_url=base, api_key=sim.state.settings.key, max_retries=0) as client:
        reply = client.images.generate(model="qwen-image-2.0", prompt="a red fox", n=1, size="512x512")
        assert "qwen-image-2.0" in {model.id for model in client.models.list()}
    assert call.image(reply.data[0].url).size == (512, 512)


def test_a_generation_is_streamed(client, sim):
    told = {"model": "Qwen/Qwen-Image", "prompt": "a red fox", "n": 2, "size": "512x512"}
    events = list(client.images.generate(**told, stream=True, partial_images=2))
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.partial_image",
        "image_generation.completed",
        "image_generation.completed",
    ]
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    assert {event.size for event in events} == {"512x512"}
    assert {size_of(event.b64_json) for event in events} == {(512, 512)}
    assert len({event.b64_json for event in events}) == 4
    assert sim.state.billed == 2


def test_too_many_previews_are_refused(client, sim):
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.generate(model="m", prompt="a red fox", stream=True, partial_images=9)
    assert "partial_images" in str(refused.value.body)
    assert sim.state.billed == 0


def test_a_stream_that_breaks_off_is_an_error(client, sim):
    sim.fault("sse_error")
    with pytest.raises(openai.APIError):
        list(
            client.images.generate(
                model="m", prompt="a red fox", size="512x512", stream=True, partial_images=3
            )
        )


def test_an_edit_with_a_mask_has_one_input_image(client, sim):
    reply = client.images.edit(
        model="Qwen/Qwen-Image-Edit",
        image=("red.png", png("red")),
        mask=("mask.png", png("white")),
        prompt="make it blue",
        n=1,
    )
    assert size_of(reply.data[0].b64_json) == (400, 400)
    seen = sim.state.bodies[-1]
    assert [len(seen["images"]), seen["mask"]] == [1, f"<{len(png('white'))} bytes>"]


def test_an_edit_of_two_images_is_streamed(client, sim):
    images = [("red.png", png("red")), ("blue.png", png("blue"))]
    events = list(client.images.edit(model="m", image=images, prompt="both", stream=True, partial_images=1))
    assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"]
    assert len(sim.state.bodies[-1]["images"]) == 2


def test_a_refusal_is_the_sdks_own_error(client, sim):
    with pytest.raises(openai.BadRequestError):
        client.images.generate(model="m", prompt="a red fox", size="512*512")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="other").images.generate(model="m", prompt="a red fox")
    assert sim.state.billed == 0
