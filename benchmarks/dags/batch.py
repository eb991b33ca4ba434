"""All requests in one task."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator

with DAG(
    "bench_batch", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), is_paused_upon_creation=False
):
    QwenImageBatchOperator(
        task_id="generate",
        requests=[{"prompt": f"product {number}"} for number in range(int(os.environ["BENCH_MAPPED"]))],
        persist_to="s3://bench/{{ run_id }}/",
        max_concurrency=100,
    )
