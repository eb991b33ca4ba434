"""What a batch of edits holds in memory is bounded by what may be under way, not by its rows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from store.file_server import png

ROWS, SEATS, IMAGES = 16, 4, 3
RUN = """
import json, resource, sys, threading, time
from airflow_provider_qwenimage.batch.running import BatchRun
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.models.manifest import Origin
from airflow_provider_qwenimage.models.options import BatchOptions

prefix, image, rows, seats, images = json.loads(sys.argv[1])
settings = QwenImageHook("qwenimage_default").settings

def run(name, requests):
    options = BatchOptions(persist_to=f"{prefix}{name}/", max_concurrency=seats)
    batch = BatchRun(settings, options, Origin(dag_id="d", task_id="t", run_id="r"))
    verdict, outcome = batch.run(requests, defaults={"model": "qwen-image-edit-plus"})
    assert len(verdict.done) == len(requests), verdict.failures()

edit = {"prompt": "paint it", "images": [image] * images}
run("first", [{"prompt": "a kettle", "model": "qwen-image-plus"}])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run("edits", [{**edit, "prompt": f"paint it {number}"} for number in range(rows)])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "input.png"
    path.write_bytes(png(1, width=1600, height=1600))
    return path


def test_edits_hold_only_the_images_of_what_is_under_way(
    gateway, rclone_s3, qwenimage_connection, image, monkeypatch
):
    import json

    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", rclone_s3.connection)
    rclone_s3.client().create_bucket(Bucket="edits")
    qwenimage_connection("dashscope")
    argument = json.dumps(["s3://edits/", str(image), ROWS, SEATS, IMAGES])
    ran = subprocess.run([sys.executable, "-c", RUN, argument], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    size = image.stat().st_size
    assert size > 5_000_000
    # The images that come are stored meanwhile; all rows at once would be eight times as much.
    assert int(ran.stdout.split()[-1]) * 1024 < 4 * SEATS * IMAGES * size + 24 * 2**20
