from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from airflow_provider_qwenimage.simulator.drawing import reference_cells
from simulator.bodies import AUTH, data_url, flat, image_urls, native, png

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
SSE = {"X-DashScope-SSE": "enable"}


def colours(picture, count):
    """The middle pixel of each cell that shows an input image."""
    cells = reference_cells(*picture.size, count)
    return [picture.convert("RGB").getpixel(((a + c) // 2, (b + d) // 2)) for a, b, c, d in cells]


@pytest.mark.parametrize("gateway", ["tokenhot", "onetoken", "applerouter", "newapi", "dashscope"])
def test_input_images_are_drawn_in_input_order(call, gateway):
    images = [data_url(RED), data_url(GREEN), data_url(BLUE)]
    body = native("qwen-image-edit-plus", "put image 1 on image 3", images=images, n=1, size="1024*1024")
    (url,) = image_urls(call.post(gateway, body).json())
    assert colours(call.image(url), 3) == [RED, GREEN, BLUE]


def test_input_images_on_loopback_are_fetched(sim, call):
    urls = [image_urls(call.post("tokenhub", native("wan2.7-image", text, n=1)).json())[0] for text in "ab"]
    body = native("wan2.7-image", "join them", images=urls, n=1)
    (url,) = image_urls(call.post("tokenhub", body).json())
    shown = colours(call.image(url), 2)
    assert shown == [call.image(source).convert("RGB").getpixel((2000, 1000)) for source in urls]


def test_an_image_elsewhere_is_a_stand_in_and_never_fetched(call):
    body = native("wan2.7-image-pro", images=["https://help-static.example/car.webp"], n=1, size="2K")
    assert call.post("tokenhub", body).status_code == 200


def test_without_a_size_the_last_image_decides(call):
    body = native("qwen-image-edit", images=[data_url(RED), data_url(BLUE, (600, 400))], n=1)
    (url,) = image_urls(call.post("dashscope", body).json())
    assert call.image(url).size == (600, 400)


def test_boxes_are_drawn_into_the_image_they_belong_to(call):
    boxes = [[], [[100, 100, 300, 300]]]
    images = [data_url(GREEN), data_url(GREEN)]
    with_box = native("wan2.7-image", images=images, n=1, bbox_list=boxes)
    picture = call.image(image_urls(call.post("dashscope", with_box).json())[0]).convert("RGB")
    first, second = (picture.crop(cell).getcolors(1_000_000) for cell in reference_cells(400, 400, 2))
    assert [colour for _, colour in first] == [GREEN]
    assert {colour for _, colour in second} == {GREEN, RED}


@pytest.mark.parametrize(
    ("model", "size", "came"),
    [
        ("qwen-image-2.0", "1024*1024", (400, 400)),
        ("wan2.7-image", "1024*1024", (400, 400)),
        ("qwen-image-3.0", "10*10", (400, 400)),
        ("qwen-image-edit-plus", "512*768", (512, 768)),
    ],
)
def test_the_size_of_some_edits_is_not_followed(call, model, size, came):
    body = native(model, images=[data_url(GREEN)], n=1, size=size)
    assert call.image(image_urls(call.post("dashscope", body).json())[0]).size == came


def test_a_data_url_is_refused_where_only_urls_are_documented(call):
    reply = call.post("tokenhub", native("wan2.7-image", images=[data_url(RED)], n=1))
    assert (reply.status_code, "Failed to download" in reply.json()["message"]) == (400, True)


@pytest.mark.parametrize(
    "image", ["http://127.0.0.1:9/none.png", "data:image/png;base64,@@@", data_url(RED, (64, 64))]
)
def test_an_image_that_cannot_be_used_is_refused_for_good(sim, call, image):
    reply = call.post("dashscope", native("qwen-image-edit", images=[image], n=1))
    assert reply.status_code == 400
    assert "InternalError.Algo.InvalidParameter" in reply.json()["message"]
    assert sim.state.billed == 0


def test_the_engine_takes_edits_as_a_form_and_as_json(sim, call):
    files = [("image", ("a.png", png(RED), "image/png")), ("image", ("b.png", png(BLUE), "image/png"))]
    fields = {"model": "Qwen/Qwen-Image-Edit", "prompt": "swap", "n": "1", "size": "512x512"}
    url = sim.base("openai-compatible") + "/v1/images/edits"
    reply = call.client.post(url, data=fields, files=files, headers=AUTH).json()
    assert (reply["size"], reply["output_format"]) == ("512x512", "png")
    picture = Image.open(io.BytesIO(base64.b64decode(reply["data"][0]["b64_json"])))
    assert colours(picture, 2) == [RED, BLUE]
    assert sim.state.bodies[-1]["prompt"] == "swap"
    body = flat(image=[data_url(RED), data_url(BLUE)], size="512x512")
    again = call.post("openai-compatible", body, path="/v1/images/edits").json()
    picture = Image.open(io.BytesIO(base64.b64decode(again["data"][0]["b64_json"])))
    assert colours(picture, 2) == [RED, BLUE]
    assert call.post("openai-compatible", flat(), path="/v1/images/edits").status_code == 400


@pytest.mark.parametrize("gateway", ["tokenhot", "onetoken", "applerouter", "tokenhub", "dashscope"])
def test_a_sequence_shows_its_steps(call, gateway):
    body = native("wan2.7-image-pro", "four seasons", n=4, enable_sequential=True, size="2K")
    pictures = [call.image(url) for url in image_urls(call.post(gateway, body).json())]
    assert [picture.text["step"] for picture in pictures] == ["1", "2", "3", "4"]
    assert len({picture.tobytes() for picture in pictures}) == 4


def interleaved(**parameters):
    return native("wan2.6-image", "a picture book", enable_interleave=True, stream=True, **parameters)


def frames(text):
    return [block for block in text.split("\n\n") if block and not block.startswith(":")]


def test_interleaved_frames_are_as_the_vendor_sends_them(sim, call):
    reply = call.post("dashscope", interleaved(max_images=2), headers=SSE)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.text.startswith(":")
    blocks = frames(reply.text)
    assert blocks[0].split("\n")[:3] == ["id:1", "event:result", ":HTTP_STATUS/200"]
    assert all(block.split("\n")[3].startswith('data:{"output"') for block in blocks)
    assert ['"finish_reason":"null"' in block for block in blocks] == [True, True, True, False]
    assert '"finish_reason":"stop"' in blocks[-1]
    assert "[DONE]" not in reply.text
    assert sim.state.billed == 2


@pytest.mark.parametrize(("mode", "count"), [("incremental", 4), ("cumulative", 4), ("chunks", 6)])
def test_frames_can_be_incremental_cumulative_or_in_chunks(sim, call, mode, count):
    sim.state.settings.sse_mode = mode
    blocks = frames(call.post("dashscope", interleaved(max_images=2), headers=SSE).text)
    assert len(blocks) == count
    assert blocks[-1].count('"type":"image"') == (2 if mode == "cumulative" else 1)


def test_interleave_needs_the_header_and_nothing_else(call):
    assert call.post("dashscope", interleaved(max_images=1)).status_code == 400
    silent = native("wan2.6-image", enable_interleave=True, max_images=1)
    assert call.post("dashscope", silent, headers=SSE).text.startswith(":")


def test_interleave_without_a_limit_costs_five(sim, call):
    call.post("dashscope", interleaved(), headers=SSE)
    assert sim.state.billed == 5


def test_routers_answer_interleave_whole(call):
    body = call.post("tokenhot", interleaved(max_images=2)).json()
    texts = [part["text"] for part in body["output"][0]["content"]]
    assert [text.startswith("http") for text in texts] == [False, True, False, True]
    content = call.post("tokenhub", interleaved(max_images=1)).json()["output"]["choices"][0]["message"][
        "content"
    ]
    assert [part["type"] for part in content] == ["text", "image"]


def test_a_stream_can_break_or_turn_into_an_error(sim, call):
    import httpx

    sim.fault("sse_error")
    text = call.post("dashscope", interleaved(max_images=2), headers=SSE).text
    assert "event:error\n:HTTP_STATUS/400\ndata:" in text
    sim.fault("sse_cut")
    with pytest.raises(httpx.TransportError):
        call.post("dashscope", interleaved(max_images=2), headers=SSE)
