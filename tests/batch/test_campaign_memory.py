"""What a plan and a close hold in memory is bounded by a shard, whatever the number of shards."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

ROWS = 400  # of a shard
FEW, MANY = 2, 20  # shards
RUN = """
import gc, json, sys, tracemalloc
from pathlib import Path
from airflow_provider_qwenimage.batch.campaign import plan_campaign
from airflow_provider_qwenimage.batch.closing import close
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.models.manifest import Manifest, Origin, StoredImage
from airflow_provider_qwenimage.models.options import BatchOptions, CampaignOptions
from airflow_provider_qwenimage.storage.prefix import Bucket
from airflow_provider_qwenimage.storage.s3 import S3

prefix, folder, rows, *counts = json.loads(sys.argv[1])
settings = QwenImageHook("qwenimage_default").settings
image = {"content_type": "image/png", "bytes": 9, "sha256": "0" * 64, "width": 9, "height": 9}

def planned(place, count):
    file = Path(folder, "rows.csv")
    file.write_text("name,sku\\n" + "".join(f"product {n},A-{n}\\n" for n in range(count * rows)))
    options = BatchOptions(
        persist_to=place, prompt_template="a {name}", extra_columns="labels", filename="{labels[sku]}.{ext}"
    )
    campaign = CampaignOptions(persist_to=place, shards=count)
    return lambda: plan_campaign(
        str(file), options, campaign, defaults={"model": "qwen-image-plus"}, settings=settings
    ).plan

def closed(place, plan):
    s3 = S3()
    for shard in plan.shards:
        facts = [{**image, "uri": f"{place}shards/{shard.name}/{n}.png", "index": n} for n in range(shard.images)]
        text = Manifest(images=tuple(StoredImage(**fact, prompt="a mug " * 20) for fact in facts)).dump()
        Bucket(f"{place}shards/{shard.name}/", s3).put_text("manifest.json", text)
    return lambda: close(plan, CampaignOptions(persist_to=place), origin=Origin(), s3=s3)

def peak(work):
    gc.collect()
    tracemalloc.start()
    found = work()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found, most

peaks = {}
for count in (1, *counts):  # the first loads what is loaded once
    plan, planning = peak(planned(f"{prefix}{count}/", count))
    _, closing = peak(closed(f"{prefix}{count}/", plan))
    peaks[count] = planning, closing
print(json.dumps([peaks[count] for count in counts]))
"""


@pytest.fixture(params=["s3", "file"])
def peaks(request, rclone_s3, qwenimage_connection, monkeypatch, tmp_path):
    """Return the most that a plan and a close held of few shards, and of many."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", rclone_s3.connection)
    rclone_s3.client().create_bucket(Bucket=f"memory-{request.param}")
    qwenimage_connection("tokenhot")
    prefix = {"s3": "s3://memory-s3/", "file": f"file://{tmp_path}/"}[request.param]
    argument = json.dumps([prefix, str(tmp_path), ROWS, FEW, MANY])
    ran = subprocess.run([sys.executable, "-c", RUN, argument], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_ten_times_the_shards_take_no_more_memory(peaks):
    (few_planned, few_closed), (many_planned, many_closed) = peaks
    more = (MANY - FEW) * ROWS
    # A row leaves two numbers behind, an image its URI, which is what the closing task returns.
    assert many_planned - few_planned < more * 40
    assert many_closed - few_closed < more * 250
