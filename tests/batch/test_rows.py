"""Rows are read as a stream and checked before the first request; all bad ones are named at once."""

from __future__ import annotations

import json

import pytest

from airflow_provider_qwenimage.exceptions import InvalidRequest
from harness import InMemoryAirflow


def run(task):
    return InMemoryAirflow().run_to_end(task)


def lines(*rows):
    return "\n".join(
        row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows
    ).encode()


def test_requests_come_from_json_lines_in_s3(gateway, batch, shelf):
    uri = shelf.put("prompts.jsonl", lines({"prompt": "a mug\u2028on a rock", "seed": 0}, "", '"a lamp"'))

    attempt = run(batch(uri))

    assert attempt.error is None
    images = shelf.manifest()["images"]
    assert [(image["prompt"], image["seed"]) for image in images] == [
        ("a mug\u2028on a rock", 0),
        ("a lamp", None),
    ]


def test_requests_come_from_csv_in_s3_and_an_empty_cell_says_nothing(gateway, batch, shelf):
    text = '\ufeffprompt,size,seed,parameters\r\n"a mug,\r\nwith steam",1328*1328,,\r\na lamp,,7,"{""watermark"": false}"\r\n'
    uri = shelf.put("prompts.csv", text.encode())

    attempt = run(batch(uri))

    assert attempt.error is None
    mug, lamp = (body for body in sorted(gateway.state.bodies, key=str))
    assert lamp["input"]["messages"][0]["content"][0]["text"] == "a mug,\r\nwith steam"
    assert (mug["parameters"]["seed"], mug["parameters"]["watermark"]) == (7, False)


def test_every_bad_row_is_named_with_line_and_field_before_the_first_request(gateway, batch, shelf):
    rows = lines(
        {"prompt": "fine"},
        {"prompt": ""},
        "{not json",
        {"prompt": "fine", "size": "large"},
        {"prompt": "fine", "colour": "red"},
        {"prompt": "fine", "operation": "paint"},
        {"prompt": "fine", "size": "64*64"},
        "[1]",
    )

    attempt = run(batch(shelf.put("prompts.jsonl", rows)))

    message = str(attempt.error)
    assert isinstance(attempt.error, InvalidRequest)
    assert "7 of 8 cannot be sent" in message
    for said in (
        "line 2, prompt: ",
        "line 3, row: is not JSON",
        "line 4, size: must look like",
        "line 5, colour: is not known",
        "line 6, operation: must be one of",
        "line 7, size: 64*64",
        "line 8, request: must be an object",
    ):
        assert said in message
    assert gateway.state.posts == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"prompt\r\na mug,too much\r\n", "line 2, row: has more cells"),
        (b'prompt,size\r\n"a "mug",\r\n', "line 2, row: is not CSV"),
        (b"prompt\r\na m\xffg\r\n", "is not UTF-8"),
        (b"", "holds no request"),
    ],
)
def test_a_broken_csv_is_told(gateway, batch, shelf, text, said):
    attempt = run(batch(shelf.put("prompts.csv", text)))

    assert said in str(attempt.error)
    assert gateway.state.posts == 0


@pytest.mark.parametrize("requests", ["a red fox", 7, {"prompt": "x"}, "s3://bucket/prompts.xlsx", []])
def test_what_holds_no_rows_is_refused(gateway, batch, requests):
    attempt = run(batch(requests))

    assert isinstance(attempt.error, InvalidRequest)
    assert attempt.error.field == "requests"


def test_a_rendered_list_and_shared_defaults_make_requests(gateway, batch):
    task = batch("[{'prompt': 'a mug', 'parameters': {'watermark': True}}, {'prompt': 'a lamp', 'seed': 3}]")
    task.seed, task.parameters = 1, {"prompt_extend": False}

    assert run(task).error is None
    parameters = {
        body["input"]["messages"][0]["content"][0]["text"]: body["parameters"]
        for body in gateway.state.bodies
    }
    assert parameters["a mug"].items() >= {"watermark": True, "prompt_extend": False, "seed": 1}.items()
    assert parameters["a lamp"]["seed"] == 3
