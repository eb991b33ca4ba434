"""Runs operators in this process through Airflow's task runner, against ``ExecutionApi``."""

from __future__ import annotations

import asyncio
import os
import pkgutil
import signal
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import TaskInstance
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.supervisor import (
    InProcessSupervisorComms,
    InProcessTestSupervisor,
    set_supervisor_comms,
)
from airflow.sdk.serde import deserialize, serialize

from harness.execution_api import ExecutionApi, TaskRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.triggers.base import BaseTrigger

# The runner makes one for each template field of each try: a fifteenth of the suite's time.
task_runner.TypeAdapter = cache(task_runner.TypeAdapter)

TRIGGER_FAILED = "__fail__"  # airflow.sdk.bases.operator.TRIGGER_FAIL_REPR


@dataclass
class Attempt:
    """
    One stay of a task on a worker.

    :param state: ``success``, ``failed``, ``up_for_retry``, ``deferred``, ``awaiting_input`` or ``skipped``.
    :param xcoms: all this task instance has pushed, as a consumer would pull it; not the addresses of its links.
    :param retry_delay: seconds the retry policy asked for, ``None`` when Airflow's own delay holds.
    :param trigger: rebuilt from what was stored, as the triggerer does it.
    :param rendered: the template fields as the UI shows them.
    """

    state: str
    error: BaseException | None
    try_number: int
    xcoms: dict[str, Any] = field(default_factory=dict)
    retry_delay: float | None = None
    retry_reason: str | None = None
    trigger: BaseTrigger | None = None
    outlet_events: list[dict[str, Any]] = field(default_factory=list)
    rendered: dict[str, Any] = field(default_factory=dict)

    @property
    def result(self) -> Any:
        """What the task returned."""
        return self.xcoms.get("return_value")


async def _asend(self: InProcessSupervisorComms, message: Any) -> Any:
    return self.send(message)


class InMemoryAirflow:
    """
    One Dag run whose server is a dictionary. State, XComs and the state store live as long as this object.

    :param facts: ``connections``, ``variables``, ``logical_date``, … of ``ExecutionApi``.
    """

    def __init__(self, **facts: Any) -> None:
        self.api = ExecutionApi(**facts)
        self._tries: dict[tuple[str, int], str] = {}
        # Airflow 3.3.2 has no async twin here, so every async connection look-up in a test would fail.
        if not hasattr(InProcessSupervisorComms, "asend"):
            InProcessSupervisorComms.asend = _asend

    @cached_property
    def client(self) -> Any:
        """An Execution API client that talks to the dictionary."""
        client = InProcessTestSupervisor._Client(
            base_url=None, token="", dry_run=True, transport=httpx.MockTransport(self.api)
        )
        client.base_url = "http://execution-api.invalid/"
        return client

    def row(self, task: Any, map_index: int = -1) -> TaskRow:
        """Return what the server knows of a task instance."""
        return self.api.rows[self._tries[task.task_id, map_index]]

    def stored(self, task: Any, map_index: int = -1) -> dict[str, Any]:
        """Return the task state store of a task instance."""
        return self.api.state_store.get((task.task_id, map_index), {})

    def run(self, task: Any, *, map_index: int = -1) -> Attempt:
        """Run a task once: its first try, the next one, or what follows a deferral."""
        if not task.has_dag():
            DAG(self.api.dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)).add_task(task)
        ti_id = self._enter(task, map_index)
        row = self.api.rows[ti_id]
        with _process_state_restored():
            ran = InProcessTestSupervisor.start(
                what=TaskInstance(
                    id=ti_id,
                    task_id=row.task_id,
                    dag_id=self.api.dag_id,
                    run_id=self.api.run_id,
                    try_number=row.try_number,
                    map_index=map_index,
                    dag_version_id=uuid4(),
                    hostname="worker",
                ),
                task=task,
                client=self.client,
            )
        return Attempt(
            state=row.state or str(ran.state),
            error=ran.error,
            try_number=row.try_number,
            xcoms=_pushed(self.api.xcoms.get((row.task_id, map_index), {})),
            retry_delay=getattr(ran.msg, "retry_delay_seconds", None),
            retry_reason=getattr(ran.msg, "retry_reason", None),
            trigger=_rebuilt(ran.msg) if row.state == "deferred" else None,
            outlet_events=row.outlet_events,
            rendered=row.rendered,
        )

    def _enter(self, task: Any, map_index: int) -> str:
        ti_id = self._tries.get((task.task_id, map_index))
        row = self.api.rows[ti_id] if ti_id else TaskRow(task.task_id, map_index, task.retries, task.retries)
        if row.state in ("deferred", "awaiting_input"):
            raise AssertionError(f"{task.task_id} is {row.state}: fire() its trigger, or answer() it first")
        if ti_id is None or row.next_method is None:
            ti_id, row.try_number = str(uuid4()), row.try_number + 1
        self._tries[task.task_id, map_index] = ti_id
        self.api.rows[ti_id] = row
        return ti_id

    def fire(self, task: Any, trigger: BaseTrigger, *, map_index: int = -1) -> Any:
        """Run a trigger to its first event, store it for the task to come back to, and return its payload."""
        row = self.row(task, map_index)
        comms = InProcessSupervisorComms(supervisor=None)
        comms.supervisor = _Answers(self.client, comms)
        with set_supervisor_comms(comms):
            try:
                payload = asyncio.run(_first_event(trigger))
            except Exception as error:  # noqa: BLE001  as the triggerer does: the task is resumed to fail
                row.next_method = TRIGGER_FAILED
                row.next_kwargs = {"error": "Trigger failure", "traceback": traceback.format_exception(error)}
                payload = error
            else:
                row.next_kwargs = {**(row.next_kwargs or {}), "event": serialize(payload)}
        row.state = "scheduled"
        return payload

    def question(self, task: Any, *, map_index: int = -1) -> dict[str, Any]:
        """Return what a person is asked by a task that waits for an answer."""
        return self.api.questions[self._tries[task.task_id, map_index]]

    def answer(
        self, task: Any, option: str, *, map_index: int = -1, by: str | None = "anna", **params: Any
    ) -> None:
        """Answer as Airflow 3.3's server does it; ``by=None`` is the default that a timeout takes."""
        event = {
            "chosen_options": [option],
            "params_input": params,
            "responded_at": datetime(2026, 11, 21, 12, tzinfo=UTC),
            "responded_by_user": {"id": by, "name": by} if by else None,
            "timedout": by is None,
        }
        self.resume(task, event, map_index=map_index)

    def resume(self, task: Any, event: dict[str, Any], *, map_index: int = -1) -> None:
        """Let a task that waits for a person go on with an event; below Airflow 3.3 its trigger fires it."""
        row = self.row(task, map_index)
        assert row.state in ("awaiting_input", "deferred"), row.state
        row.next_kwargs = {**(row.next_kwargs or {}), "event": serialize(event)}
        row.state = "scheduled"

    def run_to_end(self, task: Any, *, map_index: int = -1) -> Attempt:
        """Run every try of a task and every trigger between them; return the last attempt."""
        attempt = self.run(task, map_index=map_index)
        while attempt.state in ("up_for_retry", "deferred"):
            if attempt.trigger is not None:
                self.fire(task, attempt.trigger, map_index=map_index)
            attempt = self.run(task, map_index=map_index)
        return attempt

    def clear(self, task: Any, *, map_index: int = -1) -> None:
        """Do what *Clear* in the UI does: ``max_tries`` grows, the state store stays (Airflow 3.3)."""
        row = self.row(task, map_index)
        row.max_tries = row.try_number + row.retries
        row.state = row.next_method = row.next_kwargs = None

    def lose_report(self, task: Any, *, map_index: int = -1) -> None:
        """Forget how the last try ended, as if its worker had died before it could say; it is retried."""
        row = self.row(task, map_index)
        row.state, row.next_method, row.next_kwargs = "up_for_retry", None, None


def run_task(task: Any, **facts: Any) -> Attempt:
    """Run one try of one task in a new ``InMemoryAirflow``."""
    return InMemoryAirflow(**facts).run(task)


def as_template(arguments: dict[str, Any]) -> dict[str, Any]:
    """Spell plain values as templates: they then arrive when the task runs, and not when the Dag is parsed."""
    return {
        name: f"{{{{ {value!r} }}}}" if isinstance(value, str | int | float) else value
        for name, value in arguments.items()
    }


class _Answers(InProcessTestSupervisor):
    """The supervisor of a trigger: it answers requests and supervises nothing."""

    def __init__(self, client: Any, comms: InProcessSupervisorComms) -> None:
        self.client, self.comms, self.id = client, comms, uuid4()


async def _first_event(trigger: BaseTrigger) -> Any:
    events = trigger.run()
    try:
        async for event in events:
            return event.payload
    finally:
        await events.aclose()
        await trigger.cleanup()
    raise RuntimeError("Trigger exited without sending an event")


def _rebuilt(deferred: Any) -> BaseTrigger:
    kwargs = deserialize(deferred.trigger_kwargs or {})
    return pkgutil.resolve_name(deferred.classpath)(**kwargs)


@contextmanager
def _process_state_restored() -> Iterator[None]:
    """Put back what the runner changes in a process that is normally its own: environment and SIGTERM."""
    environ, on_term = dict(os.environ), signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environ)
        signal.signal(signal.SIGTERM, on_term)


def _pushed(xcoms: dict[str, Any]) -> dict[str, Any]:
    """Leave out the addresses of extra links: Airflow keeps them among the XComs, also of a task that pushes none."""
    return {key: value for key, value in xcoms.items() if not key.startswith("_link_")}
