"""The harness keeps Airflow's own rules; every operator test leans on that."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx
import pytest
from airflow.sdk import (
    Asset,
    BaseHook,
    BaseOperator,
    ExceptionRetryPolicy,
    RetryRule,
    TriggerRule,
)
from airflow.sdk.exceptions import AirflowFailException, TaskDeferralError
from airflow.triggers.base import BaseTrigger, TriggerEvent

from harness import InMemoryAirflow, run_task


class Echo(BaseOperator):
    """Returns its text, and keeps what it was told to keep."""

    template_fields = ("text",)

    def __init__(self, *, text="", keep=None, push=None, fail=None, conn_id=None, **kwargs):
        super().__init__(**kwargs)
        self.text, self.keep, self.push, self.fail, self.conn_id = text, keep, push, fail, conn_id

    def execute(self, context):
        store = context["task_state_store"]
        for key, value in (self.push or {}).items():
            context["ti"].xcom_push(key=key, value=value)
        for key, value in (self.keep or {}).items():
            store.set(key, [*(store.get(key) or []), value])
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {"text": self.text}
        if self.fail:
            raise self.fail
        return BaseHook.get_connection(self.conn_id).host if self.conn_id else self.text


class Waits(BaseOperator):
    """Defers to a trigger and returns what the trigger found."""

    def __init__(self, *, seconds=0.0, conn_id=None, **kwargs):
        super().__init__(**kwargs)
        self.seconds, self.conn_id = seconds, conn_id

    def execute(self, context):
        self.defer(
            trigger=Answers(seconds=self.seconds, conn_id=self.conn_id), method_name="execute_complete"
        )

    def execute_complete(self, context, event=None):
        if event.get("error"):
            raise ValueError(event["error"])
        return event["found"]


class Answers(BaseTrigger):
    def __init__(self, seconds, conn_id=None):
        super().__init__()
        self.seconds, self.conn_id = seconds, conn_id

    def serialize(self):
        return f"{__name__}.Answers", {"seconds": self.seconds, "conn_id": self.conn_id}

    async def run(self):
        await asyncio.sleep(self.seconds)
        if self.seconds < 0:
            raise RuntimeError("the trigger broke")
        found = (await BaseHook.aget_connection(self.conn_id)).host if self.conn_id else "an event"
        yield TriggerEvent({"found": found})


def test_templates_are_rendered_with_the_run_and_the_operator_is_not_changed_by_it():
    operator = Echo(task_id="echo", text="{{ run_id }} {{ ti.try_number }} {{ logical_date | ds }}")
    attempt = run_task(operator)
    assert (attempt.state, attempt.result) == ("success", "manual__2026-11-21 1 2026-11-21")
    assert attempt.rendered == {"text": "manual__2026-11-21 1 2026-11-21"}
    assert "{{" in operator.text


def test_a_run_that_an_asset_triggered_has_no_logical_date():
    assert "undefined" in str(run_task(Echo(task_id="echo", text="{{ ds }}"), logical_date=None).error)


def test_a_later_task_pulls_what_an_earlier_one_pushed():
    airflow = InMemoryAirflow()
    airflow.run(Echo(task_id="first", text="one", push={"extra": {"a": [1]}}))
    pulled = airflow.run(
        Echo(task_id="second", text="{{ ti.xcom_pull('first') }} {{ ti.xcom_pull('first', key='extra').a }}")
    )
    assert pulled.result == "one [1]"


def test_a_value_that_is_not_plain_json_does_not_pass_xcom():
    assert isinstance(run_task(Echo(task_id="echo", push={"bytes": b"png"})).error, TypeError)


def test_connections_and_variables_come_from_the_api():
    airflow = InMemoryAirflow(
        connections={"gw": {"conn_type": "http", "host": "gw.example", "extra": {"a": 1}}},
        variables={"v": "7"},
    )
    assert airflow.run(Echo(task_id="echo", conn_id="gw")).result == "gw.example"
    assert (
        airflow.run(Echo(task_id="var", text="{{ var.value.v }} {{ conn.gw.extra_dejson.a }}")).result
        == "7 1"
    )
    assert "isn't defined" in str(airflow.run(Echo(task_id="none", conn_id="other")).error)


def test_a_retry_has_the_next_number_keeps_the_state_store_and_loses_the_xcoms():
    airflow = InMemoryAirflow()
    broken = Echo(
        task_id="echo", retries=1, keep={"seen": 1}, push={"k": "{{ no template }}"}, fail=ValueError("no")
    )
    first, second = airflow.run(broken), None
    assert (first.state, first.try_number, first.xcoms) == ("up_for_retry", 1, {"k": "{{ no template }}"})
    broken.push = None
    second = airflow.run(broken)
    assert (second.state, second.try_number, second.xcoms) == ("failed", 2, {})
    assert airflow.stored(broken) == {"seen": [1, 1]}


def test_a_fail_exception_is_not_retried():
    attempt = InMemoryAirflow().run_to_end(Echo(task_id="echo", retries=5, fail=AirflowFailException("no")))
    assert (attempt.state, attempt.try_number) == ("failed", 1)


def test_a_retry_policy_sets_the_delay_and_the_reason():
    rule = RetryRule(exception=ValueError, retry_delay=timedelta(seconds=42), reason="busy")
    policy = ExceptionRetryPolicy(rules=[rule])
    attempt = run_task(Echo(task_id="echo", retries=1, retry_policy=policy, fail=ValueError("no")))
    assert (attempt.state, attempt.retry_delay, attempt.retry_reason) == ("up_for_retry", 42, "busy")


def test_clearing_raises_max_tries_and_keeps_the_state_store():
    airflow, operator = InMemoryAirflow(), Echo(task_id="echo", retries=2, keep={"seen": 1})
    airflow.run(operator)
    airflow.clear(operator)
    assert airflow.row(operator).max_tries == 3
    assert airflow.run(operator).try_number == 2
    assert airflow.stored(operator) == {"seen": [1, 1]}


def test_a_lost_report_makes_the_next_run_a_retry():
    airflow, operator = InMemoryAirflow(), Echo(task_id="echo", retries=1)
    airflow.run(operator)
    airflow.lose_report(operator)
    assert (airflow.run(operator).try_number, airflow.row(operator).max_tries) == (2, 1)


def test_a_deferred_task_resumes_with_the_event_in_the_same_try_and_keeps_its_xcoms():
    airflow = InMemoryAirflow(connections={"gw": {"conn_type": "http", "host": "gw.example"}})
    operator = Waits(task_id="waits", conn_id="gw", retries=3)
    attempt = airflow.run(operator)
    assert (attempt.state, type(attempt.trigger)) == ("deferred", Answers)
    assert airflow.fire(operator, attempt.trigger) == {"found": "gw.example"}
    resumed = airflow.run(operator)
    assert (resumed.state, resumed.try_number, resumed.result) == ("success", 1, "gw.example")


def test_a_trigger_that_raises_fails_the_task_as_airflow_does():
    attempt = InMemoryAirflow().run_to_end(Waits(task_id="waits", seconds=-1))
    assert (attempt.state, type(attempt.error)) == ("failed", TaskDeferralError)


def test_mapped_tasks_run_by_index_over_a_list_and_over_an_upstream_result(dag):
    airflow = InMemoryAirflow(dag_id=dag.dag_id)
    with dag:
        first = Echo.partial(task_id="first").expand(text=["a-{{ ti.map_index }}", "b"])
        second = Echo.partial(task_id="second").expand(text=first.output)
        third = Echo(task_id="third", text="{{ ti.xcom_pull('first') | list }}")
    assert [airflow.run(first, map_index=index).result for index in (0, 1)] == ["a-0", "b"]
    assert [airflow.run(second, map_index=index).result for index in (0, 1)] == ["a-0", "b"]
    assert airflow.run(third).result == "['a-0', 'b']"


def test_outlet_events_carry_their_extra():
    attempt = run_task(Echo(task_id="echo", text="x", outlets=[Asset("images", uri="s3://b/k")]))
    assert [event["extra"] for event in attempt.outlet_events] == [{"text": "x"}]


def test_a_blocking_http_call_under_a_running_loop_is_caught(blocking_http_calls):
    async def call():
        with httpx.Client() as client:
            client.get("http://127.0.0.1:9/")  # noqa: ASYNC212  the very thing that is to be caught

    with pytest.raises(AssertionError, match="blocks the event loop"):
        asyncio.run(call())
    assert len(blocking_http_calls) == 1
    blocking_http_calls.clear()


def test_the_runner_leaves_no_trace_in_the_environment(monkeypatch):
    import os

    before = dict(os.environ)
    run_task(Echo(task_id="echo", trigger_rule=TriggerRule.ALL_DONE))
    assert dict(os.environ) == before
