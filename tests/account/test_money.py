"""What may be spent: exactly as much, whoever asks and however it ends."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

import pytest

from airflow_provider_qwenimage.exceptions import (
    BudgetExceeded,
    InvalidRequest,
    JobFailed,
    OutcomeUnknown,
    PermanentRefusal,
)
from airflow_provider_qwenimage.gateway.account import turn
from airflow_provider_qwenimage.gateway.account.money import _day
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from harness import InMemoryAirflow

PRICED = {"price_per_image": {"qwen-image-plus": 1, "currency": "CNY"}}


@pytest.fixture
def connected(redis_server, qwenimage_connection, monkeypatch):
    def make(gateway="tokenhot", **extra):
        monkeypatch.setenv("AIRFLOW_CONN_ACCOUNT", redis_server.connection)
        monkeypatch.setenv("AIRFLOW__QWENIMAGE__ACCOUNT_CONN_ID", "account")
        return qwenimage_connection(gateway, model="qwen-image-plus", **{**PRICED, **extra})

    return make


def test_exactly_the_budget_is_spent_by_however_many_at_once(connected, simulator):
    conn_id = connected(budget={"per_day": 10})

    async def story():
        async with QwenImageHook(conn_id) as hook:
            return await asyncio.gather(
                *(hook.agenerate(f"mug {number}") for number in range(40)), return_exceptions=True
            )

    told = asyncio.run(story())

    refused = [each for each in told if isinstance(each, BudgetExceeded)]
    assert (simulator.state.billed, simulator.state.posts, len(refused)) == (10, 10, 30)
    assert "budget.per_day: is 10 CNY, 10 are spent or reserved, and this request may cost 1" in str(
        refused[0]
    )
    assert "Nothing was billed" in str(refused[0])


@pytest.mark.parametrize(
    ("fault", "error", "left"),
    [("moderation", PermanentRefusal, 2), ("drop_after", OutcomeUnknown, 1), ("401", PermanentRefusal, 2)],
)
def test_a_refusal_gives_its_money_back_and_an_unknown_outcome_counts_as_spent(
    connected, simulator, fault, error, left
):
    simulator.fault(fault)
    with QwenImageHook(connected(budget={"per_day": 2})) as hook:
        with pytest.raises(error):
            hook.generate("a mug")
        for _ in range(left):
            hook.generate("a mug")
        with pytest.raises(BudgetExceeded):
            hook.generate("a mug")


def test_a_throttled_request_reserves_once(connected, simulator):
    simulator.fault("429_retry_after", seconds=0)
    with QwenImageHook(connected(budget={"per_day": 1})) as hook:
        hook.generate("a mug")
        with pytest.raises(BudgetExceeded):
            hook.generate("a mug")
    assert simulator.state.billed == 1


@pytest.mark.parametrize("bound", [{"extra": {"budget": {"per_day": 1}}}, {"max_cost": 1}])
def test_what_is_asked_for_again_under_its_key_reserves_nothing_again(
    connected, simulator, redis_server, bound
):
    simulator.state.settings.idempotency_header = "Idempotency-Key"
    simulator.fault("504", times=3)  # of the three that one call asks
    conn_id = connected(idempotency_header="Idempotency-Key", **bound.get("extra", {}))
    cost = {"max_cost": bound["max_cost"]} if "max_cost" in bound else {}

    attempt = InMemoryAirflow().run_to_end(
        QwenImageGenerateOperator(task_id="t", prompt="a mug", qwenimage_conn_id=conn_id, retries=1, **cost)
    )

    assert attempt.error is None
    assert (attempt.state, attempt.try_number) == ("success", 2)
    assert (simulator.state.posts, simulator.state.billed) == (4, 1)
    client = redis_server.client()
    assert {int(client.get(counter)) for counter in client.scan_iter("*spent*")} <= {1_000_000}


@pytest.mark.parametrize(("fault", "spent"), [(None, 1), ("job_failed", 0)])
def test_a_jobs_money_is_settled_at_its_end(connected, simulator, redis_server, fault, spent):
    simulator.state.settings.job_seconds = 0
    if fault:
        simulator.fault(fault)
    with QwenImageHook(connected("dashscope", budget={"per_day": 2})) as hook:
        job = hook.submit(hook.request("generate", {"prompt": "a mug"}))
        (counter,) = redis_server.client().scan_iter("*spent*")
        assert redis_server.client().get(counter) == b"1000000"
        for _ in range(2):  # whoever waits for it again settles nothing again
            with pytest.raises(JobFailed) if fault else contextlib.nullcontext():
                hook.wait(job, interval=0.01)
    assert int(redis_server.client().get(counter)) == spent * 1_000_000


async def test_a_job_that_is_cancelled_gives_its_money_and_its_seat_back(connected, simulator, redis_server):
    simulator.state.settings.change({"job_seconds": 600, "pending_share": 1})
    async with QwenImageHook(connected("dashscope", budget={"per_day": 2})) as hook:
        job = await hook.asubmit(hook.request("generate", {"prompt": "a mug"}))
        assert await hook.acancel(job)
    client = redis_server.client()
    (counter,) = client.scan_iter("*spent*")
    assert client.get(counter) == b"0"
    assert not list(client.scan_iter("*seats*"))


def test_each_run_has_a_budget_of_its_own(connected, simulator):
    conn_id = connected(budget={"per_run": 1})
    states = []
    for run in ("one", "two"):
        airflow = InMemoryAirflow(run_id=run)
        for name in "ab":
            task = QwenImageGenerateOperator(
                task_id=name, prompt="a mug", qwenimage_conn_id=conn_id, retries=3
            )
            attempt = airflow.run(task)
            states.append((attempt.state, type(attempt.error).__name__))
    assert states == [("success", "NoneType"), ("failed", "BudgetExceeded")] * 2
    assert simulator.state.billed == 2


def test_a_task_that_begins_after_the_server_lost_its_memory_spends_nothing_either(
    connected, redis_server, simulator
):
    conn_id, airflow = connected(budget={"per_day": 9}), InMemoryAirflow()
    states = []
    for name in "abc":
        turn._ACCOUNTS.clear()  # as a new process
        attempt = airflow.run(
            QwenImageGenerateOperator(task_id=name, prompt="a mug", qwenimage_conn_id=conn_id)
        )
        states.append(attempt.state)
        redis_server.client().flushall()
        if name == "b":  # somebody has looked at the bill
            airflow.api.variables.clear()
    assert states == ["success", "failed", "success"]
    assert simulator.state.posts == 2


@pytest.mark.parametrize(
    ("zone", "day"),
    [("utc", "2026-11-21"), ("Asia/Shanghai", "2026-11-22"), ("America/New_York", "2026-11-21")],
)
def test_a_day_begins_at_midnight_where_airflow_is(monkeypatch, zone, day):
    monkeypatch.setenv("AIRFLOW__CORE__DEFAULT_TIMEZONE", zone)
    assert _day(datetime(2026, 11, 21, 16, 0, tzinfo=UTC).timestamp()) == day


def test_a_new_day_has_a_budget_of_its_own(connected, monkeypatch, redis_server, simulator):
    from airflow_provider_qwenimage.gateway.account import money

    days = iter(["2026-11-21"] * 4 + ["2026-11-22"] * 4)
    monkeypatch.setattr(money, "_day", lambda _: next(days))
    with QwenImageHook(connected(budget={"per_day": 1})) as hook:
        hook.generate("a mug")
        with pytest.raises(BudgetExceeded):
            hook.generate("a mug")
        hook.generate("a mug")
    assert simulator.state.billed == 2


def test_a_budget_without_a_price_names_the_model(connected, simulator):
    conn_id = connected(budget={"per_day": 1}, price_per_image={"another": 1, "currency": "CNY"})
    told = "budget: cannot be kept: the model 'qwen-image-plus' has no price"
    assert told in QwenImageHook(conn_id).test_connection()[1]
    with QwenImageHook(conn_id) as hook, pytest.raises(InvalidRequest, match=told):
        hook.generate("a mug")
    assert simulator.state.posts == 0


def test_a_budget_needs_a_place_where_all_processes_count(qwenimage_connection, simulator):
    conn_id = qwenimage_connection(model="qwen-image-plus", budget={"per_day": 1}, **PRICED)
    told = r"budget: needs a place where all processes count: \[qwenimage\] account_conn_id is not set"
    with QwenImageHook(conn_id) as hook, pytest.raises(InvalidRequest, match=told):
        hook.generate("a mug")
    ok, said = QwenImageHook(conn_id).test_connection()
    assert not ok
    assert "account_conn_id is not set" in said
    assert simulator.state.posts == 0


@pytest.mark.parametrize(
    ("most", "n", "state"), [(2, 2, "success"), (1, 2, "failed"), ("{{ 2 }}", 2, "success"), (0, 1, "failed")]
)
def test_max_cost_needs_no_redis(qwenimage_connection, simulator, most, n, state):
    prices = {"price_per_image": {"qwen-image-2.0": 1, "currency": "CNY"}}
    task = QwenImageGenerateOperator(
        task_id="t",
        prompt="a mug",
        model="qwen-image-2.0",
        n=n,
        max_cost=most,
        retries=2,
        qwenimage_conn_id=qwenimage_connection(**prices),
    )
    attempt = InMemoryAirflow().run(task)

    assert attempt.state == state
    if state == "failed":
        assert isinstance(attempt.error, BudgetExceeded)
        assert "max_cost: allows" in str(attempt.error)
    assert simulator.state.posts == (state == "success")


def test_max_cost_of_a_model_without_a_price_names_it(qwenimage_connection, simulator):
    task = QwenImageGenerateOperator(
        task_id="t", prompt="a mug", model="wan9", max_cost=1, qwenimage_conn_id=qwenimage_connection()
    )
    attempt = InMemoryAirflow().run(task)

    assert "max_cost: cannot be kept: the model 'wan9' has no price" in str(attempt.error)
    assert simulator.state.posts == 0


@pytest.mark.parametrize("wrong", [-1, "much"])
def test_a_max_cost_that_is_none_is_refused_when_the_dag_is_parsed(wrong):
    with pytest.raises(InvalidRequest, match="max_cost"):
        QwenImageGenerateOperator(task_id="t", prompt="a mug", max_cost=wrong)
