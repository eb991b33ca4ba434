"""What many processes share, and what becomes of it when one of them, or the server, dies."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from airflow_provider_qwenimage.exceptions import BudgetExceeded, GatewayUnreachable, InvalidRequest
from airflow_provider_qwenimage.gateway.account.turn import Turn
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook

ONE_SEAT = {"gaps": (0.0, 0.0), "caps": (1.0, 0.0)}
PRICED = {"price_per_image": {"qwen-image-plus": 1, "currency": "CNY"}}


@pytest.fixture
def connected(redis_server, qwenimage_connection, monkeypatch):
    """Make a connection whose account is kept in Redis."""

    def make(gateway="tokenhot", *, server=redis_server, **extra):
        monkeypatch.setenv("AIRFLOW_CONN_ACCOUNT", server.connection)
        monkeypatch.setenv("AIRFLOW__QWENIMAGE__ACCOUNT_CONN_ID", "account")
        return qwenimage_connection(gateway, model="qwen-image-plus", **extra)

    return make


PROCESS = """
import sys, time
{before}
from airflow_provider_qwenimage.gateway.account.place import RedisPlace
from airflow_provider_qwenimage.gateway.account.shared import SharedStore
from airflow_provider_qwenimage.gateway.account.turn import Turn
store = SharedStore("account", RedisPlace("127.0.0.1", {port}))
{then}
"""


def process(port, then, before=""):
    code = PROCESS.format(port=port, then=then, before=before)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


TAKE = """
for _ in range(6):
    with Turn(store, "m", {"gaps": (0.25, 0.0), "caps": (0, 0)}) as turn:
        turn.hold()
        print(store_time(), flush=True)
"""
STORE_TIME = """
import redis
clock = redis.Redis(port=PORT)
def store_time():
    seconds, micros = clock.time()
    return seconds + micros / 1e6
"""
A_MINUTE_AHEAD = """
real, monotonic = time.time, time.monotonic
time.time = lambda: real() + 60
time.monotonic = lambda: monotonic() + 60
"""


def test_processes_take_turns_though_their_clocks_are_a_minute_apart(redis_server):
    port = redis_server.port
    clock = STORE_TIME.replace("PORT", str(port))
    running = [process(port, TAKE, clock), process(port, TAKE, clock + A_MINUTE_AHEAD)]
    told = [float(line) for each in running for line in each.communicate()[0].split()]

    assert len(told) == 12
    # Evenly: a machine that is busy may be late, which moves nobody else's turn.
    assert max(told) - min(told) >= 11 * 0.25 - 0.3


HOLD = """
with Turn(store, "m", {"gaps": (0, 0), "caps": (1, 0)}):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_worker_killed_with_kill_9_gives_its_seat_back_within_a_minute(redis_server):
    holder = process(redis_server.port, HOLD)
    assert holder.stdout.readline().strip() == "held"
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    client = redis_server.client()

    (lease,) = client.zrange("qwenimage:{account}:seats", 0, -1, withscores=True)
    seconds, _ = client.time()
    assert lease[1] - seconds <= 60


def test_a_seat_lives_as_long_as_its_holder(redis_server, shared, monkeypatch):
    from airflow_provider_qwenimage.gateway.account import shared as module

    monkeypatch.setattr(module, "_RENEWED", 0.05)
    store, client = shared(), redis_server.client()
    with Turn(store, "m", ONE_SEAT):
        ends = {client.zrange("qwenimage:{account}:seats", 0, -1, withscores=True)[0][1]}
        deadline = time.monotonic() + 30
        while len(ends) < 3:
            ends.add(client.zrange("qwenimage:{account}:seats", 0, -1, withscores=True)[0][1])
            assert time.monotonic() < deadline
    assert client.zcard("qwenimage:{account}:seats") == 0


def test_a_store_that_is_closed_lets_its_seats_expire(redis_server, shared, monkeypatch):
    from airflow_provider_qwenimage.gateway.account import shared as module

    monkeypatch.setattr(module, "_RENEWED", 0.05)
    store, client = shared(), redis_server.client()
    Turn(store, "m", ONE_SEAT).__enter__()
    store.close()
    ends = client.zrange("qwenimage:{account}:seats", 0, -1, withscores=True)
    deadline = time.monotonic() + 30
    for _ in range(
        2
    ):  # who renews has looked twice, and has done by the second look what it saw at the first
        store._awake.set()
        while store._awake.is_set():
            assert time.monotonic() < deadline
    assert client.zrange("qwenimage:{account}:seats", 0, -1, withscores=True) == ends


def test_everything_in_redis_expires_and_nothing_there_is_a_secret(redis_server, connected, simulator):
    with QwenImageHook(connected(budget={"per_day": 9}, **PRICED)) as hook:
        hook.generate("a secret prompt")
    client = redis_server.client()
    keys = list(client.scan_iter("*"))

    assert keys
    assert [key for key in keys if client.ttl(key) < 0] == []
    told = b"\n".join([*keys, *(client.dump(key) for key in keys)])
    for secret in (b"sk-simulator-key", b"127.0.0.1", b"a secret prompt"):
        assert secret not in told


async def test_a_wait_that_is_cancelled_gives_its_place_back(redis_server, shared):
    store = shared()
    with Turn(store, "m", ONE_SEAT):
        waiting = asyncio.create_task(_enter(Turn(store, "m", ONE_SEAT)))
        while not redis_server.client().zcard("qwenimage:{account}:waiting:m"):  # noqa: ASYNC110 - another's
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not redis_server.client().exists("qwenimage:{account}:waiting:m")
    async with Turn(shared(), "m", ONE_SEAT):
        pass


async def _enter(turn):
    async with turn:
        pass


def test_while_the_server_is_away_a_task_goes_on_with_its_share_and_says_so_once(
    mortal_server, connected, simulator, caplog
):
    with QwenImageHook(connected(server=mortal_server)) as hook:
        hook.generate("a mug")
        mortal_server.kill()
        for _ in range(2):
            hook.generate("a mug")

    assert simulator.state.billed == 3
    assert caplog.text.count("cannot be reached") == 1
    assert "goes on with its own share" in caplog.text


def test_with_a_budget_and_no_server_nothing_is_sent(mortal_server, connected, simulator):
    with QwenImageHook(connected(server=mortal_server, budget={"per_day": 9}, **PRICED)) as hook:
        hook.generate("a mug")
        mortal_server.kill()
        with pytest.raises(GatewayUnreachable, match="counts what is spent") as raised:
            hook.generate("a mug")

    assert raised.value.billing == "no"
    assert simulator.state.posts == 1


def test_a_server_that_lost_its_memory_stops_the_budget(mortal_server, connected, simulator, caplog):
    with QwenImageHook(connected(server=mortal_server, budget={"per_day": 9}, **PRICED)) as hook:
        hook.generate("a mug")
        mortal_server.kill()
        mortal_server.start()
        with pytest.raises(BudgetExceeded, match="lost its memory"):
            hook.generate("a mug")

    assert simulator.state.posts == 1
    assert "has lost its memory" in caplog.text


def test_a_server_that_lost_its_memory_makes_nobody_faster(mortal_server, shared):
    store = shared(mortal_server.port)
    bounds, left = {"gaps": (0.3, 0.0), "caps": (0.0, 0.0)}, []
    for number in range(8):
        with Turn(store, "m", bounds) as turn:
            turn.hold()
            left.append(time.monotonic())
        if number == 3:
            mortal_server.kill()
            mortal_server.start()
    early = sum(later - earlier < 0.2 for earlier, later in itertools.pairwise(left))
    assert early <= 1


def test_who_holds_a_seat_tells_a_server_that_has_forgotten_it(mortal_server, shared):
    holding, other = shared(mortal_server.port), shared(mortal_server.port)
    with Turn(holding, "m", ONE_SEAT):
        mortal_server.kill()
        mortal_server.start()
        holding.perform("poll", gap=0.001, leases={})  # the first word with the new memory
        deadline = time.monotonic() + 30
        while not mortal_server.client().zcard("qwenimage:{account}:seats"):
            assert time.monotonic() < deadline
        answer = other.perform("ask", holder="o", line="m", ticket=0.0, life=45.0, **ONE_SEAT)
        assert not answer.granted


def test_a_connection_of_another_type_says_so(qwenimage_connection, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_ACCOUNT", json.dumps({"conn_type": "http", "host": "h"}))
    monkeypatch.setenv("AIRFLOW__QWENIMAGE__ACCOUNT_CONN_ID", "account")
    hook = QwenImageHook(qwenimage_connection())

    told = "[qwenimage] account_conn_id: the connection 'account' is of type 'http', not 'redis'."
    assert hook.test_connection() == (False, f"{told} Nothing was billed. Correct the connection 'account'.")
    with pytest.raises(InvalidRequest, match="is of type 'http', not 'redis'"):
        hook.generate("a mug")


def test_a_connection_that_does_not_exist_is_named(qwenimage_connection, monkeypatch):
    monkeypatch.setenv("AIRFLOW__QWENIMAGE__ACCOUNT_CONN_ID", "nowhere")
    with pytest.raises(InvalidRequest, match="account_conn_id: there is no connection 'nowhere'"):
        QwenImageHook(qwenimage_connection()).generate("a mug")


def test_a_429_of_one_process_holds_the_next_one_back(shared, connected, simulator):
    hook = QwenImageHook(connected())
    simulator.state.settings.change({"limits": {"requests_per_second": 1}})
    others = QwenImageHook("qwenimage_default")

    async def both():
        await asyncio.gather(*(each.agenerate("a mug") for each in (hook, others, hook)))
        await hook.aclose()
        await others.aclose()

    asyncio.run(both())

    assert simulator.state.billed == 3
    assert simulator.state.accounts.snapshot()["refused"]["requests_per_second"] <= 4
