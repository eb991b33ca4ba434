"""Whose a job is, as the processes of an account tell each other: whole, or known not to be."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count

import httpx
import pytest

from airflow_provider_qwenimage.exceptions import GatewayUnreachable, OutcomeUnknown
from airflow_provider_qwenimage.gateway.account.claims import Told
from airflow_provider_qwenimage.gateway.account.place import RedisPlace
from airflow_provider_qwenimage.gateway.account.shared import SharedStore
from airflow_provider_qwenimage.gateway.account.turn import drive
from airflow_provider_qwenimage.gateway.connection import read
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.models.requests import Asked, GenerateRequest
from airflow_provider_qwenimage.models.results import Job
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from harness import InMemoryAirflow

KEYS = [f"qwenimage:{{account}}:{name}" for name in ("told", "jobs", "told:ends")]


def tell(store, owner, facts="{}", **given):
    return store.perform("tell", **{"owner": owner, "facts": facts, "again": False, "kept": 90000.0, **given})


def claim(store, job, owner):
    return store.perform("claim", job=job, owner=owner, kept=90000.0)


def known(store, *jobs):
    age, requests, owners, _ = store.perform("known", jobs=list(jobs))
    return age, set(requests), owners


def test_a_request_is_known_until_its_job_is_claimed_or_it_is_taken_back(shared):
    store, other = shared(), shared()
    for owner in "abc":
        assert tell(store, owner)
    assert claim(store, "job-1", "a")
    store.perform("untell", owner="b")

    _, requests, owners = known(other, "job-1", "job-2")

    assert requests == {"c"}
    assert owners == {"job-1": "a"}


def test_of_many_that_claim_a_job_at_once_one_has_it(shared):
    stores = [shared() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda place: claim(stores[place], "job", f"task-{place}"), range(8)))
    assert taken.count(True) == 1
    assert claim(stores[0], "job", f"task-{taken.index(True)}")  # who has it may say so again
    assert known(stores[0], "job")[2] == {"job": f"task-{taken.index(True)}"}


def test_what_is_told_twice_is_one_request_and_what_was_given_up_before_it_stays(shared):
    store = shared()
    tell(store, "a", "first")
    tell(store, "a", "first")  # the answer of the first was lost on the way
    assert known(store)[1] == {"a"}

    tell(store, "a", "second, in the same second")
    assert len(known(store)[1]) == 2
    claim(store, "job", "a")
    (given_up,) = known(store)[1]
    assert given_up.startswith("a#")


def test_what_is_asked_for_again_under_its_key_is_one_request(shared):
    store = shared()
    tell(store, "a", "first")
    tell(store, "a", "again", again=True)
    assert known(store)[1] == {"a"}


def test_what_is_older_than_a_jobs_life_is_forgotten(shared, redis_server):
    store = shared()
    tell(store, "a", kept=-1.0)
    store.perform("claim", job="job", owner="b", kept=-1.0)

    assert known(store, "job")[1:] == (set(), {})
    assert redis_server.client().zcard(KEYS[2]) == 1  # the mark


@pytest.mark.parametrize("gone", KEYS)
def test_a_server_that_evicted_something_knows_all_from_then_on_only(shared, redis_server, gone):
    store = shared()
    tell(store, "a")
    claim(store, "job", "b")
    redis_server.whole_for(3600)
    assert known(store)[0] >= 3600

    redis_server.client().delete(gone)

    age, requests, owners = known(store, "job")
    assert age < 3600
    assert requests <= {"a"}
    assert owners in ({}, {"job": "b"})


def test_a_server_that_was_started_again_knows_all_from_then_on_only(mortal_server, shared, redis_server):
    """What it kept on a disk may lack the last seconds; which server it was is kept beside it."""
    store = shared(mortal_server.port)
    tell(store, "a")
    mortal_server.whole_for(3600)
    assert known(store)[0] >= 3600
    kept = {key: mortal_server.client().dump(key) for key in KEYS}

    mortal_server.kill()
    mortal_server.start()
    for key, value in kept.items():
        mortal_server.client().restore(key, 0, value)

    age, requests, _ = known(store)
    assert age < 3600
    assert requests == {"a"}


def test_a_server_that_does_not_say_which_it_is_knows_nothing_for_sure(redis_server, shared):
    client = redis_server.client()
    client.execute_command("ACL", "SETUSER", "shy", "on", ">pw", "~*", "+@all", "-info")
    store = SharedStore("account", RedisPlace("127.0.0.1", redis_server.port, username="shy", password="pw"))
    try:
        tell(store, "a")
        redis_server.whole_for(3600)
        assert known(store)[:2] == (0.0, {"a"})
    finally:
        store.close()
        client.execute_command("ACL", "DELUSER", "shy")


def test_what_is_told_of_a_job_expires_and_names_no_prompt_and_no_host(
    in_redis, qwenimage_connection, simulator
):
    simulator.state.settings.job_seconds = 0
    with QwenImageHook(qwenimage_connection("dashscope", model="wan2.5-t2i-preview")) as hook:
        hook.generate("a secret prompt")
        simulator.fault("504")
        with pytest.raises(OutcomeUnknown, match="may have been billed"):
            hook.generate("a secret prompt")
    client = in_redis.client()
    keys = list(client.scan_iter("*"))

    assert len([key for key in keys if b":told" in key or b":jobs" in key]) == 3
    assert [key for key in keys if client.ttl(key) < 0] == []
    told = b"\n".join([*keys, *(client.dump(key) for key in keys)])
    for secret in (b"sk-simulator-key", b"127.0.0.1", b"secret prompt"):
        assert secret not in told


def test_who_was_answered_with_a_job_that_another_has_taken_up_says_so(shared, caplog):
    """Something beside the store uses the key."""
    settings = read(
        host="http://gateway.test", port=None, schema=None, password="k", extra={"gateway": "dashscope"}
    )
    request = GenerateRequest(prompt="a mug", model="wan2.6-t2i")
    store, told = shared(), Told(settings, request)
    drive(store, told.begun("a", "turn"))
    claim(store, "job-1", "another")
    job = Job(id="job-1", gateway="dashscope", asked=Asked.of(request), submitted_at=datetime.now(UTC))

    drive(store, told.ended(job, unbilled=False))

    assert "Job job-1 answered this request, and another task has taken it up" in caplog.text
    assert known(store, "job-1")[1:] == ({"a"}, {"job-1": "another"})


def test_a_gateway_without_jobs_and_an_account_without_a_server_tell_nothing(
    in_redis, qwenimage_connection, simulator, monkeypatch
):
    with QwenImageHook(qwenimage_connection("tokenhot", model="qwen-image-plus")) as hook:
        hook.generate("a mug")
    assert not list(in_redis.client().scan_iter("*:told"))
    in_redis.client().flushall()
    monkeypatch.delenv("AIRFLOW__QWENIMAGE__ACCOUNT_CONN_ID")
    with QwenImageHook(qwenimage_connection("dashscope", model="wan2.6-t2i")) as hook:
        hook.submit(hook.request("generate", {"prompt": "a mug"}))
    assert not list(in_redis.client().scan_iter("*"))


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        (None, 0),
        ("moderation", 0),
        ("429_retry_after", 0),
        ("504", 1),
        ("drop_after", 1),
        ("truncated_json", 1),
    ],
)
def test_only_what_may_be_billed_and_has_no_job_stays_told(
    in_redis, qwenimage_connection, simulator, fault, left
):
    conn_id = qwenimage_connection("dashscope", model="wan2.6-t2i")
    if fault:
        simulator.fault(fault, seconds=0)
    with QwenImageHook(conn_id) as hook:
        try:
            hook.submit(hook.request("generate", {"prompt": "a mug"}))
        except Exception:  # noqa: BLE001 - what it is stands in other tests
            assert fault
    (told,) = in_redis.client().scan_iter("*:told")
    open_requests = [field for field in in_redis.client().hgetall(told) if field != b"mark"]
    assert len(open_requests) == left
    jobs = in_redis.client().hgetall(told.decode().removesuffix("told") + "jobs")
    made = {job.id for job in simulator.state.jobs.list("dashscope")}
    claimed = {field.decode().removeprefix("job:") for field in jobs if field != b"mark"}
    assert claimed == (set() if left else made)


def server_at(port):
    return json.dumps({"conn_type": "redis", "host": "127.0.0.1", "port": port})


@pytest.fixture
def task(in_redis, simulator, qwenimage_connection):
    """Make tasks of an account whose model names no prompt in its documents."""
    simulator.state.settings.job_seconds = 0
    conn_id, names = qwenimage_connection("dashscope", model="wan2.6-t2i"), count()

    def make(**given):
        arguments = {"prompt": "a mug", "poll_interval": 0.01, "on_unknown_outcome": "find", **given}
        return QwenImageGenerateOperator(task_id=f"t{next(names)}", qwenimage_conn_id=conn_id, **arguments)

    return make


def test_what_leaves_while_the_server_is_away_is_noted_and_proves_nothing_afterwards(
    task, in_redis, simulator, monkeypatch
):
    airflow = InMemoryAirflow()
    assert airflow.run(task()).state == "success"
    in_redis.whole_for(7200)
    simulator.fault("504")
    assert airflow.run(task()).state == "success"  # adopted: every request is known
    assert airflow.api.variables == {}

    with monkeypatch.context() as away:
        away.setenv("AIRFLOW_CONN_ACCOUNT", server_at(1))
        simulator.fault("drop_before")
        assert airflow.run(task(on_unknown_outcome="fail")).state == "failed"  # it may have made a job
    (name,) = airflow.api.variables
    assert name.startswith("qwenimage_untold_")

    simulator.fault("504")
    attempt = airflow.run(task())
    assert attempt.state == "failed"
    assert "one job that may be it, or another's" in str(attempt.error)


def test_with_nowhere_to_write_it_down_nothing_is_sent(task, simulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_ACCOUNT", server_at(1))
    airflow = InMemoryAirflow()
    airflow.api._variables = lambda *_: httpx.Response(403, json={"detail": "no"})

    attempt = airflow.run(task(retries=1))

    assert isinstance(attempt.error, GatewayUnreachable)
    assert (attempt.state, simulator.state.posts) == ("up_for_retry", 0)
    assert "Airflow does not take a note" in str(attempt.error)


def test_what_is_told_is_what_a_gateway_tells_of_its_jobs(in_redis, qwenimage_connection, simulator):
    simulator.fault("504")
    hook = QwenImageHook(qwenimage_connection("dashscope", model="wan2.6-t2i"))
    with hook, pytest.raises(OutcomeUnknown, match="may have been billed"):
        hook.submit(hook.request("generate", {"prompt": "a mug", "n": 2}))
    (told,) = in_redis.client().scan_iter("*:told")
    fields = in_redis.client().hgetall(told)
    (facts,) = (json.loads(fields[field]) for field in fields if field != b"mark")
    assert (facts["model"], facts["images"]) == ("wan2.6-t2i", 2)
    assert 0 < facts["until"] - facts["since"] < 7200
