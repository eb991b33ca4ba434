"""The request examples printed on the gateways' own pages are answered as those pages print it."""

from __future__ import annotations

import pytest

from simulator.bodies import image_urls, native

CAR = "https://help-static-aliyun-doc.aliyuncs.com/file-manage-files/zh-CN/20251229/pjeqdf/car.webp"
PAINT = "https://help-static-aliyun-doc.aliyuncs.com/file-manage-files/zh-CN/20251229/xsunlm/paint.webp"
UMBRELLA = "https://cdn.example.com/original_umbrella.png"
CAT = "A cinematic four-image sequence featuring the same stray orange cat with consistent appearance"
NEGATIVE = "Text blurry, distorted, low quality, background clutter"
BOXES = [[], [[989, 515, 1138, 681]]]
KITTEN = {"model": "wan2.2-t2i-flash", "prompt": "A kitten running on grass", "size": "960*1390"}
PLUS = {
    "prompt_extend": True,
    "negative_prompt": NEGATIVE,
    "size": "1328*1328",
    "watermark": False,
    "seed": 100,
}
AUTUMN = {"enable_interleave": True, "max_images": 1, "size": "1024*1024", "stream": True}
SHOP = {"prompt_extend": True, "watermark": False, "n": 1, "negative_prompt": "", "size": "1280*1280"}
TWO_K = {"size": "2K", "n": 1, "watermark": False}

EXAMPLES = [
    ("tokenhot", native("qwen-image-plus-2026-01-09", "An elegant couplet", **PLUS), 1),
    ("tokenhot", native("wan2.6-image", "in autumn style", images=[UMBRELLA], **AUTUMN), 1),
    ("onetoken", KITTEN, 4),  # no n: four are made, and billed
    (
        "applerouter",
        native("qwen-image-plus", "Mountains", prompt_extend=True, watermark=False, size="1328*1328"),
        1,
    ),
    ("tokenhub", native("wan2.6-t2i", "A flower shop", **SHOP), 1),
    ("tokenhub", native("wan2.7-image-pro", "A flower shop", thinking_mode=True, **TWO_K), 1),
    ("tokenhub", native("wan2.7-image-pro", "image 2 onto image 1", images=[CAR, PAINT], **TWO_K), 1),
    (
        "tokenhub",
        native("wan2.7-image-pro", "into the box", images=[CAR, PAINT], bbox_list=BOXES, **TWO_K),
        1,
    ),
    ("tokenhub", native("wan2.7-image-pro", CAT, enable_sequential=True, n=4, size="2K"), 4),
]


@pytest.mark.parametrize(("gateway", "body", "count"), EXAMPLES)
def test_an_example_of_the_page_makes_its_images(sim, call, gateway, body, count):
    reply = call.post(gateway, body)
    assert reply.status_code == 200, reply.text
    urls = image_urls(reply.json())
    assert (len(urls), sim.state.billed) == (count, count)
    assert call.image(urls[0]).format == "PNG"
