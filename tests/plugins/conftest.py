"""An API server with the plugin in it, and a run of a real Dag to show: its images lie in a real S3 server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from plugins.people import ANNA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.testclient import TestClient

    from demo.local_s3 import LocalS3

DAGS = Path(__file__).parent / "dags"
KEY = "sk-simulator-key"


class Shown(NamedTuple):
    """A run whose task ``store`` stored two images."""

    dag_id: str
    run_id: str
    s3: LocalS3
    stored: list[dict[str, Any]]

    def query(self, **changed: Any) -> dict[str, Any]:
        """Return what names the first image of the run; ``None`` leaves a field out."""
        first = {
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "task_id": "store",
            "uri": self.stored[0]["uri"],
        }
        return {name: value for name, value in {**first, **changed}.items() if value is not None}

    def zipped(self, **changed: Any) -> dict[str, Any]:
        """Return what names all images of the run, for one zip."""
        folder = self.stored[0]["uri"].rpartition("/")[0] + "/"
        names = "/".join(image["uri"].rpartition("/")[2] for image in self.stored)
        return self.query(uri=None, **{"map_index": -1, "folder": folder, "names": names, **changed})

    def foreign_uris(self, other: str) -> list[str]:
        """Return what the task did not record, ``other`` being an image of another Dag."""
        first = self.stored[0]["uri"]
        return [
            other,
            "s3://gallery/pictures/manifest.json",
            "s3://elsewhere/x.png",
            first + "x",
            first.replace("s3://", "http://"),
            first.replace("/pictures/", "/pictures/../secrets/"),
            "http://169.254.169.254/latest/meta-data/",
            "file:///etc/passwd",
            "/etc/passwd",
            "",
        ]


@pytest.fixture(scope="session")
def environ(rclone_s3: LocalS3) -> Iterator[dict[str, str]]:
    """What the Dags and the API server need to know."""
    from airflow_provider_qwenimage.simulator import running

    extra = {"gateway": "tokenhot", "allow_private_hosts": True}
    with running(key=KEY) as simulator:
        host = simulator.base("tokenhot")
        gateway = {"conn_type": "qwenimage", "host": host, "password": KEY, "extra": extra}
        yield _environ(gateway, rclone_s3)


def _environ(gateway: dict[str, Any], s3: LocalS3) -> dict[str, str]:
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__AUTH_MANAGER": "plugins.people.PerDag",
        "AIRFLOW__API_AUTH__JWT_SECRET": "x" * 64,
        "AIRFLOW_CONN_AWS_DEFAULT": s3.connection,
        "AIRFLOW_CONN_QWENIMAGE_DEFAULT": json.dumps(gateway),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def run(environ: dict[str, str], *command: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "airflow", *command],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]


@pytest.fixture(scope="session")
def server(environ: dict[str, str], rclone_s3: LocalS3) -> Iterator[Any]:
    """Airflow's own application, after its Dags have run."""
    from airflow.api_fastapi.app import create_app, purge_cached_app
    from fastapi.testclient import TestClient

    rclone_s3.client().create_bucket(Bucket="gallery")
    run(environ, "db", "migrate")
    for dag_id in ("pictures", "secrets", "batch"):
        run(environ, "dags", "test", dag_id)
    before = dict(os.environ)
    os.environ.update(environ)
    try:
        app = create_app(apps="core")
        with TestClient(app) as client:
            yield client
    finally:
        purge_cached_app()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def as_user(server: TestClient, environ: dict[str, str]) -> Iterator[Callable[..., TestClient]]:
    """Sign a user in and return the client, or return it as nobody's."""
    from airflow.api_fastapi.app import get_auth_manager

    def sign_in(user: Any = None) -> TestClient:
        server.headers.pop("Authorization", None)
        if user is not None:
            server.headers["Authorization"] = f"Bearer {get_auth_manager().generate_jwt(user)}"
        return server

    os.environ.update(environ)
    yield sign_in
    server.headers.pop("Authorization", None)


@pytest.fixture
def anna(as_user: Callable[..., TestClient]) -> TestClient:
    """The client of somebody who may see everything."""
    return as_user(ANNA)


@pytest.fixture
def shown(anna: TestClient, rclone_s3: LocalS3) -> Shown:
    """The run of ``pictures``."""
    return look_up(anna, "pictures", rclone_s3)


def look_up(client: TestClient, dag_id: str, s3: LocalS3) -> Shown:
    (found,) = client.get(f"/api/v2/dags/{dag_id}/dagRuns").raise_for_status().json()["dag_runs"]
    path = f"/api/v2/dags/{dag_id}/dagRuns/{found['dag_run_id']}/taskInstances/store/xcomEntries/stored"
    stored = client.get(path).raise_for_status().json()["value"]
    return Shown(dag_id, found["dag_run_id"], s3, json.loads(stored) if isinstance(stored, str) else stored)
