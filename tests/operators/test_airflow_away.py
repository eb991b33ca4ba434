"""An answer that came is not lost because Airflow could not take it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import httpx
import pytest
from airflow.sdk.api.client import Client

from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from airflow_provider_qwenimage.payment import away
from airflow_provider_qwenimage.payment.ledger import KEY
from harness import InMemoryAirflow
from harness.execution_api import ExecutionApi
from operators.worker import ended, kill_when


class AwayApi(ExecutionApi):
    """An API that is away for a while from the moment it should take the answer."""

    def __init__(self, clock, seconds, status=503):
        super().__init__()
        self.clock, self.seconds, self.status = clock, seconds, status
        self.began, self.refused = None, 0

    def __call__(self, request):
        told = request.content.decode()
        taken = "/xcoms/" in request.url.path or '"done"' in told or '"submitted"' in told
        if taken and request.method in ("POST", "PUT"):
            self.began = self.clock.now if self.began is None else self.began
            if self.clock.now < self.began + self.seconds:
                self.refused += 1
                return httpx.Response(self.status, json={"detail": "the database is away"})
        return super().__call__(request)


class Clock:
    """The time of Airflow's client and of our pauses."""

    def __init__(self):
        self.now = 0.0
        self.each = lambda: None

    def sleep(self, seconds):
        self.now += seconds
        self.each()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(away, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=clock.sleep))
    monkeypatch.setattr(Client.request.retry, "sleep", clock.sleep)
    return clock


def generate(conn_id, **arguments):
    given = {
        "prompt": "a teapot",
        "model": "qwen-image-plus",
        "retries": 1,
        "poll_interval": 0.05,
        **arguments,
    }
    return QwenImageGenerateOperator(task_id="generate", qwenimage_conn_id=conn_id, **given)


def airflow_away(clock, seconds, **facts):
    airflow = InMemoryAirflow()
    airflow.api = AwayApi(clock, seconds, **facts)
    return airflow


SERVED = [("tokenhot", "qwen-image-plus"), ("dashscope", "wan2.5-t2i-preview")]


@pytest.mark.parametrize("served", SERVED)
@pytest.mark.parametrize("persisted", [True, False])
def test_airflow_away_for_a_minute_after_the_answer_the_same_try_succeeds(
    simulator, gateway_of, place, clock, persisted
):
    airflow = airflow_away(clock, 60)
    conn_id, model = gateway_of
    task = generate(conn_id, model=model, persist_to=place.uri if persisted else None)

    attempt = airflow.run_to_end(task)

    assert attempt.error is None
    assert (attempt.state, attempt.try_number, simulator.state.posts) == ("success", 1, 1)
    assert clock.now >= 60
    assert airflow.api.refused > 1
    assert airflow.stored(task)[KEY]["phase"] == "done"
    assert not place.pending


@pytest.fixture
def gateway_of(simulator, qwenimage_connection, served):
    simulator.state.settings.job_seconds = 0.05
    gateway, model = served
    return qwenimage_connection(gateway), model


def test_the_images_are_stored_while_airflow_is_away(qwenimage_connection, place, clock):
    seen = []
    clock.each = lambda: seen.append(place.names())
    attempt = airflow_away(clock, 60).run_to_end(
        generate(qwenimage_connection("tokenhot"), persist_to=place.uri)
    )
    assert attempt.state == "success"
    assert "manifest.json" in seen[-1]
    assert any(name.startswith(".pending/") for name in seen[-1])  # until Airflow has it


def test_what_airflow_refuses_is_told_once(simulator, qwenimage_connection, clock):
    attempt = airflow_away(clock, 9999, status=422).run(generate(qwenimage_connection("tokenhot")))
    assert attempt.state == "up_for_retry"
    assert clock.now == 0
    assert simulator.state.posts == 1


def test_nobody_waits_longer_than_the_scheduler(simulator, qwenimage_connection, clock):
    attempt = airflow_away(clock, 1e9).run(generate(qwenimage_connection("tokenhot")))
    assert attempt.error is not None
    assert simulator.state.posts == 1
    assert clock.now < 2000


def test_a_refusal_is_forgotten_although_airflow_is_away_for_a_while(simulator, qwenimage_connection, clock):
    simulator.fault("500_internal_error")
    airflow = airflow_away(clock, 0)
    deletes, answer = [], airflow.api._store

    def busy(request, *parts):
        if request.method == "DELETE" and len(deletes) < 12:
            deletes.append(request)
            return httpx.Response(503, json={})
        return answer(request, *parts)

    airflow.api._store = busy
    attempt = airflow.run_to_end(generate(qwenimage_connection("tokenhot")))
    assert (attempt.state, attempt.try_number, simulator.state.billed) == ("success", 2, 1)


@pytest.mark.parametrize("served", SERVED)
def test_killed_while_airflow_is_away_the_retry_stores_the_images(
    simulator, gateway_of, worker, place, tmp_path
):
    given = {"model": gateway_of[1], "persist_to": place.uri, "on_unknown_outcome": "fail"}
    flag = tmp_path / "a teapot.away"
    flag.touch()
    kill_when([worker("a teapot", **given)], lambda: place.pending)
    assert json.loads((tmp_path / "a teapot.json").read_text())[KEY]["phase"] == "intent"
    flag.unlink()

    told = ended(worker("a teapot", **given))

    assert (told["state"], simulator.state.posts) == ("success", 1), told["error"]
    assert told["uris"][0].startswith(place.uri)
    assert not place.pending


def test_an_answer_of_another_request_beside_the_images_is_not_taken(simulator, qwenimage_connection, place):
    airflow = InMemoryAirflow()
    task = generate(qwenimage_connection("tokenhot"), persist_to=place.uri)
    airflow.run(task)
    record = airflow.stored(task)[KEY]
    name = task._ledger({"ti": instance(airflow)}, task._request()).name
    foreign = {**record, "fingerprint": "of another"}
    older = {**record, "at": "2026-01-01T00:00:00Z"}
    record.update({"phase": "intent", "generation": None})
    airflow.lose_report(task)

    for text in (json.dumps(foreign), json.dumps(older), "{not a record"):
        place.put(f".pending/{name}.json", text)
        attempt = airflow.run(task)
        assert attempt.state != "success"
        assert simulator.state.posts == 1
        airflow.lose_report(task)


def instance(airflow):
    (row, *_) = airflow.api.rows.values()
    facts = {"dag_id": airflow.api.dag_id, "run_id": airflow.api.run_id, "task_id": row.task_id}
    return SimpleNamespace(**facts, map_index=-1, max_tries=row.max_tries)
