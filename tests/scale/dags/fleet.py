"""The Dags of a fleet: what they ask for is in the configuration of their runs."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.campaign import qwen_image_campaign
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator

IMAGE = {"qwenimage_conn_id": "tokenhot", "model": "qwen-image-plus"}
JOB = {"qwenimage_conn_id": "dashscope", "model": "wan2.5-t2i-preview", "poll_interval": 1}
STORED = {
    "persist_to": "s3://images/{{ run_id }}/{{ ti.task_id }}/{{ ti.map_index }}/",
    "aws_conn_id": "s3",
}
SEVERAL = 3


def dag(dag_id: str, *, retry_delay: float = 1) -> DAG:
    delay = timedelta(seconds=retry_delay)
    return DAG(dag_id, schedule=None, default_args={"retries": 3, "retry_delay": delay})


def prompts(what: str, fault: str = "", *, count: int = SEVERAL) -> list[str]:
    return [f"{{{{ run_id }}}}: {what} {number} {fault}" for number in range(count)]


with dag("requests"):  # each asks, and keeps what it got
    QwenImageGenerateOperator.partial(task_id="ask", **IMAGE, **STORED).expand(prompt=prompts("teapot"))

with dag("requests_that_can_wait", retry_delay=15):
    QwenImageGenerateOperator.partial(task_id="ask", **IMAGE, **STORED).expand(prompt=prompts("teapot"))

with dag("unanswered"):
    QwenImageGenerateOperator.partial(task_id="ask", **IMAGE, **STORED).expand(
        prompt=prompts("teapot", "[fault:hang*1]")
    )

with dag("slow_images"):
    QwenImageGenerateOperator.partial(task_id="store", **IMAGE, **STORED).expand(
        prompt=prompts("teapot", "[fault:file_slow]")
    )

with dag("jobs_on_workers"):
    QwenImageGenerateOperator.partial(task_id="wait", deferrable=False, **JOB, **STORED).expand(
        prompt=prompts("teapot")
    )

with dag("jobs_deferred"):
    QwenImageGenerateOperator.partial(task_id="wait", deferrable=True, **JOB, **STORED).expand(
        prompt=prompts("teapot", count=3 * SEVERAL)
    )

with dag("batch"):
    QwenImageBatchOperator(
        task_id="batch",
        requests=[*prompts("answered"), *prompts("unanswered", "[fault:hang*1]")],
        persist_to="s3://images/{{ run_id }}/batch/",
        aws_conn_id="s3",
        max_concurrency=SEVERAL,
        on_error="continue",
        **IMAGE,
    )

with dag("campaign"):
    qwen_image_campaign(
        "spring",
        requests=[
            {"prompt": prompt, "labels": {"sku": f"A-{number}"}}
            for number, prompt in enumerate(prompts("product", count=4 * SEVERAL))
        ],
        persist_to="s3://images/{{ run_id }}/",
        aws_conn_id="s3",
        shards=4,
        **JOB,
    )

CROWD = {"qwenimage_conn_id": "limited", "model": "qwen-image-plus"}

with dag("crowd"):
    QwenImageGenerateOperator.partial(task_id="ask", **CROWD).expand(prompt=prompts("mapped", count=60))

with dag("batches"):
    for name in ("one", "two"):
        QwenImageBatchOperator(
            task_id=name,
            requests=prompts(name, count=30),
            persist_to=f"s3://images/{{{{ run_id }}}}/{name}/",
            aws_conn_id="s3",
            **CROWD,
        )
