"""Airflow's API server with FAB's auth manager, in a home of its own: roles, users, and Dags that have run."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from airflow_provider_qwenimage.testing.local import connection
from e2e.airflow_cluster import eventually
from e2e.processes import Component
from e2e.settings import free_port, of_an_airflow
from plugins.conftest import DAGS, Shown, look_up, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from airflow_provider_qwenimage.simulator.server import Simulator
    from demo.local_s3 import LocalS3

_FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
_PASSWORD = "a password of the tests"
_READS = [("can_read", resource) for resource in ("XComs", "DAG Runs", "Task Instances", "HITL Detail")]
# Each has a user of its name, as have FAB's own roles ``Admin`` and ``Viewer``; ``nobody`` is not signed in.
_ROLES = {
    "none": [],
    "pictures": [("can_read", "DAG:pictures"), *_READS],
    "batch": [("can_read", "DAG:batch"), *_READS],
    "least": [("can_read", "DAG:pictures"), ("can_read", "XComs")],
    "half": [("can_read", "DAG:pictures"), ("can_edit", "HITL Detail")],
    "looks": [("can_read", "DAG:chosen"), *_READS],
    "answers": [("can_read", "DAG:chosen"), *_READS, ("can_edit", "DAG:chosen"), ("can_edit", "HITL Detail")],
    "approver": [
        (action, what) for action in ("can_read", "can_edit") for what in ("DAG:pictures", "HITL Detail")
    ],
}


class Fab(NamedTuple):
    """
    The running API server.

    :param clients: one for each user.
    :param shown: a run of each Dag; ``batch`` is not finished.
    """

    url: str
    clients: dict[str, httpx.Client]
    shown: dict[str, Shown]


@contextmanager
def running_fab(
    home: Path, simulator: Simulator, s3: LocalS3, *, beside: Sequence[str] = ()
) -> Iterator[Fab]:
    """
    Run the Dags of the gallery's tests, and the API server while the block runs.

    :param beside: further components, as the command line names them; without them no task runs any more.
    """
    url = f"http://127.0.0.1:{free_port()}"
    gateway = connection(simulator.base("tokenhot"), simulator.state.settings.key, gateway="tokenhot")
    environ = of_an_airflow(url, dags=DAGS, home=home) | {
        "AIRFLOW__CORE__AUTH_MANAGER": _FAB,
        "AIRFLOW_CONN_AWS_DEFAULT": s3.connection,
        "AIRFLOW_CONN_QWENIMAGE_DEFAULT": gateway,
    }
    _prepare(environ, home, s3)
    with ExitStack() as opened:
        for name in ("api-server", *beside):
            started = Component((sys.executable, "-m", "airflow", name), log=home / name, environ=environ)
            started.start()
            opened.callback(started.stop)
            if name == "api-server":
                server = started
        eventually(lambda: _is_up(server, url), "the API server", server.log.read_text, patience=120)
        yield _with_users(url, s3, opened)


def _prepare(environ: dict[str, str], home: Path, s3: LocalS3) -> None:
    s3.client().create_bucket(Bucket="gallery")
    run(environ, "db", "migrate")
    for dag_id in ("pictures", "secrets", "batch"):
        run(environ, "dags", "test", dag_id)
    # The batch has not come to its manifest yet.
    with closing(sqlite3.connect(home / "airflow.db")) as database, database:
        database.execute("UPDATE xcom SET key = 'later' WHERE dag_id = 'batch' AND key = 'manifest'")
    run(environ, "sync-perm", "--include-dags")
    person = ("--email", "admin@example.org", "--firstname", "-", "--lastname", "-")
    run(environ, "users", "create", "-u", "Admin", "-r", "Admin", "-p", _PASSWORD, *person)


def _is_up(server: Component, url: str) -> bool:
    server.check()
    try:
        return httpx.get(f"{url}/api/v2/version").is_success
    except httpx.TransportError:
        return False


def _with_users(url: str, s3: LocalS3, opened: ExitStack) -> Fab:
    admin = opened.enter_context(_signed_in(url, "Admin"))
    for role, permissions in _ROLES.items():
        admin.post("/auth/fab/v1/roles", json=_role(role, permissions)).raise_for_status()
    for user in ("Viewer", *_ROLES):
        admin.post("/auth/fab/v1/users", json=_user(user)).raise_for_status()
    clients = {user: opened.enter_context(_signed_in(url, user)) for user in ("Viewer", *_ROLES)}
    nobody = opened.enter_context(httpx.Client(base_url=url))
    shown = {dag_id: look_up(admin, dag_id, s3) for dag_id in ("pictures", "secrets")}
    (batch,) = admin.get("/api/v2/dags/batch/dagRuns").raise_for_status().json()["dag_runs"]
    stored = json.loads((s3.folder / "gallery/batch/manifest.json").read_bytes())["images"]
    shown["batch"] = Shown("batch", batch["dag_run_id"], s3, stored)
    return Fab(url, {**clients, "Admin": admin, "nobody": nobody}, shown)


def _role(name: str, permissions: Sequence[tuple[str, str]]) -> dict[str, Any]:
    actions = [
        {"action": {"name": action}, "resource": {"name": resource}} for action, resource in permissions
    ]
    return {"name": name, "actions": actions}


def _user(name: str) -> dict[str, Any]:
    names = {"username": name, "email": f"{name}@example.org", "first_name": name, "last_name": name}
    return {**names, "password": _PASSWORD, "roles": [{"name": name}]}


def _signed_in(url: str, user: str) -> httpx.Client:
    """Return a client with the token that FAB gives ``user``."""
    asked = httpx.post(f"{url}/auth/token", json={"username": user, "password": _PASSWORD}, timeout=60)
    token = asked.raise_for_status().json()["access_token"]
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
