"""Dags whose runs are looked at: a choice among many images, and tasks that store while somebody looks."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_qwenimage.operators.approval import QwenImageApprovalOperator
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.qwenimage import (
    QwenImageGenerateOperator,
    QwenImageSequenceOperator,
)
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator

BUCKET = "s3://marketing-assets"
GATEWAY = "looked_at"

with DAG("choose_many", schedule=None):

    @task
    def stored(params: dict[str, Any]) -> list[dict[str, Any]]:
        """Return image objects of one content, as a transfer would."""
        content = {"content_type": "image/png", "bytes": params["bytes"], "sha256": params["sha256"]}
        known = {**content, "url": None, "width": 400, "height": 400}
        return [
            {**known, "uri": f"{BUCKET}/many/{at:05d}.png", "index": at, "prompt": f"mug {at}"}
            for at in range(params["count"])
        ]

    QwenImageApprovalOperator(task_id="pick", subject="Which of all these?", images=stored())

with DAG("watch_batch", schedule=None):
    QwenImageBatchOperator(
        task_id="campaign",
        requests=[{"prompt": f"mug {at}"} for at in range(8)],
        model="qwen-image-plus",
        size="1:1",
        max_concurrency=1,
        persist_to=BUCKET + "/watched/{{ run_id }}/",
        qwenimage_conn_id=GATEWAY,
    )

with DAG("watch_tasks", schedule=None):
    generate = QwenImageGenerateOperator(
        task_id="generate",
        prompt="a mug",
        model="wan2.6-t2i",
        size="1:1",
        n=2,
        persist_to=BUCKET + "/generated/{{ run_id }}/",
        qwenimage_conn_id=GATEWAY,
    )
    sequence = QwenImageSequenceOperator(
        task_id="sequence",
        prompt="a mug, and where it is carried",
        model="wan2.6-image",
        n=3,
        persist_to=BUCKET + "/sequence/{{ run_id }}/",
        qwenimage_conn_id=GATEWAY,
    )
    publish = QwenImageToS3Operator(
        task_id="publish", images=generate.output["stored"], s3_prefix=BUCKET + "/published/{{ run_id }}/"
    )
    generate >> sequence >> publish

with DAG("watch_question", schedule=None):
    made = QwenImageGenerateOperator(
        task_id="generate",
        prompt="a mug to choose",
        model="qwen-image-plus",
        persist_to=BUCKET + "/asked/{{ run_id }}/",
        qwenimage_conn_id=GATEWAY,
    )
    QwenImageApprovalOperator(task_id="pick", subject="Is it this one?", images=made.output["stored"])
