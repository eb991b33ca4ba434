"""The part of Airflow's Execution API that tasks and triggers use, as a handler for ``httpx.MockTransport``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

RUN_AFTER = "2026-11-21T05:00:00Z"
MISSING = httpx.codes.NOT_FOUND


@dataclass
class TaskRow:
    """What the server knows of one task instance; it outlives the tries."""

    task_id: str
    map_index: int
    retries: int
    max_tries: int
    try_number: int = 0
    state: str | None = None
    next_method: str | None = None
    next_kwargs: dict[str, Any] | None = None
    rendered: dict[str, Any] = field(default_factory=dict)
    outlet_events: list[dict[str, Any]] = field(default_factory=list)


class ExecutionApi:
    """
    Answers as the server does, from dictionaries.

    :param connections: fields of each connection by its id; ``extra`` may be a mapping.
    :param variables: values by key.
    :param logical_date: of the Dag run; ``None`` as in runs that an asset triggered.
    """

    def __init__(
        self,
        *,
        connections: dict[str, dict[str, Any]] | None = None,
        variables: dict[str, str] | None = None,
        dag_id: str = "harness",
        run_id: str = "manual__2026-11-21",
        logical_date: str | None = RUN_AFTER,
    ) -> None:
        self.connections = connections or {}
        self.variables = variables or {}
        self.dag_id, self.run_id, self.logical_date = dag_id, run_id, logical_date
        self.rows: dict[
            str, TaskRow
        ] = {}  # by the id of the try: retries get a new one, deferrals keep theirs
        self.xcoms: dict[tuple[str, int], dict[str, Any]] = {}
        self.state_store: dict[tuple[str, int], dict[str, Any]] = {}
        self.questions: dict[str, dict[str, Any]] = {}  # what people are asked, by the id of the try

    def __call__(self, request: httpx.Request) -> httpx.Response:
        kind, *parts = (
            unquote(part) for part in request.url.raw_path.decode().partition("?")[0].strip("/").split("/")
        )
        answer: Callable[..., httpx.Response] | None = getattr(self, f"_{kind.replace('-', '_')}", None)
        if answer is None:
            return httpx.Response(501, json={"detail": f"the harness does not answer {request.url.path}"})
        return answer(request, *parts)

    def run_context(self, row: TaskRow) -> dict[str, Any]:
        """Return what a worker is told when it starts a try."""
        pushed = self.xcoms.get((row.task_id, row.map_index), {})
        dates = dict.fromkeys(("logical_date", "data_interval_start", "data_interval_end"), self.logical_date)
        return {
            "dag_run": {
                "dag_id": self.dag_id,
                "run_id": self.run_id,
                **dates,
                "run_after": RUN_AFTER,
                "start_date": RUN_AFTER,
                "end_date": None,
                "run_type": "manual",
                "state": "running",
                "conf": {},
                "consumed_asset_events": [],
                "partition_key": None,
            },
            "max_tries": row.max_tries,
            "should_retry": row.retries > 0 and row.try_number <= row.max_tries,
            "next_method": row.next_method,
            "next_kwargs": row.next_kwargs,
            # Airflow empties the XComs at the start of a try, but not when a deferred task comes back.
            "xcom_keys_to_clear": [] if row.next_method else list(pushed),
        }

    def _task_instances(self, request: httpx.Request, ti_id: str, what: str = "") -> httpx.Response:
        row = self.rows[ti_id]
        if what == "run":
            return httpx.Response(200, json=self.run_context(row))
        body = json.loads(request.content or b"null")
        if what == "state":
            row.state = body["state"]
            row.next_method, row.next_kwargs = body.get("next_method"), body.get("next_kwargs")
            row.outlet_events = body.get("outlet_events") or []
        elif what == "rtif":
            row.rendered = body
        elif what == "validate-inlets-and-outlets":
            return httpx.Response(200, json={"inactive_assets": []})
        return httpx.Response(200, json={"ok": True})

    def _hitlDetails(self, request: httpx.Request, ti_id: str) -> httpx.Response:  # noqa: N802 - Airflow's word
        """Take a question; asked again, it stays as it was and loses its answer."""
        question = self.questions.setdefault(ti_id, json.loads(request.content))
        return httpx.Response(201, json=question)

    def _connections(self, _: httpx.Request, conn_id: str) -> httpx.Response:
        if conn_id not in self.connections:
            return httpx.Response(
                MISSING, json={"detail": {"reason": "not_found", "message": "Connection not found"}}
            )
        given = dict(self.connections[conn_id])
        if not isinstance(given.get("extra"), str | None):
            given["extra"] = json.dumps(given["extra"])
        blank = dict.fromkeys(("host", "schema", "login", "password", "port", "extra"))
        return httpx.Response(200, json={**blank, "conn_id": conn_id, **given})

    def _variables(self, request: httpx.Request, key: str) -> httpx.Response:
        if request.method == "PUT":
            self.variables[key] = json.loads(request.content)["val"]
            return httpx.Response(201, json={"ok": True})
        if key not in self.variables:
            return httpx.Response(
                MISSING, json={"detail": {"reason": "not_found", "message": "Variable not found"}}
            )
        return httpx.Response(200, json={"key": key, "value": self.variables[key]})

    def _xcoms(
        self, request: httpx.Request, _dag: str, _run: str, task_id: str, key: str, *how: str
    ) -> httpx.Response:
        index = int(request.url.params.get("map_index", -1))
        if request.method == "POST":
            self.xcoms.setdefault((task_id, index), {})[key] = json.loads(request.content or b"null")
        elif request.method == "DELETE":
            self.xcoms.get((task_id, index), {}).pop(key, None)
        else:
            return self._pull(request, self._pushed(task_id, key), index, key, *how)
        return httpx.Response(200, json={"ok": True})

    def _pushed(self, task_id: str, key: str) -> dict[int, Any]:
        rows = sorted((index, row) for (task, index), row in self.xcoms.items() if task == task_id)
        return {index: row[key] for index, row in rows if key in row}

    @staticmethod
    def _pull(
        request: httpx.Request, values: dict[int, Any], index: int, key: str, *how: str
    ) -> httpx.Response:
        listed = list(values.values())
        if request.method == "HEAD":
            return httpx.Response(200, headers={"Content-Range": f"map_indexes {len(listed)}"})
        if how == ("slice",):
            bounds = (request.url.params.get(name) for name in ("start", "stop", "step"))
            return httpx.Response(
                200, json=listed[slice(*(None if each is None else int(each) for each in bounds))]
            )
        if how and int(how[1]) < len(listed):
            return httpx.Response(200, json=listed[int(how[1])])
        if how or index not in values:
            return httpx.Response(
                MISSING, json={"detail": {"reason": "not_found", "message": "XCom not found"}}
            )
        return httpx.Response(200, json={"key": key, "value": values[index]})

    def _store(self, request: httpx.Request, _scope: str, ti_id: str, key: str = "") -> httpx.Response:
        row = self.rows[ti_id]
        kept = self.state_store.setdefault((row.task_id, row.map_index), {})
        if request.method == "PUT":
            kept[key] = json.loads(request.content)["value"]
        elif request.method == "DELETE":
            kept.pop(key, None) if key else kept.clear()
        elif key in kept:
            return httpx.Response(200, json={"value": kept[key]})
        else:
            return httpx.Response(MISSING, json={"detail": {"reason": "not_found", "message": "no such key"}})
        return httpx.Response(200, json={"ok": True})
