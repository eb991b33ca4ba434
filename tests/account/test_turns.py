"""How tasks wait for their turn: on the worker, in the triggerer, and never at anybody's cost."""

from __future__ import annotations

import json

import pytest

from airflow_provider_qwenimage.exceptions import TemporaryRefusal
from airflow_provider_qwenimage.gateway.account.turn import Place, Turn
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from airflow_provider_qwenimage.triggers.turn import QwenImageTurnTrigger
from harness import InMemoryAirflow

SLOW = {"models": {"qwen-image-plus": {"requests_per_minute": 2}}}


@pytest.fixture
def connected(redis_server, qwenimage_connection, monkeypatch):
    def make(gateway="tokenhot", **extra):
        monkeypatch.setenv("AIRFLOW_CONN_ACCOUNT", redis_server.connection)
        monkeypatch.setenv("AIRFLOW__QWENIMAGE__ACCOUNT_CONN_ID", "account")
        return qwenimage_connection(gateway, model="qwen-image-plus", **extra)

    return make


def task(conn_id, name="t", **arguments):
    return QwenImageGenerateOperator(
        task_id=name, prompt="a mug", qwenimage_conn_id=conn_id, retries=2, **arguments
    )


def test_a_deferrable_task_whose_turn_is_far_waits_in_the_triggerer_before_it_pays(connected, simulator):
    conn_id, airflow = connected(limits=SLOW), InMemoryAirflow()
    assert airflow.run(task(conn_id, "first", deferrable=True)).state == "success"

    second = task(conn_id, "second", deferrable=True)
    attempt = airflow.run(second)

    assert attempt.state == "deferred"
    assert isinstance(attempt.trigger, QwenImageTurnTrigger)
    assert airflow.stored(second) == {}
    assert simulator.state.posts == 1
    path, arguments = attempt.trigger.serialize()
    assert path == "airflow_provider_qwenimage.triggers.turn.QwenImageTurnTrigger"
    again = QwenImageTurnTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)


def test_when_its_turn_is_near_it_goes_on_as_if_it_had_never_waited(connected, simulator, redis_server):
    conn_id, airflow = connected(limits=SLOW), InMemoryAirflow()
    airflow.run(task(conn_id, "first"))
    second = task(conn_id, "second", deferrable=True)
    attempt = airflow.run(second)
    line = next(redis_server.client().scan_iter("*line:qwen-image-plus"))
    redis_server.client().hset(line, "next", 0)  # half a minute later

    payload = airflow.fire(second, attempt.trigger)
    ended = airflow.run(second)

    assert payload["place"][0] == attempt.trigger.place[0]
    assert (ended.state, ended.try_number) == ("success", 1)
    assert (simulator.state.posts, simulator.state.billed) == (2, 2)


def test_a_trigger_that_cannot_see_the_line_sends_the_task_back(qwenimage_connection):
    conn_id = qwenimage_connection(limits={"requests_per_minute": 0})
    trigger = QwenImageTurnTrigger(
        ["h", 1.0, 0], model="m", is_job=False, qwenimage_conn_id=conn_id, not_before=0.0
    )
    airflow = InMemoryAirflow()
    waiting = task(qwenimage_connection("tokenhot", model="qwen-image-plus", conn_id="other"))
    airflow.run(waiting)
    assert airflow.fire(waiting, trigger) == {"place": ["h", 1.0, 0]}


def test_other_tasks_wait_on_the_worker_and_then_fail_with_nothing_sent(connected, simulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW__QWENIMAGE__LONGEST_WAIT", "1")
    conn_id, airflow = connected(limits=SLOW), InMemoryAirflow()
    airflow.run(task(conn_id, "first"))

    second = task(conn_id, "second")
    attempt = airflow.run(second)

    assert attempt.state == "up_for_retry"
    assert type(attempt.error)._kind() is TemporaryRefusal
    assert "No turn came within 0 s" in str(attempt.error)
    assert 25 < attempt.retry_delay <= 31
    assert airflow.stored(second) == {}
    assert simulator.state.posts == 1


def test_a_throttled_deferrable_task_comes_back_in_its_place(connected, simulator):
    conn_id, airflow = connected(), InMemoryAirflow()
    simulator.fault("429_retry_after", seconds=40)

    waiting = task(conn_id, deferrable=True)
    attempt = airflow.run(waiting)

    assert attempt.state == "deferred"
    holder, ticket, refusals = Place(*attempt.trigger.place)
    assert holder
    assert ticket > 0
    assert refusals == 1
    assert airflow.stored(waiting) == {}


def test_a_gateway_that_throttles_for_ever_is_asked_ten_times_by_who_waits_elsewhere(store):
    turn = Turn(store, "m", {"gaps": (0, 0), "caps": (0, 0)}, longest=None, most=10, place=Place("h", 0.0, 9))
    refusal = TemporaryRefusal("busy", status=429, throttled=True)
    with pytest.raises(TemporaryRefusal, match="busy"), turn:
        turn.sent = True
        raise refusal


@pytest.mark.parametrize("shared_with_others", [False, True])
def test_single_requests_of_a_process_are_spread_as_the_limits_say(
    connected, qwenimage_connection, simulator, shared_with_others
):
    limits = {"requests_per_minute": 300}
    simulator.state.settings.change({"limits": {"requests_per_second": 5}})
    conn_id = connected(limits=limits) if shared_with_others else qwenimage_connection(limits=limits)
    with QwenImageHook(conn_id) as hook:
        for number in range(7):
            hook.generate(f"mug {number}", model="qwen-image-plus")
    assert simulator.state.billed == 7
    seen = [each.at for each in simulator.state.requests if each.kind == "generate"]
    assert seen[-1] - seen[0] >= 6 * 0.2
