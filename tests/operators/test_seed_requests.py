"""Every request the gateways print on their own pages, said with the operators: the body sent is theirs, field by field."""

from __future__ import annotations

import json

import pytest

from airflow_provider_qwenimage.operators.qwenimage import (
    QwenImageEditOperator,
    QwenImageGenerateOperator,
    QwenImageSequenceOperator,
)
from harness import InMemoryAirflow

FLOWERS = "A flower shop with elegant windows, a beautiful wooden door, and fresh flowers on display."
COUPLET = (
    "An elegant and solemn couplet hangs in the hall. The room is a quiet and classical Chinese-style arrangement. "
    "Some blue and white porcelain is placed on the table. The left book 'Yi Bensheng knows the same way and thinks "
    "new', the right book 'Tong Yun Fu Zhi Qian Kun Qi Num Gao Zhi Yuan', and the horizontal batch 'Zhi Qi Qi Qian "
    "Qian'."
)
CAT = (
    "A cinematic four-image sequence featuring the same stray orange cat with consistent appearance: Image 1 "
    "(spring): the cat walks under blooming cherry blossoms; Image 2 (summer): the cat rests in the shade on an old "
    "street; Image 3 (autumn): the cat steps on golden fallen leaves; Image 4 (winter): the cat leaves footprints in "
    "the snow."
)
CAR = "https://help-static-aliyun-doc.aliyuncs.com/file-manage-files/zh-CN/20251229/pjeqdf/car.webp"
PAINT = "https://help-static-aliyun-doc.aliyuncs.com/file-manage-files/zh-CN/20251229/xsunlm/paint.webp"
CLOCK = "https://img.alicdn.com/imgextra/i3/O1CN0157XGE51l6iL9441yX_!!6000000004770-49-tps-1104-1472.webp"
SCENE = "https://img.alicdn.com/imgextra/i3/O1CN01SfG4J41UYn9WNt4X1_!!6000000002530-49-tps-1696-960.webp"
UMBRELLA = "https://cdn.example.com/original_umbrella.png"


def native(model, content, parameters):
    return {
        "model": model,
        "input": {"messages": [{"role": "user", "content": content}]},
        "parameters": parameters,
    }


SEEDS = {
    "applerouter": (
        "applerouter",
        QwenImageGenerateOperator,
        {
            "prompt": "A traditional Chinese painting of mountains and rivers",
            "model": "qwen-image-plus",
            "size": "1328*1328",
            "parameters": {"prompt_extend": True, "watermark": False},
        },
        native(
            "qwen-image-plus",
            [{"text": "A traditional Chinese painting of mountains and rivers"}],
            {"prompt_extend": True, "watermark": False, "size": "1328*1328"},
        ),
    ),
    "onetoken": (
        "onetoken",
        QwenImageGenerateOperator,
        {
            "prompt": "A kitten running on grass, cinematic look, natural light and shadow",
            "model": "wan2.2-t2i-flash",
            "size": "960*1390",
        },
        {
            "model": "wan2.2-t2i-flash",
            "prompt": "A kitten running on grass, cinematic look, natural light and shadow",
            "size": "960*1390",
        },
    ),
    "tokenhot plus": (
        "tokenhot",
        QwenImageGenerateOperator,
        {
            "prompt": COUPLET,
            "model": "qwen-image-plus-2026-01-09",
            "size": "1328*1328",
            "negative_prompt": "Text blurry, distorted, low quality, background clutter",
            "seed": 100,
            "parameters": {"prompt_extend": True, "watermark": False},
        },
        native(
            "qwen-image-plus-2026-01-09",
            [{"text": COUPLET}],
            {
                "prompt_extend": True,
                "negative_prompt": "Text blurry, distorted, low quality, background clutter",
                "size": "1328*1328",
                "watermark": False,
                "seed": 100,
            },
        ),
    ),
    "tokenhot interleave": (
        "tokenhot",
        QwenImageSequenceOperator,
        {
            "prompt": "Refer to the composition of this picture to generate a painting in autumn style",
            "model": "wan2.6-image",
            "images": UMBRELLA,
            "n": 1,
            "size": "1024*1024",
        },
        native(
            "wan2.6-image",
            [
                {"text": "Refer to the composition of this picture to generate a painting in autumn style"},
                {"image": UMBRELLA},
            ],
            {"enable_interleave": True, "max_images": 1, "size": "1024*1024", "stream": True},
        ),
    ),
    "tokenhub 2": (
        "tokenhub",
        QwenImageGenerateOperator,
        {
            "prompt": FLOWERS,
            "model": "wan2.6-t2i",
            "n": 1,
            "negative_prompt": "",
            "size": "1280*1280",
            "parameters": {"prompt_extend": True, "watermark": False},
        },
        native(
            "wan2.6-t2i",
            [{"text": FLOWERS}],
            {"prompt_extend": True, "watermark": False, "n": 1, "negative_prompt": "", "size": "1280*1280"},
        ),
    ),
    "tokenhub 4.1": (
        "tokenhub",
        QwenImageGenerateOperator,
        {
            "prompt": FLOWERS,
            "model": "wan2.7-image-pro",
            "size": "2K",
            "parameters": {"watermark": False, "thinking_mode": True},
        },
        native(
            "wan2.7-image-pro",
            [{"text": FLOWERS}],
            {"size": "2K", "n": 1, "watermark": False, "thinking_mode": True},
        ),
    ),
    "tokenhub 4.2": (
        "tokenhub",
        QwenImageEditOperator,
        {
            "prompt": "Apply the graffiti style from image 2 onto the car in image 1.",
            "model": "wan2.7-image-pro",
            "images": [CAR, PAINT],
            "size": "2K",
            "parameters": {"watermark": False},
        },
        native(
            "wan2.7-image-pro",
            [
                {"image": CAR},
                {"image": PAINT},
                {"text": "Apply the graffiti style from image 2 onto the car in image 1."},
            ],
            {"size": "2K", "n": 1, "watermark": False},
        ),
    ),
    "tokenhub 4.3": (
        "tokenhub",
        QwenImageEditOperator,
        {
            "prompt": "Place the alarm clock from image 1 into the selected box in image 2, keeping scene and "
            "lighting naturally blended.",
            "model": "wan2.7-image-pro",
            "images": [CLOCK, SCENE],
            "boxes": [[], [[989, 515, 1138, 681]]],
            "size": "2K",
            "parameters": {"watermark": False},
        },
        native(
            "wan2.7-image-pro",
            [
                {"image": CLOCK},
                {"image": SCENE},
                {
                    "text": "Place the alarm clock from image 1 into the selected box in image 2, keeping scene "
                    "and lighting naturally blended."
                },
            ],
            {"bbox_list": [[], [[989, 515, 1138, 681]]], "size": "2K", "n": 1, "watermark": False},
        ),
    ),
    "tokenhub 4.4": (
        "tokenhub",
        QwenImageSequenceOperator,
        {"prompt": CAT, "model": "wan2.7-image-pro", "n": 4, "size": "2K"},
        native("wan2.7-image-pro", [{"text": CAT}], {"enable_sequential": True, "n": 4, "size": "2K"}),
    ),
}


def with_count(body):
    """Add the one field that is sent where a page omits it: upstream defaults are 4 and 12 images, and billed."""
    if "parameters" not in body:
        return {"n": 1, **body}
    return {**body, "parameters": {"n": 1, **body["parameters"]}}


def unordered(body):
    """Return a body whose content list has no order: the pages put text first or last, and say that both work."""
    if "input" not in body:
        return body
    (message,) = body["input"]["messages"]
    return {**body, "input": [message["role"], sorted(map(json.dumps, message["content"]))]}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_body_sent_is_the_one_the_gateway_prints(simulator, qwenimage_connection, seed):
    gateway, operator, arguments, printed = SEEDS[seed]
    task = operator(task_id="seed", qwenimage_conn_id=qwenimage_connection(gateway), **arguments)

    attempt = InMemoryAirflow().run(task)

    assert attempt.error is None
    sent = simulator.state.bodies[-1]
    assert unordered(sent) == unordered(with_count(printed))


def test_the_order_of_the_images_is_the_one_the_prompt_counts(simulator, qwenimage_connection):
    gateway, operator, arguments, printed = SEEDS["tokenhub 4.2"]
    InMemoryAirflow().run(
        operator(task_id="seed", qwenimage_conn_id=qwenimage_connection(gateway), **arguments)
    )
    sent = simulator.state.bodies[-1]
    assert sent["input"] == printed["input"]
