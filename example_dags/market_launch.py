"""
A campaign for several markets, and a launch for each of them that runs when its images are there: needs Airflow 3.3.

Set up, then copy and change:

* the connection ``qwenimage_default`` (type *Qwen Image Gateway*): the gateway, its API key, a default model;
* the connection ``aws_default`` (type *Amazon Web Services*), which may read the list and write to the bucket;
* the list, as the Dag parameter ``products``: CSV, JSON Lines or Parquet with the columns ``sku``, ``market`` and
  ``name``.

``market_images`` ends with an asset event for each market (``partition_by``). ``market_launch`` listens to these
events: each of its runs has a market as its partition key, and reads that market's images from the manifest.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Param, PartitionedAssetTimetable, PartitionedAtRuntime, dag, task

from airflow_provider_qwenimage.manifests import read_manifest
from airflow_provider_qwenimage.operators.campaign import qwen_image_campaign

IMAGES = Asset("s3://marketing-assets/markets")


@dag(
    schedule=PartitionedAtRuntime(),  # never by itself; which partitions there are is known when it has run
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # one run at a time works on a campaign
    default_args={"retries": 3, "retry_delay": timedelta(minutes=2)},
    params={
        "products": Param("s3://marketing-assets/markets.csv", type="string", title="Product list"),
        "bucket": Param("marketing-assets", type="string", title="Bucket"),
    },
    tags=["marketing", "qwenimage"],
    doc_md=__doc__,
)
def market_images() -> None:
    qwen_image_campaign(
        "campaign",
        requests="{{ params.products }}",
        persist_to="s3://{{ params.bucket }}/markets/",
        prompt_template="Studio photo of {name}, for the market {market}",
        extra_columns="labels",
        filename="{labels[market]}/{labels[sku]}.{ext}",
        on_error="continue",  # a product that moderation refuses does not stop the others
        partition_by="market",
        outlets=[IMAGES],
    )


@dag(
    schedule=PartitionedAssetTimetable(assets=IMAGES),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["marketing", "qwenimage"],
    doc_md=__doc__,
)
def market_launch() -> None:
    @task
    def launch(dag_run: Any = None, triggering_asset_events: Any = None) -> list[str]:
        """Print the images of this run's market, and hand them to whatever publishes them."""
        listed = read_manifest(triggering_asset_events[IMAGES][-1].extra["manifest"])
        images = [image for image in listed.images if image.labels["market"] == dag_run.partition_key]
        for image in images:
            print(f"{dag_run.partition_key}: {image.uri}  {image.prompt}")
        return [image.uri for image in images]

    launch()  # Airflow gives what it names


market_images()
market_launch()
