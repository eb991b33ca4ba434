"""The same rows as a campaign of one shard, and of four."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_qwenimage.operators.campaign import qwen_image_campaign

SEATS = 50  # requests of a shard at the gateway at once

for shards in (1, 4):
    with DAG(f"bench_shards_{shards}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        qwen_image_campaign(
            "campaign",
            requests=os.environ.get("BENCH_ROWS_FILE", "/rows.csv"),
            persist_to="s3://bench/{{ run_id }}/",
            shards=shards,
            max_concurrency=SEATS,
            extra_columns="labels",
        )
