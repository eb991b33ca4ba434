"""The Dags that are killed, cleared and marked; what they ask for is in the configuration of their runs."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator

PROMPT = "{{ dag_run.conf['prompt'] }}"
IMAGE = {"qwenimage_conn_id": "tokenhot", "model": "qwen-image-plus"}
JOB = {"qwenimage_conn_id": "dashscope", "model": "wan2.5-t2i-preview", "poll_interval": 0.5}


class Lingering(QwenImageGenerateOperator):
    """Has its images and does not end: what a worker looks like that dies at the last moment."""

    def post_execute(self, context: Any, result: Any = None) -> None:
        if context["ti"].try_number == 1:
            (Path(os.environ["E2E_SCRATCH"]) / self.dag_id).touch()
            time.sleep(600)


def dag(dag_id: str) -> DAG:
    return DAG(dag_id, schedule=None, default_args={"retries": 3, "retry_delay": timedelta(seconds=1)})


with dag("image"):
    QwenImageGenerateOperator(task_id="generate", prompt=PROMPT, **IMAGE)

with dag("image_lingering"):
    Lingering(task_id="generate", prompt=PROMPT, **IMAGE)

with dag("job_lingering"):
    Lingering(task_id="generate", prompt=PROMPT, deferrable=True, **JOB)

with dag("image_stored"):
    QwenImageGenerateOperator(
        task_id="generate", prompt=PROMPT, persist_to="s3://images/{{ run_id }}/", aws_conn_id="s3", **IMAGE
    )

with dag("job_on_the_worker"):
    QwenImageGenerateOperator(task_id="generate", prompt=PROMPT, deferrable=False, **JOB)

with dag("job_deferred"):
    QwenImageGenerateOperator(task_id="generate", prompt=PROMPT, deferrable=True, **JOB)

with dag("jobs_deferred"):
    several = QwenImageGenerateOperator.partial(task_id="generate", deferrable=True, **JOB)
    several.expand(prompt=[f"teapot number {number}" for number in range(8)])

with dag("faults"):
    FAULTS = Path(__file__).with_name("faults.txt").read_text(encoding="utf-8").split()
    each = QwenImageGenerateOperator.partial(
        task_id="generate", **{**IMAGE, "qwenimage_conn_id": "impatient"}
    )
    each.expand(prompt=[f"a teapot [fault:{fault}]" for fault in FAULTS])
