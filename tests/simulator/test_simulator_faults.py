from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from airflow_provider_qwenimage.simulator.faults import FAULTS, table
from simulator.bodies import PATHS, body_for, image_urls, native

GATEWAYS = ("tokenhot", "onetoken", "applerouter", "tokenhub", "dashscope", "openai-compatible")
ANSWERED = [
    name for name, row in FAULTS.items() if row.on == "generate" and (row.refusal or row.raw is not None)
]
ENDED = [name for name, row in FAULTS.items() if row.on == "generate" and row.connection]

# A reset that meets the client while it still writes is used up by the write: httpcore then reads an empty reply.
SEEN = {
    "drop_before": (httpx.ReadError, httpx.RemoteProtocolError),
    "reset_before": (httpx.ReadError, httpx.RemoteProtocolError),
    "drop_after": httpx.RemoteProtocolError,
    "reset_after": httpx.ReadError,
}


@pytest.mark.parametrize("name", ANSWERED)
@pytest.mark.parametrize("gateway", ["tokenhot", "newapi", "dashscope"])
def test_an_answered_fault_has_its_status_and_bills_what_the_table_says(sim, call, gateway, name):
    sim.fault(name)
    reply = call.post(gateway, body_for(gateway))
    row = FAULTS[name]
    assert reply.status_code == row.status
    assert (sim.state.posts, sim.state.billed) == (1, int(row.works))
    assert row.billed.startswith("yes") == row.works
    assert call.post(gateway, body_for(gateway)).status_code == 200


@pytest.mark.parametrize("name", ENDED)
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_an_ended_connection_gives_no_reply_and_counts_the_post(sim, call, gateway, name):
    sim.fault(name, gateway=gateway)
    with pytest.raises(SEEN[name]):
        call.post(gateway, body_for(gateway))
    assert (sim.state.posts, sim.state.billed) == (1, int(FAULTS[name].works))
    assert call.post(gateway, body_for(gateway)).status_code == 200


def test_a_connection_that_was_kept_alive_can_be_ended_before_the_next_request(sim, call):
    call.post("tokenhot", body_for("tokenhot"))
    sim.fault("reset_before")
    with pytest.raises(SEEN["reset_before"]):
        call.post("tokenhot", body_for("tokenhot"))
    assert (sim.state.posts, sim.state.billed, len(sim.state.bodies)) == (2, 1, 1)


def test_the_next_connection_can_be_ended_on_accept(sim):
    sim.fault("drop_on_accept")
    with httpx.Client() as client:
        with pytest.raises(httpx.TransportError):
            client.post(sim.base("tokenhot") + PATHS["tokenhot"], json=body_for("tokenhot"))
        assert client.get(sim.url + "/_state").json()["dropped_on_accept"] == 1
    assert sim.state.posts == 0


def test_a_hang_bills_and_then_answers(sim, call):
    sim.fault("hang", seconds=5)
    with pytest.raises(httpx.ReadTimeout):
        call.client.post(
            sim.base("dashscope") + PATHS["dashscope"],
            json=body_for("dashscope"),
            headers={"Authorization": "Bearer demo-key"},
            timeout=0.2,
        )
    assert (sim.state.posts, sim.state.billed) == (1, 1)
    sim.fault("hang", seconds=0)
    assert call.post("dashscope", body_for("dashscope")).status_code == 200


def test_retry_after_comes_in_seconds_and_as_a_date(sim, call):
    sim.fault("429_retry_after", seconds=7)
    sim.fault("429_retry_after_date", seconds=60)
    sim.fault("429")
    sim.fault("429_empty")
    replies = [call.post("tokenhot", body_for("tokenhot")) for _ in range(4)]
    assert [reply.status_code for reply in replies] == [429] * 4
    assert replies[0].headers["retry-after"] == "7"
    ahead = parsedate_to_datetime(replies[1].headers["retry-after"]).timestamp() - time.time()
    assert 55 < ahead < 65
    assert not any("retry-after" in reply.headers for reply in replies[2:])
    assert replies[3].content == b""


def test_moderation_keeps_its_code_natively_and_only_its_sentence_through_new_api(sim, call):
    for gateway in ("dashscope", "applerouter"):
        sim.fault("moderation", gateway=gateway)
    native_body = call.post("dashscope", body_for("dashscope")).json()
    assert native_body["code"] == "DataInspectionFailed"
    error = call.post("applerouter", body_for("applerouter")).json()["error"]
    assert error["code"] == "bad_response_status_code"
    assert "inappropriate content" in error["message"]


def test_errors_under_200_have_both_shapes(sim, call):
    sim.fault("error_200_openai")
    sim.fault("error_200_native")
    first, second = (call.post("onetoken", body_for("onetoken")) for _ in range(2))
    assert (first.status_code, first.json()["error"]["type"]) == (200, "ali_error")
    assert (second.status_code, second.json()["code"]) == (200, "DataInspectionFailed")


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_truncated_json_is_whole_on_the_wire_and_a_truncated_body_is_not(sim, call, gateway):
    sim.fault("truncated_json")
    reply = call.post(gateway, body_for(gateway))
    assert reply.status_code == 200
    with pytest.raises(ValueError):
        reply.json()
    sim.fault("truncated_body")
    with pytest.raises(httpx.RemoteProtocolError):
        call.post(gateway, body_for(gateway))
    assert sim.state.billed == 2


@pytest.mark.parametrize("name", ["zero_images", "null_data"])
@pytest.mark.parametrize("gateway", PATHS)
def test_a_reply_can_hold_no_image(sim, call, gateway, name):
    sim.fault(name)
    reply = call.post(gateway, body_for(gateway))
    assert (reply.status_code, image_urls(reply.json())) == (200, [])
    assert sim.state.billed == 1


@pytest.mark.parametrize("gateway", PATHS)
def test_lost_images_are_billed_and_only_the_last_is_told(sim, call, gateway):
    whole = len(image_urls(call.post(gateway, body_for(gateway, n=3)).json()))
    sim.fault("lost_images")
    left = image_urls(call.post(gateway, body_for(gateway, n=3)).json())
    assert (whole, len(left), sim.state.billed) == (3, 1, 6)
    assert call.image(left[0]).text["index"] == "2"


def test_lost_images_can_be_found_in_metadata(sim, call):
    sim.fault("lost_images_metadata")
    body = call.post("onetoken", body_for("onetoken", n=3)).json()
    assert len(body["data"]) == 1
    assert len(image_urls(body["metadata"])) == 3


@pytest.mark.parametrize("gateway", PATHS)
def test_a_partial_failure_bills_what_was_made(sim, call, gateway):
    sim.fault("partial_failure")
    body = call.post(gateway, body_for(gateway, n=3)).json()
    assert len(image_urls(body)) == 2
    assert sim.state.billed == 2


def test_a_failed_image_is_an_empty_item_and_has_its_code_in_metadata(sim, call):
    sim.fault("partial_failure")
    body = call.post("newapi", body_for("newapi", n=2)).json()
    assert body["data"][1]["url"] == body["data"][1]["b64_json"] == ""
    assert body["metadata"]["output"]["results"][1]["code"] == "InternalError.Algo"


def test_fewer_images_are_made_and_billed(sim, call):
    sim.fault("fewer_images")
    body = call.post("tokenhub", native("wan2.7-image", n=4, enable_sequential=True)).json()
    assert (len(image_urls(body)), sim.state.billed) == (3, 3)


def test_a_relative_url_needs_the_key_and_keeps_the_base_path(sim, call):
    sim.fault("relative_url")
    (item,) = call.post("openai-compatible", body_for("openai-compatible")).json()["data"]
    assert item["url"].startswith("/v1/images/")
    assert call.get("openai-compatible", item["url"]).content == sim.content(
        item["url"].removesuffix("/content")
    )
    assert call.client.get(sim.base("openai-compatible") + item["url"]).status_code == 401
    assert call.client.get(sim.url + item["url"]).status_code == 404


def test_a_server_path_is_no_url(sim, call):
    sim.fault("server_path")
    (item,) = call.post("openai-compatible", body_for("openai-compatible")).json()["data"]
    assert item["url"].startswith("/home/")


def test_a_fault_can_be_asked_by_header_and_by_prompt(sim, call):
    asked = call.post("tokenhot", body_for("tokenhot"), headers={"X-Simulator-Fault": "502"})
    assert asked.status_code == 502
    statuses = [
        call.post("tokenhot", body_for("tokenhot", "tea [fault:503_empty*2]")).status_code for _ in range(3)
    ]
    assert statuses == [503, 503, 200]
    always = [call.post("tokenhot", body_for("tokenhot", "tea [fault:500]")).status_code for _ in range(3)]
    assert always == [500, 500, 500]
    assert sim.state.faults.served() == {"502": 1, "503_empty": 2, "500": 3}


def test_a_fault_waits_for_its_gateway_and_prompt(sim, call):
    call.client.post(
        sim.url + "/_faults", json=[{"fault": "500", "gateway": "tokenhub", "match": "teapot", "times": 2}]
    )
    assert call.post("tokenhot", body_for("tokenhot", "teapot")).status_code == 200
    assert call.post("tokenhub", body_for("tokenhub", "cup")).status_code == 200
    assert [call.post("tokenhub", body_for("tokenhub", "teapot")).status_code for _ in range(3)] == [
        500,
        500,
        200,
    ]


def test_a_check_can_be_struck(sim, call):
    sim.fault("404", on="check")
    assert call.get("tokenhot", "/v1/models").status_code == 404
    assert call.get("tokenhot", "/v1/models").status_code == 200


def test_the_documentation_shows_the_table_of_faults():
    page = Path(__file__).parents[2] / "docs" / "simulator.md"
    assert table() in page.read_text(encoding="utf-8")
