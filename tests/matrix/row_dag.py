"""One Dag for each operator; what they ask for is named by the environment."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, get_current_context, task

from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.qwenimage import QwenImageEditOperator, QwenImageGenerateOperator
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator

RETRIES = {"retries": 2, "retry_delay": timedelta(0)}
PREFIX = "s3://row"

with DAG("facts", schedule=None):

    @task
    def facts() -> None:
        """Write down what this Airflow has of what the operators use where it is there."""
        from airflow.providers.common.compat.sdk import BaseOperator

        has = {
            "a retry resumes what is paid": get_current_context().get("task_state_store") is not None,
            "retry policy": "retry_policy" in BaseOperator.__init__.__annotations__,
        }
        Path(os.environ["ROW_FACTS"]).write_text(json.dumps(has), encoding="utf-8")

    facts()
with DAG("hook", schedule=None):

    @task
    def called() -> list[str]:
        """Ask by way of the hook, at once and asynchronously."""
        import asyncio

        from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook

        async def asked() -> list[str]:
            async with QwenImageHook() as hook:
                return list((await hook.agenerate("a jug", model="qwen-image-plus")).urls)

        with QwenImageHook() as hook:
            return [*hook.generate("a bowl", model="qwen-image-plus").urls, *asyncio.run(asked())]

    called()
with DAG("jobs", schedule=None):
    QwenImageGenerateOperator(
        task_id="generate",
        prompt="a teapot",
        model="wan2.2-t2i-plus",
        qwenimage_conn_id="jobs",
        deferrable=True,
        poll_interval=0.2,
        **RETRIES,
    )
with DAG("generate", schedule=None):
    QwenImageGenerateOperator(
        task_id="generate", prompt="a teapot", model="qwen-image-plus", **RETRIES, deferrable=False
    )
with DAG("persisted", schedule=None):
    QwenImageGenerateOperator(
        task_id="generate", prompt="a teapot", model="qwen-image-plus", persist_to=f"{PREFIX}/one/", **RETRIES
    )
with DAG("edit", schedule=None):
    QwenImageEditOperator(
        task_id="edit",
        prompt="paint it",
        images=os.environ.get("ROW_IMAGE", "https://images.example/a.png"),
        model="qwen-image-edit-plus",
        persist_to=f"{PREFIX}/edit/",
        **RETRIES,
    )
with DAG("batch", schedule=None):
    QwenImageBatchOperator(
        task_id="batch",
        requests=[{"prompt": "a teapot"}, {"prompt": "a kettle"}],
        model="qwen-image-plus",
        persist_to=f"{PREFIX}/batch/",
        **RETRIES,
    )
with DAG("transfer", schedule=None):
    made = QwenImageGenerateOperator(task_id="generate", prompt="a mug", model="qwen-image-plus", **RETRIES)
    QwenImageToS3Operator(
        task_id="store", images=made.output["images"], s3_prefix=f"{PREFIX}/transfer/", **RETRIES
    )
