"""``@task.qwen_image``: what a function returns is the request, as it is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from airflow.sdk import DAG, task

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.get_provider_info import get_provider_info
from harness import InMemoryAirflow

PHOTO = "https://cdn.example.com/photo.png"


@pytest.fixture
def gateway(simulator):
    simulator.state.settings.job_seconds = 0.1
    return simulator


def operator_of(decorated, *arguments, **more):
    with DAG("harness", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        return decorated(*arguments, **more).operator


def sent(gateway):
    body = gateway.state.bodies[-1]
    content = body["input"]["messages"][0]["content"]
    return {**body["parameters"], "model": body["model"], "content": content}


def test_a_function_returns_a_prompt(gateway, qwenimage_connection):
    @task.qwen_image(model="qwen-image-plus", size="1328*1328", qwenimage_conn_id=qwenimage_connection())
    def poster(what):
        """Draw a poster."""
        return f"a poster of {what}"

    operator = operator_of(poster, "a teapot")
    attempt = InMemoryAirflow().run(operator)

    assert (attempt.error, operator.task_id, operator.doc_md) == (None, "poster", "Draw a poster.")
    assert sent(gateway) == {
        "model": "qwen-image-plus",
        "content": [{"text": "a poster of a teapot"}],
        "size": "1328*1328",
        "n": 1,
    }
    assert attempt.result == [image["url"] for image in attempt.xcoms["images"]]


def test_a_bare_decorator_uses_the_connections_model(gateway, qwenimage_connection):
    qwenimage_connection(model="qwen-image-plus")

    @task.qwen_image
    def poster():
        return "a poster"

    assert InMemoryAirflow().run(operator_of(poster)).error is None
    assert sent(gateway)["model"] == "qwen-image-plus"


def test_returned_text_is_not_rendered_and_arguments_are(gateway, qwenimage_connection):
    @task.qwen_image(
        model="{{ params.model }}",
        qwenimage_conn_id=qwenimage_connection(),
        params={"model": "qwen-image-plus"},
    )
    def poster(season):
        return f"{season} {{{{ var.value.secret }}}} {{% nonsense"

    attempt = InMemoryAirflow(variables={"secret": "leaked"}).run(operator_of(poster, "{{ run_id }}"))

    assert attempt.error is None
    assert sent(gateway)["content"] == [{"text": "manual__2026-11-21 {{ var.value.secret }} {% nonsense"}]
    assert sent(gateway)["model"] == "qwen-image-plus"


def test_a_function_that_returns_the_word_for_nothing_is_refused(gateway, qwenimage_connection):
    @task.qwen_image(model="qwen-image-plus", qwenimage_conn_id=qwenimage_connection())
    def poster():
        return "None"

    attempt = InMemoryAirflow().run(operator_of(poster))
    assert str(attempt.error).startswith("prompt: must say what the image shows")
    assert gateway.state.posts == 0


def test_a_function_reads_the_context(gateway, qwenimage_connection):
    @task.qwen_image(model="qwen-image-plus", qwenimage_conn_id=qwenimage_connection())
    def poster(*, run_id=None):
        return f"a poster for {run_id}"

    InMemoryAirflow().run(operator_of(poster))
    assert sent(gateway)["content"] == [{"text": "a poster for manual__2026-11-21"}]


def test_a_function_returns_request_fields_that_override_the_decorators(gateway, qwenimage_connection):
    @task.qwen_image(model="qwen-image-2.0", n=1, seed=7, qwenimage_conn_id=qwenimage_connection())
    def posters() -> dict[str, object]:  # the annotation must not make Airflow unroll the result
        return {"prompt": "posters", "n": 3, "size": [512, 512], "parameters": {"watermark": False}}

    attempt = InMemoryAirflow().run(operator_of(posters))

    assert attempt.error is None
    assert len(attempt.result) == 3
    fields = sent(gateway)
    assert (fields["n"], fields["size"], fields["watermark"], fields["seed"]) == (3, "512*512", False, 7)


def test_edit_takes_images_from_the_decorator_or_the_function(gateway, qwenimage_connection):
    @task.qwen_image(
        operation="edit", model="qwen-image-2.0", images=PHOTO, qwenimage_conn_id=qwenimage_connection()
    )
    def brighter():
        return "brighter"

    @task.qwen_image(operation="edit", model="qwen-image-2.0", qwenimage_conn_id="qwenimage_default")
    def beside(photos):
        return {"prompt": "put image 1 beside image 2", "images": photos}

    for operator, images in (
        (operator_of(brighter), [PHOTO]),
        (operator_of(beside, [PHOTO, PHOTO + "?2"]), [PHOTO, PHOTO + "?2"]),
    ):
        assert InMemoryAirflow().run(operator).error is None
        assert [part["image"] for part in sent(gateway)["content"] if "image" in part] == images


def test_sequence_asks_for_a_series(gateway, qwenimage_connection):
    @task.qwen_image(operation="sequence", model="wan2.7-image", qwenimage_conn_id=qwenimage_connection())
    def seasons():
        return "a cat in four seasons"

    assert len(InMemoryAirflow().run(operator_of(seasons)).result) == 4
    assert sent(gateway)["enable_sequential"] is True


def test_a_deferred_function_is_called_once(gateway, qwenimage_connection):
    calls = []
    conn_id = qwenimage_connection("dashscope")

    @task.qwen_image(model="qwen-image-plus", deferrable=True, poll_interval=0.05, qwenimage_conn_id=conn_id)
    def poster():
        calls.append("called")
        return f"poster number {len(calls)}"

    airflow, operator = InMemoryAirflow(), operator_of(poster)
    attempt = airflow.run_to_end(operator)

    assert (attempt.error, calls) == (None, ["called"])
    assert attempt.xcoms["images"][0]["prompt"] == "poster number 1"
    assert airflow.stored(operator)["qwenimage"]["phase"] == "done"
    airflow.lose_report(operator)
    calls.clear()
    assert airflow.run(operator).result == attempt.result
    assert gateway.state.posts == 1, "the same prompt again is replayed from the record"


def test_a_function_is_mapped(gateway, qwenimage_connection, dag):
    conn_id = qwenimage_connection()

    @task.qwen_image(model="qwen-image-plus", qwenimage_conn_id=conn_id)
    def poster(what):
        return f"a poster of {what}"

    with dag:
        mapped = poster.expand(what=["tea", "coffee"]).operator
    airflow = InMemoryAirflow(dag_id=dag.dag_id)
    assert [airflow.run(mapped, map_index=index).error for index in (0, 1)] == [None, None]
    texts = [body["input"]["messages"][0]["content"] for body in gateway.state.bodies]
    assert texts == [[{"text": "a poster of tea"}], [{"text": "a poster of coffee"}]]


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (["one", "two"], "must be a prompt or a dict of request fields, got list"),
        (None, "got NoneType"),
        (
            {"prompt": "x", "persist_to": "s3://b/"},
            "persist_to is no field of generate; known are prompt, model",
        ),
        ({"prompt": "x", "images": [PHOTO]}, "images is no field of generate"),
        ({"n": 1}, "has no prompt"),
        ("  ", "prompt: must not be empty"),
        ({"prompt": "x", "n": "many"}, "n: must be a whole number"),
    ],
)
def test_what_is_no_request_is_refused_without_one(gateway, qwenimage_connection, returned, said):
    @task.qwen_image(model="qwen-image-plus", retries=2, qwenimage_conn_id=qwenimage_connection())
    def poster():
        return returned

    attempt = InMemoryAirflow().run_to_end(operator_of(poster))
    assert isinstance(attempt.error, InvalidRequest)
    assert said in str(attempt.error)
    assert (attempt.try_number, gateway.state.posts) == (1, 0)


def test_an_unknown_operation_is_told_when_the_dag_is_parsed():
    with pytest.raises(ValueError, match="one of generate, edit, sequence, translate, got 'upscale'"):
        task.qwen_image(operation="upscale")


def test_a_prompt_beside_a_function_is_told_when_the_dag_is_parsed():
    @task.qwen_image(prompt="a teapot")
    def poster():
        return "a poster"

    with pytest.raises(TypeError, match="prompt"):
        operator_of(poster)


def test_the_decorator_is_registered():
    (entry,) = get_provider_info()["task-decorators"]
    assert entry["name"] == "qwen_image"
    assert entry["class-name"] == f"{task.qwen_image.__module__}.{task.qwen_image.__name__}"
