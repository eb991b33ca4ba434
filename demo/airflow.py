"""An Airflow that stays: started beside the demo's services, asked through its REST API, ended with them."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from demo.processes import ServiceFailed, service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

APPROVAL = "approve_campaign"
ANNOUNCED = "announce_campaign"
ASKS = "pick"  # its task that waits for a person
PATIENCE = 180.0  # seconds anything may take, on a machine that has other things to do
_WAITING = ("awaiting_input", "deferred")
_ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")


@contextmanager
def serving(environ: Mapping[str, str], *, log: Path) -> Iterator[RunningAirflow]:
    """
    Run API server, scheduler, Dag processor and triggerer while the block runs.

    :raises ServiceFailed: they did not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = {
        **environ,
        # `standalone` starts its parts by the name `airflow`.
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), environ.get("PATH", os.defpath))),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": url.rpartition(":")[2],
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        # Nobody else reaches loopback, and a demo that asks for a password shows nothing.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    }
    command = (sys.executable, "-m", "airflow", "standalone")
    with service(
        command, ready=r"Airflow is ready", log=log, environ=settings, inherit=False, seconds=PATIENCE
    ):
        airflow = RunningAirflow(url, log=log)
        try:
            yield airflow
        finally:
            airflow.close()


class RunningAirflow:
    """
    What the demo asks of a running Airflow.

    :param url: its pages; the REST API lies below ``/api/v2``.
    """

    def __init__(self, url: str, *, log: Path) -> None:
        self.url = url
        self._log = log
        self._client = httpx.Client(base_url=f"{url}/api/v2", timeout=60, trust_env=False)
        self._until(
            self._is_there, "answer"
        )  # its parts say that they are ready before the API server listens
        token = self._client.get(f"{url}/auth/token").raise_for_status().json()
        self._client.headers["Authorization"] = f"Bearer {token['access_token']}"

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def ask_for_an_approval(self) -> str:
        """
        Start the example that waits for a person, and return where its images are chosen.

        :raises ServiceFailed: it does not come to wait.
        """
        self._until(lambda: self._client.get(f"/dags/{APPROVAL}").is_success, f"read the Dag {APPROVAL}")
        for dag_id in (APPROVAL, ANNOUNCED):
            self._client.patch(f"/dags/{dag_id}", json={"is_paused": False}).raise_for_status()
        started = self._client.post(f"/dags/{APPROVAL}/dagRuns", json={"logical_date": None})
        run_id = started.raise_for_status().json()["dag_run_id"]
        path = f"/dags/{APPROVAL}/dagRuns/{quote(run_id, safe='')}/taskInstances/{ASKS}"
        self._until(lambda: self._state(path) in _WAITING, f"come to the task {ASKS}")
        return self.tab(APPROVAL, run_id, ASKS)

    def last_images(self, dag_id: str, *, task_id: str) -> str:
        """Return where the images of a Dag's last run are seen."""
        path = f"/dags/{dag_id}/dagRuns?limit=1&order_by=-start_date"
        (run,) = self._client.get(path).raise_for_status().json()["dag_runs"]
        return self.tab(dag_id, run["dag_run_id"], task_id)

    def tab(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return the address of a task's tab *Images*."""
        return f"{self.url}/dags/{dag_id}/runs/{quote(run_id, safe='')}/tasks/{task_id}/plugin/qwenimage"

    def _is_there(self) -> bool:
        try:
            return self._client.get("/monitor/health").is_success
        except httpx.TransportError:
            return False

    def _state(self, path: str) -> Any:
        state = self._client.get(path).raise_for_status().json()["state"]
        if state in _ENDED:
            raise ServiceFailed(f"The task {ASKS} ended ({state}) before anybody was asked", log=self._log)
        return state

    def _until(self, is_so: Any, what: str) -> None:
        deadline, pause = time.monotonic() + PATIENCE, threading.Event()
        while not is_so():
            if time.monotonic() > deadline:
                raise ServiceFailed(f"Airflow did not {what} in time", log=self._log)
            pause.wait(0.3)
