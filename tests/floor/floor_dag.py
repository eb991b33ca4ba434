"""One Dag for each operator; what they ask for is named by the environment."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.qwenimage import QwenImageEditOperator, QwenImageGenerateOperator
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator

RETRIES = {"retries": 2, "retry_delay": timedelta(0)}
PREFIX = "s3://floor"

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
        images=os.environ.get("FLOOR_IMAGE", "https://images.example/a.png"),
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
