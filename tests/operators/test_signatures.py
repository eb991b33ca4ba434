"""Every operator names its arguments: an editor completes them, and Airflow fills them from ``default_args``."""

from __future__ import annotations

import inspect

import pytest

from airflow_provider_qwenimage.operators.base import QwenImageBaseOperator
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.qwenimage import (
    QwenImageEditOperator,
    QwenImageGenerateOperator,
    QwenImageSequenceOperator,
    QwenImageTranslateOperator,
)

# Design, section 5.
SHARED = (
    "prompt", "model", "size", "n", "negative_prompt", "seed", "parameters", "labels", "qwenimage_conn_id", "persist_to",
    "aws_conn_id", "deferrable", "poll_interval", "job_timeout", "on_unknown_outcome", "on_partial", "max_cost",
    "provenance", "retry_policy",
)  # fmt: skip
OPERATORS = {
    QwenImageGenerateOperator: {*SHARED},
    QwenImageEditOperator: {*SHARED, "images", "boxes"},
    QwenImageSequenceOperator: {*SHARED, "images"},
    QwenImageTranslateOperator: {*SHARED, "images", "source_lang", "target_lang", "terminologies"}
    - {"size", "n", "negative_prompt", "seed"},
    # Section 7; a batch says of every image where it is kept, and has no triggers.
    QwenImageBatchOperator: {*SHARED, "requests", "inputs_from", "filename", "manifest_format", "prompt_template", "extra_columns", "max_concurrency", "requests_per_minute", "max_images", "on_error", "resume"}
    - {"prompt", "deferrable", "on_partial"},
}  # fmt: skip
# Of another value than any default, and accepted as they are.
WRITTEN = {
    "prompt": "a teapot", "model": "wan2.7-image", "size": "2K", "n": 3, "negative_prompt": "text", "seed": 0,
    "parameters": {"watermark": False}, "qwenimage_conn_id": "ours", "persist_to": "s3://bucket/p/", "aws_conn_id": None,
    "deferrable": True, "poll_interval": 1.5, "job_timeout": 60.0, "on_unknown_outcome": "resubmit", "on_partial": "fail",
    "max_cost": 2.5,
    "retry_policy": None, "labels": {"sku": "A-1"}, "filename": "{labels[sku]}.{ext}", "manifest_format": "parquet", "prompt_template": "a {mug}", "extra_columns": "labels", "source_lang": "zh", "target_lang": "ja", "terminologies": {"a": "b"}, "images": ["https://h.example/a.png"], "boxes": [[]], "requests": ["a"], "inputs_from": ["data"], "max_concurrency": 2,
    "requests_per_minute": 9, "max_images": 7, "on_error": "continue", "resume": False, "provenance": "label",
}  # fmt: skip


def parameters_of(operator):
    return {
        name: parameter
        for name, parameter in inspect.signature(operator).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def kept_of(task, names):
    """What a task keeps of its arguments; the policy is Airflow's own attribute, where it has one."""
    return {name: getattr(task, name, None) for name in names}


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_signature_shows_every_argument(operator):
    assert set(parameters_of(operator)) == OPERATORS[operator]


@pytest.mark.parametrize("operator", [QwenImageEditOperator, QwenImageSequenceOperator])
def test_what_is_the_bases_is_named_as_in_the_base(operator):
    shown, bases = parameters_of(operator), parameters_of(QwenImageBaseOperator)
    other = {"n"} if operator is QwenImageSequenceOperator else set()  # a series is four images unless said

    assert {name for name in bases if shown[name] != bases[name]} == other


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_argument_arrives(operator):
    written = {name: WRITTEN[name] for name in OPERATORS[operator]}

    task = operator(task_id="t", pool="images", **written)

    assert kept_of(task, written) == written
    assert task.pool == "images"


@pytest.mark.parametrize("operator", OPERATORS)
def test_default_args_fill_every_argument_that_is_not_written(operator):
    written = {name: WRITTEN[name] for name in OPERATORS[operator]}

    task = operator(task_id="t", default_args={**written, "pool": "images"})
    own = operator(task_id="t", model="qwen-image-plus", default_args=written)

    assert (kept_of(task, written), task.pool) == (written, "images")
    assert own.model == "qwen-image-plus"


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_argument_that_nobody_knows_is_refused(operator):
    written = {name: WRITTEN[name] for name in OPERATORS[operator]}
    with pytest.raises(TypeError, match="promt"):
        operator(task_id="t", promt="a typo", **written)


@pytest.mark.parametrize("operator", [QwenImageEditOperator, QwenImageSequenceOperator])
def test_a_mapped_task_takes_default_args_partial_and_expanded_values(dag, operator):
    dag.default_args = {"size": "2K", "n": 2}
    with dag:
        mapped = operator.partial(
            task_id="t", model="wan2.7-image", images=["https://h.example/a.png"]
        ).expand(prompt=["a cat", "a dog"])

    tasks = [mapped.unmap({"prompt": prompt}) for prompt in ("a cat", "a dog")]

    assert [task.prompt for task in tasks] == ["a cat", "a dog"]
    assert {(task.model, task.size, task.n, tuple(task.images)) for task in tasks} == {
        ("wan2.7-image", "2K", 2, ("https://h.example/a.png",))
    }
