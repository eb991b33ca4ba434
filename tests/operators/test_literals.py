"""A value that an author typed is refused while the Dag is parsed; what is known only later is left alone."""

from __future__ import annotations

import pytest
from airflow.sdk import BaseOperator, task

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.qwenimage import (
    QwenImageEditOperator,
    QwenImageGenerateOperator,
    QwenImageSequenceOperator,
)
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator
from harness import InMemoryAirflow

RIGHT = {
    QwenImageGenerateOperator: {"prompt": "a cup"},
    QwenImageEditOperator: {"prompt": "a cup", "images": "https://x.test/a.png"},
    QwenImageSequenceOperator: {"prompt": "a cup"},
    QwenImageBatchOperator: {"requests": ["a cup"], "persist_to": "s3://bucket/x/"},
    QwenImageToS3Operator: {"images": "https://x.test/a.png", "s3_prefix": "s3://bucket/x/"},
}
ASKING = (QwenImageGenerateOperator, QwenImageEditOperator, QwenImageSequenceOperator)
MISTAKES = [
    *[
        (kind, name, value)
        for kind in (*ASKING, QwenImageBatchOperator)
        for name, value in [
            ("size", "large"),
            ("size", [1328]),
            ("size", "0x100"),
            ("n", 0),
            ("n", "two"),
            ("n", 1.5),
            ("seed", -1),
            ("persist_to", "b/x"),
            ("on_unknown_outcome", "resumbit"),
            ("poll_interval", 0),
            ("job_timeout", "soon"),
            ("provenance", "mark"),
        ]
    ],
    *[(kind, name, value) for kind in ASKING for name, value in [("prompt", " "), ("on_partial", "ignore")]],
    (QwenImageBatchOperator, "persist_to", ""),
    (QwenImageBatchOperator, "max_concurrency", 0),
    (QwenImageBatchOperator, "requests_per_minute", "0"),
    (QwenImageBatchOperator, "max_images", 0),
    (QwenImageBatchOperator, "on_error", "skip"),
    (QwenImageToS3Operator, "s3_prefix", "b/x"),
    (QwenImageToS3Operator, "if_exists", "overwrite"),
    (QwenImageToS3Operator, "filename", "{indx}"),
    (QwenImageToS3Operator, "max_concurrency", 0),
    (QwenImageToS3Operator, "max_image_bytes", "1 MiB"),
    (QwenImageToS3Operator, "on_error", "continue"),
    (QwenImageToS3Operator, "provenance", "sign"),
]


@pytest.mark.parametrize(("kind", "name", "value"), MISTAKES)
def test_a_typed_mistake_is_refused_when_the_dag_is_parsed(kind, name, value):
    with pytest.raises(InvalidRequest, match=rf"^{name}: .* Correct it in the task 'draw'\.") as caught:
        kind(task_id="draw", **{**RIGHT[kind], name: value})
    assert (caught.value.field, caught.value.billing) == (name, "no")


@pytest.mark.parametrize("kind", RIGHT)
def test_templates_and_what_comes_from_tasks_are_left_alone(kind, dag):
    names = kind._models()
    given = {name: "{{ params.x }}" for model in names for name in model.model_fields} | RIGHT[kind]
    given = {name: given[name] for name in kind.template_fields if name in given}
    with dag:
        upstream = BaseOperator(task_id="upstream")
        later = dict.fromkeys(given, upstream.output)
        kind(task_id="templates", **{**dict.fromkeys(given, "{% raw %}x{% endraw %}"), **RIGHT[kind]})
        kind(task_id="rendered", **dict.fromkeys(given, "{{ params.x }}"))
        kind(task_id="later", **later)


@pytest.mark.parametrize("kind", RIGHT)
def test_what_a_run_coerces_is_right(kind):
    given = {
        "size": "",
        "n": "2",
        "seed": "None",
        "poll_interval": "30",
        "max_concurrency": "4",
        "if_exists": "replace",
    }
    given |= {"filename": "{index:05d}.{ext}", "max_images": "", "requests_per_minute": "2.5"}
    kind(
        task_id="draw", **RIGHT[kind], **{name: given[name] for name in given if name in kind.template_fields}
    )


def test_a_typed_mistake_beside_mapped_values_is_refused_when_the_dag_is_parsed(dag):
    with dag, pytest.raises(InvalidRequest, match=r"^size: .* Correct it in the task 'draw'\."):
        QwenImageGenerateOperator.partial(task_id="draw", size="large").expand(prompt=["a", "b"])


def test_a_mapped_value_is_checked_when_its_task_runs(simulator, qwenimage_connection, dag):
    conn_id = qwenimage_connection("tokenhot", model="wan2.6-t2i")
    with dag:
        draw = QwenImageGenerateOperator.partial(task_id="draw", prompt="a cup", qwenimage_conn_id=conn_id)
        draw = draw.expand(size=["1:1", "large"])
    airflow = InMemoryAirflow()
    assert airflow.run(draw, map_index=0).state == "success"
    attempt = airflow.run(draw, map_index=1)
    assert str(attempt.error).startswith("size: must look like")
    assert (attempt.state, simulator.state.posts) == ("failed", 1)


def test_the_arguments_of_a_decorator_are_checked_and_its_prompt_is_not(dag):
    with pytest.raises(InvalidRequest, match=r"^size: must look like .* Correct it in the task 'draw'\."):

        @task.qwen_image(size="large")
        def draw():
            return "a cup"

    @task.qwen_image(size="{{ params.size }}", n=2)
    def paint(colour="red"):
        return f"a {colour} cup"

    with dag:
        paint.override(size="1:1")()
        paint.expand(colour=["red", "blue"])
        with pytest.raises(InvalidRequest, match=r"^size: must look like"):
            paint.override(size="large")()


@pytest.mark.parametrize("operation", ["edit", "sequence", "translate"])
def test_a_mistake_beside_a_mapped_function_is_refused_when_the_dag_is_parsed(dag, operation):
    with dag, pytest.raises(InvalidRequest, match=r"^persist_to: .* Correct it in the task 'draw'\."):

        @task.qwen_image(operation=operation, persist_to="b/x")
        def draw(colour):
            return {"prompt": f"a {colour} cup"}

        draw.expand(colour=["red", "blue"])
