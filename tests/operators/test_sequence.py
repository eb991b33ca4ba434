"""A series comes from one call, in order, with its captions, and says when it is shorter than asked."""

from __future__ import annotations

import base64
import os

import pytest

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.operators.qwenimage import QwenImageSequenceOperator
from harness import InMemoryAirflow, as_template
from operators.pictures import BLUE, RED, opened, order_drawn, picture

DASHSCOPE = ["dashscope", "dashscope-intl", "dashscope-us"]
GATEWAYS = ["tokenhot", "onetoken", "applerouter", "tokenhub", *DASHSCOPE]
WITH_CAPTIONS = [
    "tokenhot",
    "tokenhub",
    *DASHSCOPE,
]  # the other two answer in OpenAI's shape, which has no place


@pytest.fixture
def gateway(simulator):
    simulator.state.settings.job_seconds = 0.1
    return simulator


def sequence(conn_id, **arguments):
    given = {"prompt": "an orange cat through the seasons", "model": "wan2.7-image", "poll_interval": 0.05}
    return QwenImageSequenceOperator(task_id="sequence", qwenimage_conn_id=conn_id, **{**given, **arguments})


def interleaved(conn_id, **arguments):
    return sequence(conn_id, **{"model": "wan2.6-image", "n": 3, "size": "1280*1280", **arguments})


def steps(gateway, urls):
    """Return the place in the series that is written into each image."""
    return [int(opened(gateway.content(url)).text["step"]) for url in urls]


def data_url(colour):
    return "data:image/png;base64," + base64.b64encode(picture(colour)).decode()


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_series_of_four_keeps_its_order_on_every_gateway(gateway, qwenimage_connection, name):
    attempt = InMemoryAirflow().run(sequence(qwenimage_connection(name)))
    assert attempt.error is None
    body = gateway.state.bodies[-1]
    sent = body.get("parameters", body)
    assert (sent["enable_sequential"], sent["n"]) == (True, 4)
    assert steps(gateway, attempt.result) == [1, 2, 3, 4]
    assert [image["index"] for image in attempt.xcoms["images"]] == [0, 1, 2, 3]
    assert gateway.state.billed == 4


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_series_from_input_images_keeps_their_order(gateway, qwenimage_connection, moto_s3, name):
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = moto_s3.connection
    client = moto_s3.client()
    client.create_bucket(Bucket="series")
    for key, colour in (("red.png", RED), ("blue.png", BLUE)):
        client.put_object(Bucket="series", Key=key, Body=picture(colour))
    images = ["s3://series/blue.png", "s3://series/red.png"]

    attempt = InMemoryAirflow().run(sequence(qwenimage_connection(name), images=images, n=2))

    assert attempt.error is None
    assert [order_drawn(gateway.content(url), 2) for url in attempt.result] == [[BLUE, RED], [BLUE, RED]]
    assert steps(gateway, attempt.result) == [1, 2]


@pytest.mark.parametrize("name", GATEWAYS)
def test_text_and_images_in_turn_keep_their_order_on_every_gateway(gateway, qwenimage_connection, name):
    attempt = InMemoryAirflow().run(interleaved(qwenimage_connection(name)))
    assert attempt.error is None
    body = gateway.state.bodies[-1]
    sent = body.get("parameters", body)
    assert (sent["enable_interleave"], sent["max_images"], sent["n"]) == (True, 3, 1)
    assert steps(gateway, attempt.result) == [1, 2, 3]
    if name in WITH_CAPTIONS:
        captions = [f"Scene {step}: an orange cat through the seasons" for step in (1, 2, 3)]
        assert attempt.xcoms["texts"] == captions


@pytest.mark.parametrize("mode", ["incremental", "cumulative", "chunks"])
@pytest.mark.parametrize("name", DASHSCOPE)
def test_interleaving_over_sse_reads_frames_of_every_kind(gateway, qwenimage_connection, name, mode):
    gateway.state.settings.sse_mode = mode
    task = interleaved(qwenimage_connection(name), parameters={"stream": True}, images=data_url(BLUE))

    attempt = InMemoryAirflow().run(task)

    assert attempt.error is None
    seen = gateway.state.requests[-1]
    assert seen.headers["x-dashscope-sse"] == "enable"
    assert seen.path.endswith("/multimodal-generation/generation")
    assert "x-dashscope-async" not in seen.headers
    assert steps(gateway, attempt.result) == [1, 2, 3]
    assert [order_drawn(gateway.content(url), 1) for url in attempt.result] == [[BLUE]] * 3
    assert attempt.xcoms["texts"] == [
        f"Scene {step}: an orange cat through the seasons" for step in (1, 2, 3)
    ]


@pytest.mark.parametrize("name", DASHSCOPE)
def test_interleaving_without_a_word_about_streams_is_a_job(gateway, qwenimage_connection, name):
    attempt = InMemoryAirflow().run(interleaved(qwenimage_connection(name)))
    assert attempt.xcoms["job_id"]
    posted = next(seen for seen in gateway.state.requests if seen.kind == "generate")
    assert posted.headers["x-dashscope-async"] == "enable"
    assert "stream" not in posted.body["parameters"]


def test_a_series_in_the_triggerer_is_the_same_series(gateway, qwenimage_connection):
    attempt = InMemoryAirflow().run_to_end(sequence(qwenimage_connection("dashscope"), deferrable=True))
    assert attempt.error is None
    assert steps(gateway, attempt.result) == [1, 2, 3, 4]
    assert gateway.state.posts == 1


@pytest.mark.parametrize("name", ["tokenhot", "tokenhub", "dashscope"])
def test_a_series_that_ends_early_is_a_warning_and_its_images_are_kept(
    gateway, qwenimage_connection, name, capsys
):
    gateway.fault("fewer_images")
    attempt = InMemoryAirflow().run(sequence(qwenimage_connection(name), on_partial="fail"))
    assert attempt.state == "success"
    assert steps(gateway, attempt.result) == [1, 2, 3]
    assert "The series has 3 images of 4 asked for" in capsys.readouterr().out


def test_a_whole_series_warns_of_nothing(gateway, qwenimage_connection, capsys):
    InMemoryAirflow().run(sequence(qwenimage_connection()))
    assert "asked for" not in capsys.readouterr().out


def test_a_series_is_mapped_over_prompts_and_its_count_is_templated(gateway, qwenimage_connection, dag):
    conn_id = qwenimage_connection()
    airflow = InMemoryAirflow(dag_id=dag.dag_id)
    with dag:
        task = QwenImageSequenceOperator.partial(
            task_id="sequence", model="wan2.7-image", qwenimage_conn_id=conn_id, n="{{ 1 + 1 }}"
        ).expand(prompt=["a cat", "a dog"])
    results = [airflow.run(task, map_index=index).result for index in (0, 1)]
    assert [steps(gateway, urls) for urls in results] == [[1, 2], [1, 2]]
    assert [body["input"]["messages"][0]["content"][0]["text"] for body in gateway.state.bodies] == [
        "a cat",
        "a dog",
    ]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"n": 13}, "n"),
        ({"n": 0}, "n"),
        ({"n": "many"}, "n"),
        ({"images": ["https://cdn.example/a.png"] * 10}, "images"),
        ({"model": "qwen-image-plus"}, "model"),
        ({"model": "wan2.6-image", "n": 6}, "n"),
        ({"model": "wan2.6-image", "images": ["https://cdn.example/a.png"] * 2}, "images"),
        ({"parameters": {"enable_sequential": False}}, "parameters.enable_sequential"),
    ],
)
def test_what_the_vendor_would_refuse_is_refused_without_a_request(
    gateway, qwenimage_connection, arguments, field
):
    attempt = InMemoryAirflow().run(sequence(qwenimage_connection(), **as_template(arguments)))
    assert isinstance(attempt.error, InvalidRequest)
    assert attempt.error.field == field
    assert gateway.state.posts == 0
