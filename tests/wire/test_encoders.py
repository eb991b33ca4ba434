"""What goes on the wire, field by field: the requests the vendors' pages print, and the rules behind them."""

from __future__ import annotations

import base64
import json

import pytest

from airflow_provider_qwenimage import catalog
from airflow_provider_qwenimage.catalog.models import model
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.requests import (
    EditRequest,
    GenerateRequest,
    SequenceRequest,
    TranslateRequest,
)
from airflow_provider_qwenimage.wire import encode_flat, encode_native, jobs

COUPLET = (
    "An elegant and solemn couplet hangs in the hall. The room is a quiet and classical Chinese-style arrangement. "
    "Some blue and white porcelain is placed on the table. The left book 'Yi Bensheng knows the same way and thinks "
    "new', the right book 'Tong Yun Fu Zhi Qian Kun Qi Num Gao Zhi Yuan', and the horizontal batch 'Zhi Qi Qi Qian "
    "Qian'."
)
SHOP = "A flower shop with elegant windows, a beautiful wooden door, and fresh flowers on display."
CAT = (
    "A cinematic four-image sequence featuring the same stray orange cat with consistent appearance: Image 1 (spring): "
    "the cat walks under blooming cherry blossoms; Image 2 (summer): the cat rests in the shade on an old street; "
    "Image 3 (autumn): the cat steps on golden fallen leaves; Image 4 (winter): the cat leaves footprints in the snow."
)
CAR = "https://help-static-aliyun-doc.aliyuncs.com/file-manage-files/zh-CN/20251229/pjeqdf/car.webp"
PAINT = "https://help-static-aliyun-doc.aliyuncs.com/file-manage-files/zh-CN/20251229/xsunlm/paint.webp"
CLOCK = "https://img.alicdn.com/imgextra/i3/O1CN0157XGE51l6iL9441yX_!!6000000004770-49-tps-1104-1472.webp"
ROOM = "https://img.alicdn.com/imgextra/i3/O1CN01SfG4J41UYn9WNt4X1_!!6000000002530-49-tps-1696-960.webp"
PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG one").decode()
JPEG = "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8\xff two").decode()


def native(request, gateway="tokenhub"):
    row = catalog.gateway(gateway)
    return encode_native.encode(request, gateway=row, model=model(request.model))


def flat(request, gateway="openai-compatible", *, inline=False):
    row = catalog.gateway(gateway)
    return encode_flat.encode(request, gateway=row, model=model(request.model), inline=inline)


def said(*content):
    return {"messages": [{"role": "user", "content": list(content)}]}


# The pages' own bodies; `n` is added where a page leaves it out, because upstream defaults are billed.
PRINTED = {
    "applerouter": (
        GenerateRequest(
            model="qwen-image-plus",
            prompt="A traditional Chinese painting of mountains and rivers",
            size="1328*1328",
            parameters={"prompt_extend": True, "watermark": False},
        ),
        {
            "model": "qwen-image-plus",
            "input": said({"text": "A traditional Chinese painting of mountains and rivers"}),
            "parameters": {"prompt_extend": True, "watermark": False, "size": "1328*1328", "n": 1},
        },
    ),
    "tokenhot qwen": (
        GenerateRequest(
            model="qwen-image-plus-2026-01-09",
            prompt=COUPLET,
            size="1328x1328",
            negative_prompt="Text blurry, distorted, low quality, background clutter",
            seed=100,
            parameters={"prompt_extend": True, "watermark": False},
        ),
        {
            "model": "qwen-image-plus-2026-01-09",
            "input": said({"text": COUPLET}),
            "parameters": {
                "prompt_extend": True,
                "negative_prompt": "Text blurry, distorted, low quality, background clutter",
                "size": "1328*1328",
                "watermark": False,
                "seed": 100,
                "n": 1,
            },
        },
    ),
    # The page puts the text first; images first works in every sample of Alibaba's (contract C26).
    "tokenhot wan": (
        SequenceRequest(
            model="wan2.6-image",
            prompt="Refer to the composition of this picture to generate a painting in autumn style",
            images="https://cdn.example.com/original_umbrella.png",
            n=1,
            size=[1024, 1024],
        ),
        {
            "model": "wan2.6-image",
            "input": said(
                {"image": "https://cdn.example.com/original_umbrella.png"},
                {"text": "Refer to the composition of this picture to generate a painting in autumn style"},
            ),
            "parameters": {
                "enable_interleave": True,
                "max_images": 1,
                "size": "1024*1024",
                "stream": True,
                "n": 1,
            },
        },
    ),
    "tokenhub t2i": (
        GenerateRequest(
            model="wan2.6-t2i",
            prompt=SHOP,
            size="1280*1280",
            negative_prompt="",
            parameters={"prompt_extend": True, "watermark": False},
        ),
        {
            "model": "wan2.6-t2i",
            "input": said({"text": SHOP}),
            "parameters": {
                "prompt_extend": True,
                "watermark": False,
                "n": 1,
                "negative_prompt": "",
                "size": "1280*1280",
            },
        },
    ),
    "tokenhub 4.1": (
        GenerateRequest(
            model="wan2.7-image-pro",
            prompt=SHOP,
            size="2k",
            parameters={"watermark": False, "thinking_mode": True},
        ),
        {
            "model": "wan2.7-image-pro",
            "input": said({"text": SHOP}),
            "parameters": {"size": "2K", "n": 1, "watermark": False, "thinking_mode": True},
        },
    ),
    "tokenhub 4.2": (
        EditRequest(
            model="wan2.7-image-pro",
            prompt="Apply the graffiti style from image 2 onto the car in image 1.",
            images=[CAR, PAINT],
            size="2K",
            parameters={"watermark": False},
        ),
        {
            "model": "wan2.7-image-pro",
            "input": said(
                {"image": CAR},
                {"image": PAINT},
                {"text": "Apply the graffiti style from image 2 onto the car in image 1."},
            ),
            "parameters": {"size": "2K", "n": 1, "watermark": False},
        },
    ),
    "tokenhub 4.3": (
        EditRequest(
            model="wan2.7-image-pro",
            prompt="Place the alarm clock from image 1 into the selected box in image 2, keeping scene and lighting "
            "naturally blended.",
            images=[CLOCK, ROOM],
            boxes=[[], [[989, 515, 1138, 681]]],
            size="2K",
            parameters={"watermark": False},
        ),
        {
            "model": "wan2.7-image-pro",
            "input": said(
                {"image": CLOCK},
                {"image": ROOM},
                {
                    "text": "Place the alarm clock from image 1 into the selected box in image 2, keeping scene and "
                    "lighting naturally blended."
                },
            ),
            "parameters": {
                "bbox_list": [[], [[989, 515, 1138, 681]]],
                "size": "2K",
                "n": 1,
                "watermark": False,
            },
        },
    ),
    "tokenhub 4.4": (
        SequenceRequest(model="wan2.7-image-pro", prompt=CAT, size="2K"),
        {
            "model": "wan2.7-image-pro",
            "input": said({"text": CAT}),
            "parameters": {"enable_sequential": True, "n": 4, "size": "2K"},
        },
    ),
}


@pytest.mark.parametrize("page", PRINTED)
def test_the_body_is_the_one_the_page_prints(page):
    request, body = PRINTED[page]
    call = native(request, page.partition(" ")[0])

    assert (call.method, call.path, call.billable) == ("POST", "/v1/images/generations", True)
    assert call.json == body
    assert dict(call.headers) == {}


def test_the_flat_example_of_onetoken_is_met_field_by_field():
    prompt = "A kitten running on grass, cinematic look, natural light and shadow"
    call = flat(GenerateRequest(model="wan2.2-t2i-flash", prompt=prompt, size="960*1390"), "onetoken")

    assert call.path == "/v1/images/generations"
    assert call.json == {"model": "wan2.2-t2i-flash", "prompt": prompt, "size": "960*1390", "n": 1}


@pytest.mark.parametrize("name", catalog.gateways())
def test_every_gateway_row_gets_its_path_its_shape_and_its_separator(name):
    row = catalog.gateway(name)
    request = GenerateRequest(model="qwen-image-plus", prompt="a fox", size="1328×1328", seed=0)

    call = native(request, name) if row.request_format == "native" else flat(request, name)

    assert call.path == row.generations
    body = call.json if row.request_format == "flat" else call.json["parameters"]
    body = {**body, **json.loads(body.get("kwargs", "{}"))}
    assert body["size"] == f"1328{row.size_separator}1328"
    assert (body["n"], body["seed"]) == (1, 0)
    prompt = (
        body["prompt"]
        if row.request_format == "flat"
        else call.json["input"]["messages"][0]["content"][0]["text"]
    )
    assert prompt == "a fox"


@pytest.mark.parametrize("encode", [native, flat])
def test_only_the_model_that_lists_no_n_goes_without_one(encode):
    def holder(request):
        return encode(request).json.get("parameters", encode(request).json)

    assert "n" not in holder(GenerateRequest(model="z-image-turbo", prompt="a fox"))
    assert holder(GenerateRequest(model="somebody/unknown-model", prompt="a fox"))["n"] == 1


@pytest.mark.parametrize("encode", [native, flat])
def test_zero_and_false_survive_and_what_is_none_is_not_sent(encode):
    request = GenerateRequest(
        model="qwen-image-2.0",
        prompt="a fox",
        seed=0,
        parameters={"watermark": False, "steps": 0, "extra": None},
    )
    body = encode(request).json
    holder = body.get("parameters", body)

    assert (holder["seed"], holder["watermark"], holder["steps"], holder["extra"]) == (0, False, 0, None)
    assert not {"size", "negative_prompt", "bbox_list"} & set(holder)


@pytest.mark.parametrize("encode", [native, flat])
def test_parameters_come_after_the_named_ones_as_the_author_wrote_them(encode):
    written = {"zeta": {"deep": [1, 2]}, "alpha": "x", "negative": "1"}
    body = encode(
        GenerateRequest(model="qwen-image-2.0", prompt="a fox", size="1024*1024", parameters=written)
    ).json
    holder = body.get("parameters", body)

    assert list(holder)[-3:] == ["zeta", "alpha", "negative"]
    assert {name: holder[name] for name in written} == written


@pytest.mark.parametrize("gateway", ["dashscope", "dashscope-intl", "dashscope-us"])
def test_an_interleaved_series_is_streamed_where_the_vendor_itself_answers(gateway):
    request = SequenceRequest(model="wan2.6-image", prompt="tea in three steps", n=3)
    call = native(request, gateway)

    assert dict(call.headers) == {"X-DashScope-SSE": "enable"}
    assert call.json["parameters"] == {"enable_interleave": True, "max_images": 3, "n": 1, "stream": True}
    told = SequenceRequest(model="wan2.6-image", prompt="tea", parameters={"stream": False})
    assert native(told, gateway).json["parameters"]["stream"] is False


def test_a_gateway_whose_page_does_not_print_a_stream_is_not_asked_for_one():
    request = SequenceRequest(model="wan2.6-image", prompt="tea in three steps", n=3)

    assert "stream" not in native(request, "tokenhub").json["parameters"]
    told = SequenceRequest(model="wan2.6-image", prompt="tea", parameters={"stream": False})
    assert native(told, "tokenhot").json["parameters"]["stream"] is False


def test_a_series_of_an_unknown_model_is_asked_for_the_newer_way():
    call = native(SequenceRequest(model="wan3-image", prompt="tea", n=2))

    assert call.json["parameters"] == {"enable_sequential": True, "n": 2}


def test_an_engine_is_asked_for_base64_only_where_it_is_stored_at_once():
    request = GenerateRequest(model="Qwen/Qwen-Image", prompt="a fox", size="1024*1024")

    assert "response_format" not in flat(request).json
    assert flat(request, inline=True).json["response_format"] == "b64_json"
    assert "response_format" not in flat(request, "onetoken", inline=True).json
    told = GenerateRequest(model="Qwen/Qwen-Image", prompt="a fox", parameters={"response_format": "url"})
    assert flat(told, inline=True).json["response_format"] == "url"
    assert (flat(request, inline=True).spare, flat(told, inline=True).spare) == (("response_format",), ())


def xinference(**fields):
    return flat(GenerateRequest(model="Qwen-Image", prompt="a fox", **fields), "xinference", inline=True).json


def test_xinference_gets_what_it_reads_nowhere_else_as_the_text_of_kwargs():
    body = xinference(size="1024x768", n=2, seed=0, negative_prompt="fog", parameters={"guidance_scale": 4.0})

    assert json.loads(body.pop("kwargs")) == {"negative_prompt": "fog", "seed": 0, "guidance_scale": 4.0}
    assert body == {
        "model": "Qwen-Image",
        "prompt": "a fox",
        "size": "1024x768",
        "n": 2,
        "response_format": "b64_json",
    }
    assert "kwargs" not in xinference()


@pytest.mark.parametrize("written", ['{"seed": 7, "lora": "poster"}', {"seed": 7, "lora": "poster"}])
def test_kwargs_of_the_author_come_last(written):
    body = xinference(seed=1, parameters={"kwargs": written, "steps": 9})

    assert json.loads(body["kwargs"]) == {"seed": 7, "steps": 9, "lora": "poster"}


@pytest.mark.parametrize("written", ["{", "[1]", [1], "7"])
def test_kwargs_that_are_no_object_are_refused(written):
    with pytest.raises(InvalidRequest, match="kwargs must be a JSON object"):
        xinference(parameters={"kwargs": written})


def test_what_an_engine_does_not_read_of_an_edit_is_named():
    edit = EditRequest(model="Qwen-Image-Edit", prompt="swap", images=PNG, seed=0, parameters={"steps": 9})
    row = catalog.gateway("xinference")

    assert encode_flat.unread(edit, row) == ("seed", "steps")
    assert encode_flat.unread(edit, catalog.gateway("openai-compatible")) == ()
    assert encode_flat.unread(GenerateRequest(model="m", prompt="p", seed=0), row) == ()


def test_an_edit_of_an_engine_is_a_form_with_the_files_in_order():
    request = EditRequest(
        model="Qwen/Qwen-Image-Edit",
        prompt="swap",
        images=[PNG, JPEG],
        size="1024*768",
        n=2,
        parameters={"loud": True},
    )
    call = flat(request)

    assert (call.path, call.json, call.billable) == ("/v1/images/edits", None, True)
    assert call.form == {
        "model": "Qwen/Qwen-Image-Edit",
        "prompt": "swap",
        "size": "1024x768",
        "n": "2",
        "loud": "true",
    }
    assert [(part.name, part.filename, part.content, part.content_type) for part in call.parts] == [
        ("image", "image-0.png", b"\x89PNG one", "image/png"),
        ("image", "image-1.jpeg", b"\xff\xd8\xff two", "image/jpeg"),
    ]


@pytest.mark.parametrize("image", ["https://cdn.example/a.png", "data:image/png;base64,%%%"])
def test_what_cannot_be_a_file_of_the_form_is_refused_by_its_place(image):
    with pytest.raises(InvalidRequest, match=r"images\.1"):
        flat(EditRequest(model="Qwen/Qwen-Image-Edit", prompt="swap", images=[PNG, image]))


def test_a_flat_gateway_without_an_edit_route_takes_one_image_as_text_and_several_as_a_list():
    one = EditRequest(model="qwen-image-edit-plus", prompt="swap", images=CAR)
    two = EditRequest(model="qwen-image-edit-plus", prompt="swap", images=[CAR, PAINT])

    assert flat(one, "onetoken").json["image"] == CAR
    assert flat(two, "onetoken").json["image"] == [CAR, PAINT]


def job(request):
    call = jobs.encode(request, model=model(request.model))
    assert (call.method, dict(call.headers), call.billable) == ("POST", {"X-DashScope-Async": "enable"}, True)
    return call.path, call.json


def test_an_older_job_says_prompt_and_negative_prompt_in_its_input():
    request = GenerateRequest(
        model="wan2.5-t2i-preview", prompt="a fox", negative_prompt="fog", size="1280*1280", n=2, seed=0
    )
    assert job(request) == (
        "/api/v1/services/aigc/text2image/image-synthesis",
        {
            "model": "wan2.5-t2i-preview",
            "input": {"prompt": "a fox", "negative_prompt": "fog"},
            "parameters": {"size": "1280*1280", "n": 2, "seed": 0},
        },
    )


def test_an_older_job_that_edits_lists_its_images_in_its_input():
    request = EditRequest(model="wan2.5-i2i-preview", prompt="swap", images=[CAR, PAINT], negative_prompt="")
    assert job(request) == (
        "/api/v1/services/aigc/image2image/image-synthesis",
        {
            "model": "wan2.5-i2i-preview",
            "input": {"prompt": "swap", "images": [CAR, PAINT], "negative_prompt": ""},
            "parameters": {"n": 1},
        },
    )


def test_a_newer_job_has_the_body_of_the_synchronous_call():
    request = SequenceRequest(model="wan2.6-image", prompt="tea", n=3, images=CAR, negative_prompt="fog")
    path, body = job(request)

    assert path == "/api/v1/services/aigc/image-generation/generation"
    assert body == {
        "model": "wan2.6-image",
        "input": said({"image": CAR}, {"text": "tea"}),
        "parameters": {"enable_interleave": True, "max_images": 3, "n": 1, "negative_prompt": "fog"},
    }


@pytest.mark.parametrize("gateway", ["dashscope-compatible", "qwencloud"])
def test_the_compatible_mode_takes_edits_as_json_on_the_one_route(gateway):
    request = EditRequest(
        model="qwen-image-3.0-pro",
        prompt="swap",
        images=[CAR, PNG],
        size="1024*768",
        negative_prompt="blur",
        seed=0,
    )
    call = flat(request, gateway, inline=True)
    assert call.path == "/compatible-mode/v1/images/generations"
    assert call.parts == ()
    assert call.json == {
        "model": "qwen-image-3.0-pro",
        "prompt": "swap",
        "size": "1024x768",
        "n": 1,
        "negative_prompt": "blur",
        "seed": 0,
        "image": [CAR, PNG],
    }


def test_the_compatible_mode_may_leave_the_size_to_the_model():
    request = GenerateRequest(model="qwen-image-3.0", prompt="a boat", parameters={"size": "auto"})
    assert flat(request, "dashscope-compatible").json["size"] == "auto"


def test_a_translation_is_a_job_with_its_options_in_ext():
    request = TranslateRequest(
        images=[CAR],
        source_lang="zh",
        target_lang="en",
        terminologies={"\u5e94\u7528\u7a0b\u5e8f\u63a5\u53e3": "API", "\u673a\u5668\u5b66\u4e60": "ML"},
        prompt="a poster for engineers",
        parameters={"config": {"imageSegment": True}, "sensitives": ["9.9"]},
    )
    call = jobs.encode(request, model=model(request.model))
    assert (call.method, call.path) == ("POST", "/api/v1/services/aigc/image2image/image-synthesis")
    assert (call.headers, call.billable) == ({"X-DashScope-Async": "enable"}, True)
    assert call.json == {
        "model": "qwen-mt-image-2.0",
        "input": {
            "image_url": CAR,
            "source_lang": "zh",
            "target_lang": "en",
            "ext": {
                "domainHint": "a poster for engineers",
                "terminologies": [
                    {"src": "\u5e94\u7528\u7a0b\u5e8f\u63a5\u53e3", "tgt": "API"},
                    {"src": "\u673a\u5668\u5b66\u4e60", "tgt": "ML"},
                ],
                "config": {"imageSegment": True},
                "sensitives": ["9.9"],
            },
        },
    }


def test_a_translation_without_options_sends_none():
    request = TranslateRequest(images=CAR, target_lang="ja", model="qwen-mt-image")
    call = jobs.encode(request, model=model(request.model))
    assert call.json["input"] == {"image_url": CAR, "source_lang": "auto", "target_lang": "ja"}
