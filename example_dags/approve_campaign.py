"""
A person picks, and says what to do better: what is rejected with a comment is edited once, and asked about again.

Set up, then copy and change:

* the connection ``qwenimage_default`` (type *Qwen Image Gateway*): the gateway, its API key, a default model and, for
  ``max_cost``, ``price_per_image`` where the gateway is not Alibaba's own;
* the connection ``aws_default`` (type *Amazon Web Services*), which may write to the bucket;
* the bucket, as the Dag parameter ``bucket``: its default below, or another one when the Dag is triggered.

``approve_campaign`` waits at the task ``pick``, without holding a worker, until somebody has chosen in its tab
*Images*. Nothing is published when nobody does. ``announce_campaign`` runs whenever something was published.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_qwenimage.operators.approval import QwenImageApprovalOperator
from airflow_provider_qwenimage.operators.qwenimage import QwenImageEditOperator, QwenImageGenerateOperator
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator

VARIANTS = 4
WAIT = timedelta(days=3)
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
        "most": Param(1.0, type="number", title="What one revision may cost at most"),
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

    pick = QwenImageApprovalOperator(
        task_id="pick",
        subject="Which images go into the campaign?",
        body="Reject with a comment what could be better: it is edited so, once, and you are asked again.",
        images=store.output["stored"],
        minimum=0,
        response_timeout=WAIT,
    )

    @task
    def wishes(revise: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return what Airflow maps over: of XComs it takes only those that are returned."""
        return revise

    # One request for each comment, none where there is none: this task and the next are skipped then.
    revise = QwenImageEditOperator.partial(
        task_id="revise",
        model="qwen-image-edit-plus",
        max_cost="{{ params.most }}",
        persist_to="s3://{{ params.bucket }}/revised/{{ run_id }}/{{ ti.map_index }}/",
    ).expand_kwargs(wishes(pick.output["revise"]))

    pick_again = QwenImageApprovalOperator(
        task_id="pick_again",
        subject="Which of the revised images go into the campaign, too?",
        images=revise.output["stored"],
        minimum=0,
        response_timeout=WAIT,
    )

    @task(trigger_rule="none_failed")
    def approved(*rounds: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
        """Put together what was approved, in the first round and in the second."""
        images = [image for of_round in rounds for image in of_round or ()]
        if not images:
            raise AirflowSkipException("No image was approved, so none is published.")
        return images

    # Copied on the S3 server; its outlet tells Airflow, and so `announce_campaign`, where the manifest lies.
    QwenImageToS3Operator(
        task_id="publish",
        images=approved(pick.output, pick_again.output),
        s3_prefix="s3://{{ params.bucket }}/published/{{ run_id }}/",
        outlets=[PUBLISHED],
    )


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
