"""What a batch is compared with: one mapped task for each request."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator

with DAG(
    "bench_mapped", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), is_paused_upon_creation=False
):
    QwenImageGenerateOperator.partial(task_id="generate").expand(
        prompt=[f"product {number}" for number in range(int(os.environ["BENCH_MAPPED"]))]
    )
