"""
A real Airflow: API server, scheduler with its workers, Dag processor, triggerer; SQLite, ports of its own.

::

    with running_airflow(dags=folder, connections={"qwenimage_default": {...}}) as airflow:
        run = airflow.trigger("my_dag")
        airflow.wait_for(run)                       # the state the run ended in
        airflow.xcom(run, "generate")               # and .task, .log, .clear, .mark, .kill_worker, .restart
        airflow.url                                 # the UI, where everybody is an admin

Everything is started as a process group of its own and ended by its id, also when the block fails.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import psutil

from demo.processes import finish
from e2e.processes import Component
from e2e.settings import free_port, of_an_airflow, variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

# What is started, in this order, and how ``airflow`` is asked for it. Logs are read from the folder they share.
ONE_MACHINE = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")
PATIENCE = 180.0  # seconds; how long anything may take on a machine that has other things to do


class Run(NamedTuple):
    """A Dag run."""

    dag_id: str
    run_id: str


@contextmanager
def running_airflow(
    *,
    dags: Path,
    home: Path,
    connections: Mapping[str, Mapping[str, Any]] | None = None,
    environ: Mapping[str, str] | None = None,
    components: Mapping[str, Sequence[str]] = ONE_MACHINE,
) -> Iterator[Airflow]:
    """
    Run an Airflow while the block runs.

    :param dags: the folder of Dag files.
    :param home: an empty folder for its database, settings and logs.
    :param connections: fields by connection id; they reach every component through its environment.
    :param environ: further variables, such as ``AIRFLOW__CORE__TEST_CONNECTION``.
    :param components: the arguments of ``airflow`` by the component's name, which it finds in ``E2E_COMPONENT``.
    :raises ServiceFailed: a component ended, with its log.
    """
    url = f"http://127.0.0.1:{free_port()}"
    settings = {**of_an_airflow(url, dags=dags, home=home), **variables(connections or {}), **(environ or {})}
    command = (sys.executable, "-m", "airflow")
    logs = home / "components"
    finish((*command, "db", "migrate"), log=logs / "database.log", environ=settings)
    made = {
        name: Component(
            (*command, *arguments), log=logs / f"{name}.log", environ={**settings, "E2E_COMPONENT": name}
        )
        for name, arguments in components.items()
    }
    with ExitStack() as started:
        for component in made.values():
            component.start()
            started.callback(component.stop)
        for component in made.values():  # asked together, they end together
            started.callback(component.ask_to_stop)
        airflow = Airflow(url, home=home, components=made)
        started.callback(airflow.close)
        airflow.wait_until_healthy()
        yield airflow


class Airflow:
    """
    What a person does with a running Airflow.

    :param url: its UI; the REST API lies below ``/api/v2``.
    :param home: its database, settings and logs.
    """

    def __init__(self, url: str, *, home: Path, components: Mapping[str, Component]) -> None:
        self.url = url
        self.home = home
        self._components = components
        self._client = httpx.Client(base_url=f"{url}/api/v2", timeout=60)

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def wait_until_healthy(self) -> None:
        """Return once every component says that it is well."""
        eventually(self._is_healthy, "Airflow to be healthy")
        if "Authorization" not in self._client.headers:
            token = httpx.get(f"{self.url}/auth/token", timeout=60).raise_for_status().json()["access_token"]
            self._client.headers["Authorization"] = f"Bearer {token}"

    def check(self) -> None:
        """:raises ServiceFailed: a component ended by itself, with its log."""
        for component in self._components.values():
            component.check()

    def _is_healthy(self) -> bool:
        self.check()
        try:
            health = self._client.get("/monitor/health").json()
        except (httpx.TransportError, json.JSONDecodeError):
            return False
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all(health.get(part, {}).get("status") == "healthy" for part in parts)

    def call(self, method: str, path: str, *, json: Any = None, **params: Any) -> Any:
        """Call the REST API and return its JSON; an error status raises with what the server says."""
        response = self._client.request(method, path, json=json, params=params or None)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def trigger(self, dag_id: str, **conf: Any) -> Run:
        """Start a run of a Dag, once the Dag processor has read it."""
        eventually(
            lambda: self._client.get(f"/dags/{dag_id}").is_success, f"{dag_id} to be read", self._complaint
        )
        body = {"logical_date": None, "conf": conf}
        return Run(dag_id, self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def wait_for(self, run: Run, *, patience: float = PATIENCE) -> str:
        """Return the state a run ended in."""
        path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}"
        eventually(
            lambda: self.call("GET", path)["state"] in ENDED,
            f"{run} to end",
            lambda: self._states(run),
            patience=patience,
        )
        return str(self.call("GET", path)["state"])

    def tasks(self, run: Run) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
        return list(self.call("GET", path, limit=1000)["task_instances"])

    def task(self, run: Run, task_id: str, *, map_index: int = -1) -> dict[str, Any]:
        """Return one task instance: ``state``, ``try_number``, ``max_tries``, ``pid``, …"""
        return dict(self.call("GET", f"{_path(run, task_id)}{_index(map_index)}"))

    def wait_for_task(self, run: Run, task_id: str, *states: str, map_index: int = -1) -> dict[str, Any]:
        """Return a task instance once it is in one of ``states`` (default: ended)."""
        wanted = states or ENDED
        eventually(
            lambda: self.task(run, task_id, map_index=map_index)["state"] in wanted,
            f"{task_id} of {run} to be {' or '.join(wanted)}",
            lambda: self._states(run),
        )
        return self.task(run, task_id, map_index=map_index)

    def xcom(self, run: Run, task_id: str, key: str = "return_value", *, map_index: int = -1) -> Any:
        """Return what a task pushed."""
        return self.call("GET", f"{_path(run, task_id)}/xcomEntries/{key}", map_index=map_index)["value"]

    def task_state(self, run: Run, task_id: str, key: str, *, map_index: int = -1) -> Any:
        """Return what a task keeps in its state store, ``None`` when there is no such key."""
        path = f"{_path(run, task_id)}/state-store/{key}"
        response = self._client.get(path, params={"map_index": map_index})
        return response.json()["value"] if response.is_success else None

    def log(self, run: Run, task_id: str, *, try_number: int = 1, map_index: int = -1) -> str:
        """Return the log of a try, one JSON document a line."""
        path = f"{_path(run, task_id)}/logs/{try_number}"
        read = self.call("GET", path, map_index=map_index, full_content=True)
        return "\n".join(json.dumps(line, ensure_ascii=False) for line in read["content"])

    def component_log(self, component: str) -> str:
        """Return what a component has printed, in all its lives."""
        return self._components[component].log.read_text(encoding="utf-8", errors="replace")

    def clear(self, run: Run, task_id: str, *, map_index: int | None = None) -> None:
        """Do what *Clear* in the UI does."""
        which = task_id if map_index is None else [task_id, map_index]
        body = {"dry_run": False, "dag_run_id": run.run_id, "task_ids": [which], "only_failed": False}
        self.call("POST", f"/dags/{run.dag_id}/clearTaskInstances", json=body)

    def mark(self, run: Run, task_id: str, state: str, *, map_index: int = -1) -> None:
        """Do what *Mark success* and *Mark failed* in the UI do."""
        self.call("PATCH", f"{_path(run, task_id)}{_index(map_index)}", json={"new_state": state})

    def kill_worker(
        self, run: Run, task_id: str, number: signal.Signals = signal.SIGKILL, *, map_index: int = -1
    ) -> None:
        """``kill -9`` the process a task runs in; a process that is not of this Airflow is left alone."""
        pid = self.task(run, task_id, map_index=map_index)["pid"]
        assert pid, f"{task_id} does not run"
        assert any(each.owns(pid) for each in self._components.values()), (
            f"process {pid} is not of this Airflow"
        )
        psutil.Process(pid).send_signal(number)

    def kill(self, component: str) -> None:
        """End a component at once, with everything it started."""
        self._components[component].kill()

    def drain(self, component: str) -> None:
        """Ask a component to end as Kubernetes asks a pod, and return once it has."""
        asked = self._components[component]
        asked.drain()
        eventually(asked.has_ended, f"{component} to end", asked.log.read_text)

    def start(self, component: str) -> None:
        """Start a component that was ended."""
        self._components[component].start()

    def bring_back(self) -> None:
        """Start whatever was ended, and return once all is well."""
        for component in self._components.values():
            if component.has_ended():
                component.start()
        self.wait_until_healthy()

    def restart(self, component: str) -> None:
        """Kill a component as a lost machine would, and start it again."""
        self.kill(component)
        self.start(component)

    def _states(self, run: Run) -> str:
        return ", ".join(
            f"{task['task_id']}[{task['map_index']}] {task['state']} (try {task['try_number']})"
            for task in self.tasks(run)
        )

    def _complaint(self) -> str:
        found = self.call("GET", "/importErrors")["import_errors"]
        return "; ".join(f"{error['filename']}: {error['stack_trace']}" for error in found)


def eventually(
    is_so: Callable[[], bool], what: str, detail: Callable[[], str] = str, *, patience: float = PATIENCE
) -> None:
    """Wait until ``is_so``; ``detail`` says how things stand when it never is."""
    deadline = time.monotonic() + patience
    pause = threading.Event()
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:g} s for {what}. {detail()}")
        pause.wait(0.2)


def _path(run: Run, task_id: str) -> str:
    return f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}"


def _index(map_index: int) -> str:
    return "" if map_index < 0 else f"/{map_index}"
