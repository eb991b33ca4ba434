"""The author's own limits of a batch; what the gateway bears is its account's to know."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from airflow_provider_qwenimage.batch.pacing import Pace
from triggers import virtual_time


def now():
    return asyncio.get_running_loop().time()


async def test_no_more_than_allowed_are_under_way():
    pace, most = Pace(concurrency=3), 0

    async def request():
        nonlocal most
        async with pace.seat():
            most = max(most, pace.under_way)
            await asyncio.sleep(0)

    await asyncio.gather(*(request() for _ in range(20)))
    assert most == 3


async def test_one_request_at_a_time_waits_for_its_turn_in_the_account():
    pace, most, inside = Pace(concurrency=8), 0, 0

    async def request():
        nonlocal most, inside
        async with pace.seat(), pace.door():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(request() for _ in range(20)))
    assert most == 1


def test_requests_per_minute_are_spread_evenly_also_after_a_long_wait_for_a_turn():
    async def story():
        pace, begins = Pace(concurrency=4, per_minute=60), []

        async def request(wait):
            async with pace.seat():
                async with pace.door():
                    await asyncio.sleep(wait)
                begins.append(now())

        await asyncio.gather(*(request(wait) for wait in (0, 30, 0, 0)))
        return begins

    begins = virtual_time.run(story())
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(begins))


@pytest.mark.parametrize(("asked", "seconds"), [(None, 1), (7, 7), (900, 60)])
def test_a_gateway_that_is_away_or_overloaded_silences_the_whole_batch(asked, seconds):
    async def story():
        pace, began = Pace(concurrency=4), now()
        for _ in range(3):  # those that ran into the same wall are one silence
            pace.brake(began, retry_after=asked)
        async with pace.door():
            return now() - began

    assert virtual_time.run(story()) == pytest.approx(seconds, abs=0.1)


def test_silences_double_until_a_request_is_answered():
    async def story():
        pace, took = Pace(concurrency=1), []
        for answered in (False, False, True, False):
            began = now()
            if answered:
                pace.ease()
                continue
            await asyncio.sleep(0.01)
            pace.brake(now(), retry_after=None)
            async with pace.door():
                took.append(round(now() - began))
        return took

    assert virtual_time.run(story()) == [1, 2, 1]


async def test_once_closed_what_waits_is_cancelled_and_what_is_under_way_goes_on():
    pace, ended = Pace(concurrency=1), []

    async def request(name):
        async with pace.seat():
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
