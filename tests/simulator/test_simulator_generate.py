from __future__ import annotations

import base64
import io

import pytest
from PIL import Image, ImageChops

from simulator.bodies import AUTH, PATHS, body_for, flat, image_urls, native

IMAGE = "https://img.example/1.png"


@pytest.mark.parametrize("gateway", PATHS)
def test_every_gateway_answers_with_a_png_that_is_what_was_drawn(sim, call, gateway):
    reply = call.post(gateway, body_for(gateway))
    assert reply.status_code == 200, reply.text
    (url,) = image_urls(reply.json())
    content = call.client.get(url).content
    assert content == sim.content(url)
    assert Image.open(io.BytesIO(content)).size == (512, 512)
    assert (sim.state.billed, sim.state.posts) == (1, 1)


@pytest.mark.parametrize("gateway", PATHS)
def test_a_wrong_key_is_refused_in_the_gateways_own_shape(sim, call, gateway):
    reply = call.post(gateway, body_for(gateway), key="other")
    assert reply.status_code == 401
    body = reply.json()
    if PATHS[gateway].startswith("/api/v1") or gateway == "tokenhub":
        assert body["code"] == "InvalidApiKey"
    elif gateway == "openai-compatible":
        assert set(body) == {"detail"}
    else:
        assert "Invalid API-key" in body["error"]["message"]
    assert sim.state.billed == 0


def test_replies_have_the_shapes_of_the_seeds(call):
    tokenhot = call.post("tokenhot", native("qwen-image-plus", n=1)).json()
    assert tokenhot["output"][0]["content"][0]["type"] == "image"
    assert set(tokenhot) == {"output", "usage", "request_id"}
    wan = call.post("tokenhot", native("wan2.6-t2i", n=1)).json()
    assert wan["output"][0]["content"][0]["type"] == "text"
    onetoken = call.post("onetoken", flat("wan2.2-t2i-flash", size="960*1390", n=1)).json()
    assert set(onetoken) == {"created", "data"}
    assert onetoken["data"][0]["b64_json"] == ""
    tokenhub = call.post("tokenhub", native("alibaba/wan2.6-t2i", n=1)).json()
    assert tokenhub["output"]["finished"] is True
    assert tokenhub["usage"]["size"] == "1280*1280"


@pytest.mark.parametrize(
    ("model", "usage"),
    [
        ("qwen-image-plus", {"image_count": 1, "width": 1664, "height": 928}),
        ("wan2.7-image", {"image_count": 1, "size": "2048*2048"}),
        (
            "qwen-image-3.0",
            {"output_image_count": 1, "output_width": 2048, "output_image_type": "qima_output_2k"},
        ),
    ],
)
def test_dashscope_spells_usage_as_the_models_page_does(call, model, usage):
    told = call.post("dashscope", native(model, n=1)).json()["usage"]
    assert usage.items() <= told.items()


def test_a_missing_n_costs_the_vendors_default(sim, call):
    call.post("tokenhub", native("wan2.7-image", enable_sequential=True))
    assert sim.state.billed == 12
    call.post("onetoken", flat("wan2.2-t2i-flash"))
    assert sim.state.billed == 16


def test_onetoken_takes_both_shapes_and_the_others_only_theirs(call):
    assert call.post("onetoken", native("qwen-image", n=1)).status_code == 200
    assert call.post("onetoken", flat("qwen-image", n=1)).status_code == 200
    for gateway in ("tokenhot", "applerouter", "tokenhub", "dashscope"):
        assert call.post(gateway, flat("qwen-image", n=1)).status_code == 400
    assert call.post("openai-compatible", native("qwen-image")).status_code == 400


def test_the_same_request_draws_the_same_bytes_and_another_seed_does_not(sim, call):
    urls = [
        image_urls(call.post("dashscope", native("qwen-image-2.0", n=1, seed=s)).json())[0] for s in (0, 0, 1)
    ]
    first, second, third = map(sim.content, urls)
    assert first == second != third


def test_a_picture_tells_what_was_asked(call):
    body = call.post(
        "dashscope", native("qwen-image-2.0", "grüner Tee 茶", n=2, seed=7, size="640*512")
    ).json()
    pictures = [call.image(url) for url in image_urls(body)]
    assert [picture.text["index"] for picture in pictures] == ["0", "1"]
    assert {"prompt": "grüner Tee 茶", "model": "qwen-image-2.0", "seed": "7"}.items() <= pictures[
        0
    ].text.items()
    assert pictures[0].size == (640, 512)


def test_padded_images_have_the_bytes_asked_for_and_the_same_pixels(sim, call):
    (url,) = image_urls(call.post("dashscope", body_for("dashscope")).json())
    plain = call.image(url)
    call.client.post(sim.url + "/_settings", json={"image_bytes": 1_500_000})
    assert len(call.client.get(url).content) == 1_500_000
    assert call.image(url).tobytes() == plain.tobytes()


def test_the_engine_answers_inline_unless_a_url_is_asked(call):
    inline = call.post("openai-compatible", flat(size="512x512")).json()["data"][0]
    assert inline["url"] is None
    assert Image.open(io.BytesIO(base64.b64decode(inline["b64_json"]))).format == "PNG"
    jpeg = call.post("openai-compatible", flat(size="512x512", output_format="jpeg")).json()["data"][0]
    assert base64.b64decode(jpeg["b64_json"]).startswith(b"\xff\xd8")
    linked = call.post("openai-compatible", flat(size="512x512", response_format="url")).json()["data"][0]
    assert linked["b64_json"] is None
    assert call.image(linked["url"]).size == (512, 512)


def test_newapi_loses_images_that_share_a_choice_and_keeps_them_in_metadata(sim, call):
    body = call.post("newapi", native("wan2.7-image", n=3)).json()
    assert len(body["data"]) == 1
    kept = body["metadata"]["output"]["choices"][0]["message"]["content"]
    assert len(kept) == 3
    assert body["data"][0]["url"] == kept[-1]["image"]
    assert sim.state.billed == 3


def test_newapi_drops_fields_it_does_not_know(call):
    reply = call.post("newapi", native("wan2.6-image", enable_interleave=True, max_images=2, stream=True))
    assert reply.status_code == 400
    assert "number of images" in reply.json()["error"]["message"]


def test_ampersands_are_escaped_by_gateways_built_on_new_api(call):
    assert "\\u0026Signature=" in call.post("applerouter", body_for("applerouter")).text
    assert "&Signature=" in call.post("tokenhub", body_for("tokenhub")).text


@pytest.mark.parametrize("gateway", PATHS)
def test_checking_a_key_costs_nothing(sim, call, gateway):
    path = "/api/v1/tasks?page_no=1&page_size=1"
    if not PATHS[gateway].startswith("/api/v1"):
        path = PATHS[gateway].replace("images/generations", "models")
    assert call.get(gateway, path).status_code == 200
    assert call.client.get(sim.base(gateway) + path).status_code == 401
    assert (sim.state.posts, sim.state.billed, sim.state.total("checks")) == (0, 0, 2)


def test_the_compatible_mode_has_one_route_and_links_only(sim, call):
    body = body_for("dashscope-compatible", response_format="b64_json", image=IMAGE)
    reply = call.post("dashscope-compatible", body)
    assert [set(item) for item in reply.json()["data"]] == [{"url", "b64_json", "revised_prompt"}]
    assert [item["b64_json"] for item in reply.json()["data"]] == [""]
    assert "request_id" not in reply.json()
    assert reply.headers["x-request-id"]
    for path in ("/compatible-mode/v1/images/edits", "/v1/images/generations"):
        url = sim.base("dashscope-compatible") + path
        assert call.client.post(url, json=body, headers=AUTH).status_code == 404
    starred = {**body, "size": "512*512"}
    assert call.post("dashscope-compatible", starred).status_code == 400
    assert call.post("dashscope-compatible", {**body, "size": "auto"}).status_code == 200


def test_models_are_listed_as_set(sim, call):
    call.client.post(sim.url + "/_settings", json={"models": ["house-model"]})
    assert [row["id"] for row in call.get("tokenhot", "/v1/models").json()["data"]] == ["house-model"]
    assert call.post("tokenhot", native("house-model", n=1)).status_code == 200


def test_unknown_models_are_refused(call):
    assert call.post("dashscope", native("qwen-image-9", n=1)).json()["code"] == "ModelNotFound"
    reply = call.post("onetoken", native("qwen-image-9", n=1))
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "model_not_found")


def test_state_remembers_bodies_without_the_key(sim, call):
    body = body_for("tokenhot")
    call.post("tokenhot", body)
    told = call.client.get(sim.url + "/_state")
    assert told.json()["requests"][-1]["body"] == body
    assert sim.state.bodies == (body,)
    assert "demo-key" not in told.text


def test_reset_forgets(sim, call):
    call.post("tokenhot", body_for("tokenhot"))
    call.client.post(sim.url + "/_reset")
    assert (sim.state.billed, sim.state.posts, sim.state.requests) == (0, 0, ())


def test_unknown_settings_and_faults_are_named(sim, call):
    reply = call.client.post(sim.url + "/_settings", json={"latncy": 1})
    assert (reply.status_code, reply.json()) == (400, {"error": "unknown setting latncy"})
    assert "no_such" in call.client.post(sim.url + "/_faults", json={"fault": "no_such"}).json()["error"]


def test_unknown_paths_are_refused_in_the_gateways_shape(call):
    reply = call.client.post(call.sim.base("onetoken") + "/v1/images/variations", headers=AUTH)
    assert (reply.status_code, reply.json()["error"]["type"]) == (404, "new_api_error")


@pytest.mark.parametrize("gateway", ["onetoken", "applerouter", "newapi"])
def test_base64_comes_when_it_is_asked_and_the_gateway_knows_it(sim, call, gateway):
    body = {**native("qwen-image-2.0", n=2, size="512*512"), "response_format": "b64_json"}
    data = call.post(gateway, body).json()["data"]
    assert [item["url"] for item in data] == ["", ""]
    assert all(base64.b64decode(item["b64_json"]).startswith(b"\x89PNG") for item in data)
    assert len(image_urls(call.post("tokenhot", body).json())) == 2


def test_z_image_answers_with_its_rewritten_prompt_beside_the_image(call):
    body = call.post("dashscope", native("z-image-turbo")).json()
    image, text = body["output"]["choices"][0]["message"]["content"]
    assert set(image) == {"image"}
    assert set(text) == {"text", "reasoning_content"}


def test_a_watermark_changes_only_the_pixels_it_covers(call):
    urls = [
        image_urls(
            call.post("dashscope", native("qwen-image-2.0", n=1, size="512*512", watermark=on)).json()
        )[0]
        for on in (False, True)
    ]
    plain, marked = (call.image(url).convert("RGB") for url in urls)
    box = ImageChops.difference(plain, marked).getbbox()
    assert box[0] > 256
    assert box[1] > 256
