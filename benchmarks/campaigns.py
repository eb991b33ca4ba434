"""The plan and the close of a campaign, which run in one task each, whatever the number of rows."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_SHARDS = 16


def plan(job: dict[str, Any], prefix: str) -> Callable[[], Any]:
    """Check and cut rows of a CSV on disk: name, colour and sku, a prompt from a template, labels from the columns."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # noqa: F401 - loaded before, as in the others

    from airflow_provider_qwenimage.batch.campaign import plan_campaign
    from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
    from airflow_provider_qwenimage.models.options import BatchOptions, CampaignOptions

    settings, rows = QwenImageHook().settings, Path(tempfile.mkdtemp(prefix="bench-")) / "rows.csv"
    with rows.open("w", newline="") as file:
        written = csv.writer(file)
        written.writerow(("sku", "name", "colour", "size"))
        for number in range(job["count"]):
            written.writerow((f"A-{number}", f"product {number}", ("red", "blue")[number % 2], "16:9"))

    def planned(requests: str, prefix: str, count: int) -> None:
        options = BatchOptions(
            persist_to=prefix,
            prompt_template="Studio photo of {name} in {colour}, on a white table",
            extra_columns="labels",
            filename="{labels[sku]}.{ext}",
        )
        campaign = CampaignOptions(persist_to=prefix, shards=_SHARDS)
        found = plan_campaign(requests, options, campaign, defaults={}, settings=settings)
        assert found.plan.rows == count

    few = rows.with_name("few.csv")
    few.write_text("sku,name,colour\nA,a mug,red\n")
    planned(str(few), f"{prefix}few/", 1)  # models, the client of S3 and the catalogue are not the rows' cost
    return lambda: planned(str(rows), f"{prefix}many/", job["count"])


def close(job: dict[str, Any], prefix: str) -> Callable[[], Any]:
    """Write one manifest of those of 16 shards."""
    from airflow_provider_qwenimage.batch.closing import close as closed
    from airflow_provider_qwenimage.batch.planning import CampaignPlan, Shard
    from airflow_provider_qwenimage.models.manifest import Manifest, Origin, StoredImage
    from airflow_provider_qwenimage.models.options import CampaignOptions
    from airflow_provider_qwenimage.storage.s3 import S3

    s3, each = S3(), job["count"] // _SHARDS
    bucket, _, key = prefix.removeprefix("s3://").partition("/")
    facts = {
        "content_type": "image/png",
        "bytes": 1_500_000,
        "sha256": "0" * 64,
        "width": 1328,
        "height": 1328,
    }
    prompt, labels = "Studio photo of product PLACE in red, on a white table", {"sku": "A-PLACE"}
    image = StoredImage(
        uri="FOLDERPLACE.png", index=0, **facts, gateway="tokenhot", model="m", prompt=prompt, labels=labels
    )
    empty = Manifest(dag_id="b", run_id="r", images=()).dump().decode()
    shards = []
    for number in range(_SHARDS):
        line = image.model_dump_json().replace("FOLDER", f"{prefix}shards/{number:05d}/")
        lines = (
            line.replace("PLACE", f"{at:05d}").replace('"index":0', f'"index":{at}') for at in range(each)
        )
        # Spelled as text: what the models of a shard take must not be there before the close takes it.
        text = empty.replace('"images": []', f'"images": [{",".join(lines)}]').encode()
        s3.client.put_object(Bucket=bucket, Key=f"{key}shards/{number:05d}/manifest.json", Body=text)
        first = number * each
        shards.append(Shard(name=f"{number:05d}", first=first, rows=each, first_image=first, images=each))
    campaign = CampaignPlan(shards=tuple(shards))

    def run() -> None:
        found = closed(campaign, CampaignOptions(persist_to=prefix), origin=Origin(dag_id="b"), s3=s3)
        assert len(found.uris) == each * _SHARDS
        json.dumps(found.uris)  # as Airflow does

    return run
