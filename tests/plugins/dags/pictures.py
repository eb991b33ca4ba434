"""A Dag whose run the gallery shows, and one that its users may not see."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_qwenimage.operators.approval import QwenImageApprovalOperator
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator

for name in ("pictures", "secrets"):
    with DAG(name, schedule=None):
        generate = QwenImageGenerateOperator(
            task_id="generate", prompt="<img src=x onerror=alert(1)>", model="wan2.6-t2i", size="1:1", n=2
        )
        store = QwenImageToS3Operator(
            task_id="store", images=generate.output["images"], s3_prefix=f"s3://gallery/{name}/"
        )

        @task
        def pick(stored: list[dict[str, Any]], ti: Any = None) -> None:
            """Push what an approval pushes before it waits: a person whom nobody plays would be waited for."""
            ti.xcom_push(key="candidates", value=stored)
            ti.xcom_push(key="approval", value={"state": "asked", "minimum": 1, "maximum": None, "count": 2})

        pick(store.output["stored"])

# Waits for a person.
with DAG("chosen", schedule=None):
    QwenImageApprovalOperator(task_id="pick", images="s3://gallery/pictures/", subject="Which of the two?")

# Pushes its manifest only.
with DAG("batch", schedule=None):
    QwenImageBatchOperator(
        task_id="store",
        requests=[{"prompt": "a mug"}, {"prompt": "a lamp"}],
        model="qwen-image-plus",
        size="1:1",
        persist_to="s3://gallery/batch/",
    )
