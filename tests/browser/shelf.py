"""An API server alone, with runs whose tasks pushed images that lie in S3: all that a page of the plugin looks at."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from demo.processes import finish
from e2e.airflow_cluster import eventually
from e2e.processes import Component
from e2e.settings import free_port, of_an_airflow, variables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.local_s3 import LocalS3

BUCKET = "shelf"
PROMPT = "<img src=x onerror=alert(1)> enamel mug"
DAGS = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

for name in ("mugs", "shoes"):
    with DAG(name, schedule=None):
        for task in ("store", "many", "batch"):
            EmptyOperator(task_id=task)
"""


def picture(number: int, side: int = 400) -> bytes:
    """Return a PNG; another one for each number below 255."""
    from PIL import Image

    ramp = Image.linear_gradient("L").resize((side, side))
    out = io.BytesIO()
    Image.merge("RGB", (ramp, ramp.rotate(90), Image.new("L", ramp.size, number))).save(out, "PNG")
    return out.getvalue()


class Shelf:
    """
    The API server, and what is put on it.

    :ivar url: of Airflow; everybody is an admin.
    """

    def __init__(self, url: str, s3: LocalS3) -> None:
        self.url = url
        self._s3 = s3.client()
        token = httpx.get(f"{url}/auth/token", timeout=60).raise_for_status().json()["access_token"]
        self._client = httpx.Client(
            base_url=f"{url}/api/v2", headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def run(self, dag_id: str) -> str:
        """Make a run, which nothing will ever start, and return its id."""
        self._client.patch(f"/dags/{dag_id}", json={"is_paused": False}).raise_for_status()
        made = self._client.post(f"/dags/{dag_id}/dagRuns", json={"logical_date": None}).raise_for_status()
        return str(made.json()["dag_run_id"])

    def push(self, dag_id: str, run_id: str, task_id: str, **keys: Any) -> None:
        """Push what a task would."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries"
        for key, value in keys.items():
            body = {"key": key, "value": value, "map_index": -1}
            self._client.post(path, json=body).raise_for_status()

    def connection(self, **extra: Any) -> None:
        """Make a gateway connection."""
        body = {"connection_id": "gateway", "conn_type": "qwenimage", "extra": json.dumps(extra)}
        self._client.post("/connections", json=body).raise_for_status()

    def store(self, number: int, content: bytes | None = None) -> dict[str, Any]:
        """Put an image into S3 and return its object."""
        whole = content or picture(number)
        sha256, key = hashlib.sha256(whole).hexdigest(), f"set/{number:05d}.png"
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=whole, Metadata={"sha256": sha256})
        return {
            "uri": f"s3://{BUCKET}/{key}",
            "url": f"https://images.test/{number}.png",
            "index": number,
            "content_type": "image/png",
            "bytes": len(whole),
            "sha256": sha256,
            "width": 400,
            "height": 400,
            "prompt": f"{PROMPT} {number}",
            "model": "qwen-image-plus",
            "seed": number,
            "labels": {"sku": f"A-{number}"},
        }


@contextmanager
def shelf(home: Path, s3: LocalS3) -> Iterator[Shelf]:
    """Run an API server with two Dags while the block runs."""
    url = f"http://127.0.0.1:{free_port()}"
    dags = home / "dags"
    dags.mkdir()
    (dags / "shelf.py").write_text(DAGS)
    s3.client().create_bucket(Bucket=BUCKET)
    settings = {
        **of_an_airflow(url, dags=dags, home=home),
        **variables({"aws_default": json.loads(s3.connection)}),
        "AIRFLOW__QWENIMAGE__THUMBNAIL_CACHE": str(home / "thumbnails"),
    }
    command = (sys.executable, "-m", "airflow")
    for prepared in (("db", "migrate"), ("dags", "reserialize")):
        finish((*command, *prepared), log=home / "prepared.log", environ=settings)
    server = Component((*command, "api-server"), log=home / "api-server.log", environ=settings)
    server.start()
    try:
        eventually(lambda: _answers(url), "the API server to answer", server.log.read_text)
        airflow = Shelf(url, s3)
        try:
            yield airflow
        finally:
            airflow.close()
    finally:
        server.stop()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v2/monitor/health", timeout=5).is_success
    except httpx.TransportError:
        return False
