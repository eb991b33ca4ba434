"""
A campaign: every row of a file becomes an image in S3, in one task.

Set up, then copy and change:

* the connection ``qwenimage_default`` (type *Qwen Image Gateway*): the gateway, its API key, a default model and,
  for the estimate in the log, ``price_per_image``;
* the connection ``aws_default`` (type *Amazon Web Services*), which may read the file and write to the bucket;
* the file, as the Dag parameter ``prompts``: JSON Lines (``{"prompt": "…", "size": "16:9"}`` a line) or CSV.

One run of the Dag is one campaign, because its prefix carries the run's id. When the task fails, is killed or is
cleared, the next try pays only for what is missing: the journal beside the images knows.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import Param, dag, task

from airflow_provider_qwenimage.manifests import read_manifest
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=2)},
    params={
        "prompts": Param("s3://marketing-assets/prompts.jsonl", type="string", title="File of requests"),
        "bucket": Param("marketing-assets", type="string", title="Bucket"),
        "most": Param(1000, type="integer", minimum=1, title="Images at most"),
    },
    tags=["marketing", "qwenimage"],
    doc_md=__doc__,
)
def campaign_batch() -> None:
    campaign = QwenImageBatchOperator(
        task_id="campaign",
        requests="{{ params.prompts }}",
        persist_to="s3://{{ params.bucket }}/campaigns/{{ run_id }}/",
        negative_prompt="text, watermark, logo",  # for rows that say nothing of it
        max_images="{{ params.most }}",  # refused before the first request when the rows ask for more
        max_concurrency=8,
        requests_per_minute=60,  # what the account's rate limit bears
        on_error="continue",  # a prompt that moderation refuses does not stop the others
    )

    @task
    def report(manifest: dict[str, str]) -> dict[str, int]:
        """Count what is there and print what is missing."""
        listed = read_manifest(manifest)
        for failure in listed.failures:
            print(f"image {failure.index}: {failure.reason}")
        return {"images": len(listed.images), "failures": len(listed.failures)}

    report(campaign.output["manifest"])


campaign_batch()
