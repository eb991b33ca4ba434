"""A throttled request slows the whole batch down, and it speeds up again by itself."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from airflow_provider_qwenimage.batch.pacing import Pace


async def test_no_more_than_allowed_are_under_way():
    pace, most = Pace(concurrency=3), 0

    async def request():
        nonlocal most
        async with pace.turn():
            most = max(most, pace.under_way)
            await asyncio.sleep(0)

    await asyncio.gather(*(request() for _ in range(20)))
    assert most == 3


async def test_requests_that_ran_into_the_same_wall_brake_once():
    pace = Pace(concurrency=16)
    began = asyncio.get_running_loop().time()
    for _ in range(8):
        pace.brake(began, retry_after=0)
    assert pace.allowed == 8
    await asyncio.sleep(0.001)
    pace.brake(asyncio.get_running_loop().time(), retry_after=0)
    assert pace.allowed == 4


async def test_successes_speed_the_batch_up_to_its_authors_limit_and_not_beyond():
    pace = Pace(concurrency=8)
    pace.brake(asyncio.get_running_loop().time(), retry_after=0)
    assert pace.allowed == 4
    rounds = 0
    while pace.allowed < 8:
        pace.ease()
        rounds += 1
    assert 8 < rounds < 40
    pace.ease()
    assert pace.allowed == 8


async def test_at_least_one_request_goes_on():
    pace = Pace(concurrency=2)
    for _ in range(5):
        await asyncio.sleep(0.001)
        pace.brake(asyncio.get_running_loop().time(), retry_after=0)
    assert pace.allowed == 1
    async with pace.turn():
        assert pace.under_way == 1


async def test_retry_after_holds_every_request_back():
    pace = Pace(concurrency=4)
    loop = asyncio.get_running_loop()
    pace.brake(loop.time(), retry_after=0.05)
    until = loop.time() + 0.04
    async with pace.turn() as began:
        assert began >= until


async def test_requests_per_minute_are_spread_evenly():
    pace = Pace(concurrency=4, per_minute=60 / 0.02)
    begins = []
    for _ in range(4):
        async with pace.turn() as began:
            begins.append(began)
    assert all(later - earlier > 0.01 for earlier, later in itertools.pairwise(begins))


async def test_once_closed_what_waits_is_cancelled_and_what_is_under_way_goes_on():
    pace, ended = Pace(concurrency=1), []

    async def request(name):
        async with pace.turn():
            await asyncio.sleep(0.01)
            ended.append(name)

    tasks = [asyncio.create_task(request(name)) for name in "ab"]
    await asyncio.sleep(0.001)
    pace.close()
    await asyncio.wait(tasks)
    assert ended == ["a"]
    assert tasks[1].cancelled()
    with pytest.raises(asyncio.CancelledError):
        await request("c")
    assert pace.under_way == 0
