"""
Marketing images every morning: a list of products becomes pictures in S3.

Set up, then copy and change:

* the connection ``qwenimage_default`` (type *Qwen Image Gateway*): the gateway, its API key, a default model;
* the connection ``aws_default`` (type *Amazon Web Services*), which may write to the bucket;
* the bucket, as the Dag parameter ``bucket``: its default below, or another one when the Dag is triggered.

Each product is one mapped task and one paid request, so a product that fails is retried alone. Result links
die within hours: one transfer copies all of them and writes ``manifest.json`` last; the final task reads it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_qwenimage.manifests import read_manifest
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator

# Templates are rendered for each run. Every run has `dag_run.run_after`; not every run has `ds`.
PRODUCTS = [
    "Enamel camping mug, on a mossy rock beside a lake, a {{ dag_run.run_after.strftime('%B') }} morning",
    "Walnut desk lamp, warm light on an oak table, {{ dag_run.run_after.strftime('%A') }} evening mood",
    "Linen tote bag, on a market stall with the vegetables of {{ dag_run.run_after.strftime('%B') }}",
    "Ceramic pour-over set, steam rising, white studio background, product photograph",
]


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    params={
        "bucket": Param("marketing-assets", type="string", title="Bucket", description="Where the images go.")
    },
    tags=["marketing", "qwenimage"],
    doc_md=__doc__,
)
def marketing_assets() -> None:
    generate = QwenImageGenerateOperator.partial(
        task_id="generate",
        size="1:1",  # the model's own square size; pixels such as "1328*1328" work as well
        negative_prompt="text, watermark, logo, people",
        max_active_tis_per_dag=4,  # requests at a time: what the gateway's rate limit bears
        map_index_template="{{ task.prompt.split(',')[0] }}",
    ).expand(prompt=PRODUCTS)

    store = QwenImageToS3Operator(
        task_id="store",
        # The image objects, not the bare URLs of `generate.output`: so the manifest tells prompt and model.
        images=generate.output["images"],
        s3_prefix="s3://{{ params.bucket }}/marketing/{{ run_id }}/",
    )

    @task
    def report(manifest: dict[str, str]) -> list[dict[str, Any]]:
        """Print what is in the bucket now, and hand it to whatever publishes it."""
        images = read_manifest(manifest).images
        for image in images:
            print(f"{image.uri}  {image.width}x{image.height}  {image.prompt}")
        return [{"uri": image.uri, "prompt": image.prompt} for image in images]

    report(store.output["manifest"])


marketing_assets()
