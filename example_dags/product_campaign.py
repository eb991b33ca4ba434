"""
A campaign from a product list: every product in every market, known by its own names, on as many workers as there are.

Set up, then copy and change:

* the connection ``qwenimage_default`` (type *Qwen Image Gateway*): the gateway, its API key, a default model and, for
  ``max_cost``, ``price_per_image`` where the gateway is not Alibaba's own;
* the connection ``aws_default`` (type *Amazon Web Services*), which may read the list and write to the bucket;
* the list, as the Dag parameter ``products``: CSV, JSON Lines or Parquet with the columns ``sku``, ``market``, ``name``
  and ``colour``; what else it has becomes labels, too.

The campaign keeps its prefix from run to run. Add products at the end of the list and run it again: only they are paid
for. Clear a shard that failed: it pays for what is missing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import Asset, Param, dag, task

from airflow_provider_qwenimage.manifests import read_manifest
from airflow_provider_qwenimage.operators.campaign import qwen_image_campaign


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # one run at a time works on a campaign
    default_args={"retries": 3, "retry_delay": timedelta(minutes=2)},
    params={
        "products": Param("s3://marketing-assets/products.csv", type="string", title="Product list"),
        "bucket": Param("marketing-assets", type="string", title="Bucket"),
        "campaign": Param("spring", type="string", title="Campaign"),
        "most": Param(500.0, type="number", title="What it may cost at most"),
    },
    tags=["marketing", "qwenimage"],
    doc_md=__doc__,
)
def product_campaign() -> None:
    campaign = qwen_image_campaign(
        "campaign",
        requests="{{ params.products }}",
        persist_to="s3://{{ params.bucket }}/campaigns/{{ params.campaign }}/",
        prompt_template="Studio photo of {name} in {colour}, for the market {market}",
        extra_columns="labels",
        filename="{labels[market]}/{labels[sku]}.{ext}",
        labels={"campaign": "{{ params.campaign }}"},
        negative_prompt="text, watermark, logo",
        shards=4,  # tasks that work at once, each with its own concurrency
        max_concurrency=8,
        max_cost="{{ params.most }}",  # of the whole campaign, refused before the first request
        on_error="continue",  # a product that moderation refuses does not stop the others
        outlets=[Asset("s3://marketing-assets/campaigns")],
    )

    @task
    def report(manifest: dict[str, str]) -> dict[str, int]:
        """Count the images of each market, and print what is missing."""
        listed = read_manifest(manifest)
        for failure in listed.failures:
            print(f"{failure.labels.get('sku')} for {failure.labels.get('market')}: {failure.reason}")
        markets = [image.labels["market"] for image in listed.images]
        return {market: markets.count(market) for market in sorted(set(markets))}

    report(campaign.output["manifest"])


product_campaign()
