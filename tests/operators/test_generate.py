"""Prompts become URLs, exactly once, and everything an author typed arrives."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from harness import InMemoryAirflow, as_template

GATEWAYS = ["tokenhot", "onetoken", "applerouter", "tokenhub", "dashscope", "dashscope-intl", "dashscope-us"]
GATEWAYS += ["dashscope-eu", "dashscope-compatible", "qwencloud"]


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_every_gateway_returns_a_list_of_urls_and_pushes_the_keys(simulator, qwenimage_connection, gateway):
    conn_id = qwenimage_connection(gateway, price_per_image={"qwen-image-plus": 0.2, "currency": "CNY"})
    task = QwenImageGenerateOperator(
        task_id="generate",
        prompt="a teapot for {{ params.season }}",
        params={"season": "spring"},
        model="qwen-image-plus",
        size="1328*1328",
        seed=0,
        poll_interval=0.05,
        qwenimage_conn_id=conn_id,
    )

    attempt = InMemoryAirflow().run(task)

    assert attempt.error is None
    (url,) = attempt.result
    (image,) = attempt.xcoms["images"]
    assert image["url"] == url
    assert image["prompt"] == "a teapot for spring"
    assert (image["gateway"], image["model"], image["seed"]) == (gateway, "qwen-image-plus", 0)
    assert attempt.xcoms["usage"]["cost"] == 0.2


def task_for(conn_id, **arguments):
    given = {
        "prompt": "a teapot",
        "model": "qwen-image-plus",
        "size": "16:9",
        "poll_interval": 0.1,
        **arguments,
    }
    return QwenImageGenerateOperator(task_id="generate", qwenimage_conn_id=conn_id, **given)


@pytest.mark.parametrize("gateway", [*GATEWAYS, "openai-compatible"])
def test_persisted_images_are_what_the_gateway_drew(simulator, qwenimage_connection, s3, bucket, gateway):
    conn_id = qwenimage_connection(gateway)

    attempt = InMemoryAirflow().run(task_for(conn_id, persist_to=f"s3://{bucket}/a/"))

    assert attempt.error is None
    (uri,) = attempt.result
    assert uri.startswith(f"s3://{bucket}/a/000-")
    (stored,) = attempt.xcoms["stored"]
    assert attempt.xcoms["images"][0]["url"] == uri == stored["uri"]
    assert attempt.xcoms["manifest"] == {"uri": f"s3://{bucket}/a/manifest.json"}
    body = s3.client().get_object(Bucket=bucket, Key=uri.removeprefix(f"s3://{bucket}/"))["Body"].read()
    assert (stored["width"], stored["height"]) == (1664, 928)
    assert body in drawn(simulator)


def drawn(simulator):
    gallery = simulator.state.gallery
    return [gallery.content(file) for file in gallery._files.values()]


def test_a_gateway_known_to_answer_inline_is_refused_without_persist_to_before_anything_is_made(
    simulator, qwenimage_connection
):
    conn_id = qwenimage_connection("xinference", host=f"{simulator.url}/openai-compatible")
    attempt = InMemoryAirflow().run(task_for(conn_id, retries=2))
    assert attempt.state == "failed"
    assert "persist_to: is required: Xinference answers with the image itself" in str(attempt.error)
    assert simulator.state.posts == 0


def test_an_engine_that_answers_inline_keeps_the_paid_images_and_asks_for_persist_to(
    simulator, qwenimage_connection
):
    attempt = InMemoryAirflow().run_to_end(task_for(qwenimage_connection("openai-compatible"), retries=2))

    assert (attempt.state, attempt.try_number) == ("failed", 1)
    message = str(attempt.error)
    assert "persist_to" in message
    folder = Path(message.partition("They lie in ")[2].partition(" on this worker")[0])
    (kept,) = folder.iterdir()
    assert kept.read_bytes() in drawn(simulator)
    shutil.rmtree(folder)


def test_a_bucket_that_is_not_there_is_found_before_paying(simulator, qwenimage_connection, moto_s3):
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = moto_s3.connection
    task = task_for(qwenimage_connection("tokenhot"), persist_to="s3://no-such-bucket/a/", retries=1)

    attempt = InMemoryAirflow().run(task)

    assert attempt.state == "failed"
    assert "Nothing was sent or billed" in str(attempt.error)
    assert simulator.state.posts == 0


def test_a_copy_that_fails_costs_a_retry_and_no_image(simulator, qwenimage_connection, s3, bucket):
    simulator.fault("file_404", times=1, on="file")
    airflow = InMemoryAirflow()
    task = task_for(qwenimage_connection("tokenhot"), persist_to=f"s3://{bucket}/a/", retries=1)

    first, second = airflow.run(task), airflow.run(task)

    assert first.state == "up_for_retry"
    assert first.result is None
    assert first.xcoms["images"][0]["url"].startswith("http://")
    assert second.state == "success"
    assert simulator.state.posts == 1


def test_a_dead_link_ends_the_task_because_a_retry_meets_it_again(
    simulator, qwenimage_connection, s3, bucket
):
    simulator.fault("expired_url", times=1)
    task = task_for(qwenimage_connection("tokenhot"), persist_to=f"s3://{bucket}/a/", retries=2)

    attempt = InMemoryAirflow().run_to_end(task)

    assert (attempt.state, attempt.try_number) == ("failed", 1)
    assert "expired" in str(attempt.error)
    assert simulator.state.posts == 1


def test_base64_asked_for_without_a_place_to_store_it_is_refused(simulator, qwenimage_connection):
    task = task_for(qwenimage_connection("openai-compatible"), parameters={"response_format": "b64_json"})

    attempt = InMemoryAirflow().run(task)

    assert "persist_to: is required" in str(attempt.error)
    assert simulator.state.posts == 0


@pytest.mark.parametrize("argument", ["model", "size", "negative_prompt", "seed", "persist_to"])
def test_a_template_that_renders_to_none_means_unset(simulator, qwenimage_connection, argument):
    conn_id = qwenimage_connection("tokenhot", model="qwen-image-plus")

    attempt = InMemoryAirflow().run(task_for(conn_id, **{argument: "{{ none }}"}))

    assert attempt.error is None
    (body,) = simulator.state.bodies
    assert "None" not in str(body)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"prompt": " "}, "prompt"),
        ({"n": 0}, "n:"),
        ({"n": "two"}, "n:"),
        ({"size": "huge"}, "size"),
        ({"seed": -1}, "seed"),
        ({"persist_to": "/images"}, "persist_to"),
        ({"on_partial": "shrug"}, "on_partial"),
        ({"size": "1000*1000"}, "size"),
        ({"n": 2}, "n:"),
    ],
)
def test_bad_input_is_refused_before_any_request(simulator, qwenimage_connection, arguments, named):
    simulator.state.reset()

    attempt = InMemoryAirflow().run(
        task_for(qwenimage_connection("tokenhot"), retries=2, **as_template(arguments))
    )

    assert attempt.state == "failed"
    assert named in str(attempt.error)
    assert "Nothing was billed" in str(attempt.error)
    assert simulator.state.posts == 0


@pytest.mark.parametrize(("on_partial", "state"), [("warn", "success"), ("fail", "failed")])
def test_a_partial_failure_pushes_what_was_paid(simulator, qwenimage_connection, on_partial, state):
    simulator.state.reset()
    simulator.fault("partial_failure")
    task = task_for(
        qwenimage_connection("dashscope"),
        model="wan2.5-t2i-preview",
        n=2,
        poll_interval=0.05,
        on_partial=on_partial,
        retries=2,
    )

    attempt = InMemoryAirflow().run_to_end(task)

    assert attempt.state == state
    assert len(attempt.xcoms["images"]) == 1
    assert attempt.xcoms["failures"][0]["reason"]
    assert simulator.state.posts == 1


def test_it_maps_over_prompts(simulator, qwenimage_connection, dag):
    from airflow.sdk.definitions.mappedoperator import MappedOperator

    with dag:
        mapped = QwenImageGenerateOperator.partial(
            task_id="generate", model="qwen-image-plus", qwenimage_conn_id=qwenimage_connection("tokenhot")
        ).expand(prompt=["a teapot", "a kettle"])

    assert isinstance(mapped, MappedOperator)
    task = mapped.unmap({"prompt": "a kettle"})
    assert task.prompt == "a kettle"
    assert task.retry_policy is not None


def test_default_args_reach_the_retry_policy(dag):
    from airflow.sdk import DAG

    with DAG("other", schedule=None, default_args={"retry_policy": None}):
        task = QwenImageGenerateOperator(task_id="generate", prompt="a teapot")
    assert task.retry_policy is None


def test_a_task_told_to_push_no_xcom_pushes_none(simulator, qwenimage_connection):
    attempt = InMemoryAirflow().run(task_for(qwenimage_connection("tokenhot"), do_xcom_push=False))
    assert attempt.state == "success"
    assert attempt.xcoms == {}


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("{{ dag_run.conf.get('prompt') }}", "prompt: must say what the image shows, got 'None'"),
        ("{{ params.wish }}", "prompt: holds {{, a template that was not rendered: 'a {{ thing }}'"),
    ],
)
def test_a_prompt_that_a_template_did_not_give_is_refused_before_it_is_paid(
    simulator, qwenimage_connection, prompt, said
):
    task = task_for(
        qwenimage_connection("tokenhot"), prompt=prompt, params={"wish": "a {{ thing }}"}, retries=2
    )
    attempt = InMemoryAirflow().run(task)
    assert attempt.state == "failed"
    assert str(attempt.error).startswith(said)
    assert simulator.state.posts == 0
