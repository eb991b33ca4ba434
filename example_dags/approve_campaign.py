"""
A person picks: variants are generated and stored, only those approved are published, and publishing goes on from there.

Set up, then copy and change:

* the connection ``qwenimage_default`` (type *Qwen Image Gateway*): the gateway, its API key, a default model;
* the connection ``aws_default`` (type *Amazon Web Services*), which may write to the bucket;
* the bucket, as the Dag parameter ``bucket``: its default below, or another one when the Dag is triggered.

``approve_campaign`` waits at the task ``pick``, without holding a worker, until somebody answers under *Required
Actions*. Nothing is published when nobody does. ``announce_campaign`` runs whenever something was published.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Asset, Param, dag, task

from airflow_provider_qwenimage.contact_sheet import contact_sheet, labels
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator

VARIANTS = 4
PUBLISHED = Asset("campaign_images", uri="s3://marketing-assets/published/")


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    params={
        "bucket": Param(
            "marketing-assets", type="string", title="Bucket", description="Where the images go."
        ),
        "prompt": Param(
            "Enamel camping mug on a mossy rock beside a lake, soft morning light",
            type="string",
            title="Prompt",
            description="What the images show.",
        ),
    },
    tags=["marketing", "qwenimage"],
    doc_md=__doc__,
)
def approve_campaign() -> None:
    generate = QwenImageGenerateOperator(
        task_id="generate",
        prompt="{{ params.prompt }}",
        model="wan2.6-t2i",  # one request of this model makes up to four images
        size="1:1",
        n=VARIANTS,
    )

    # The drafts are stored at once: the gateway's links may be dead before anybody has looked at them.
    store = QwenImageToS3Operator(
        task_id="store",
        images=generate.output["images"],
        s3_prefix="s3://{{ params.bucket }}/drafts/{{ run_id }}/",
    )

    @task
    def lay_out(stored: list[dict[str, Any]], dag_run: Any = None) -> str:
        """Put the images side by side."""
        return contact_sheet(stored, dag_id=dag_run.dag_id, run_id=dag_run.run_id, task_id="store")

    pick = HITLOperator(
        task_id="pick",
        subject="Which images go into the campaign?",
        body="{{ ti.xcom_pull(task_ids='lay_out') }}",
        options=labels(VARIANTS),
        multiple=True,
        response_timeout=timedelta(days=3),
    )

    @task
    def approved(stored: list[dict[str, Any]], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Keep what was picked."""
        by_label = dict(zip(labels(len(stored)), stored, strict=True))
        return [by_label[label] for label in answer["chosen_options"] if label in by_label]

    # Copied on the S3 server; its outlet tells Airflow, and so `announce_campaign`, where the manifest lies.
    publish = QwenImageToS3Operator(
        task_id="publish",
        images=approved(store.output["stored"], pick.output),
        s3_prefix="s3://{{ params.bucket }}/published/{{ run_id }}/",
        outlets=[PUBLISHED],
    )

    lay_out(store.output["stored"]) >> pick >> publish


@dag(
    schedule=[PUBLISHED],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["marketing", "qwenimage"],
    doc_md=__doc__,
)
def announce_campaign() -> None:
    @task
    def announce(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
        """Say what was published; a newsletter or a shop would go on from here."""
        published = [event.extra for event in triggering_asset_events[PUBLISHED]]
        for extra in published:
            print(f"{extra['count']} images were published: {extra['manifest']}")
        return published

    announce()


approve_campaign()
announce_campaign()
