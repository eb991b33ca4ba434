"""The line in which the polls of an account wait."""

from __future__ import annotations

import asyncio
import random

import pytest

from airflow_provider_qwenimage.gateway.account import PollBudget, poll_budget
from airflow_provider_qwenimage.transport import Endpoint
from airflow_provider_qwenimage.wire.protocol import Reply
from triggers import virtual_time


def now():
    return asyncio.get_running_loop().time()


async def moments(budget, count):
    """When each of ``count`` polls that all want to go at once may go."""
    gone = []

    async def poll(number):
        await budget.turn()
        gone.append((number, now()))

    await asyncio.gather(*(poll(number) for number in range(count)))
    return gone


def busiest(times, seconds=1.0):
    """The most polls within any one second."""
    return max(sum(start <= time < start + seconds for time in times) for start in times)


@pytest.mark.parametrize("per_second", [1, 5, 20])
def test_no_second_sees_more_polls_than_allowed(per_second):
    times = [time for _, time in virtual_time.run(moments(PollBudget(per_second), 100))]
    assert busiest(times) <= per_second


def test_no_second_sees_more_even_when_the_network_delays_some_of_them():
    line = random.Random(7)
    times = [time + line.uniform(0, 0.15) for _, time in virtual_time.run(moments(PollBudget(20), 500))]
    assert busiest(times) <= 20


def test_500_polls_take_no_longer_than_the_budget_and_its_margin_need():
    times = [time for _, time in virtual_time.run(moments(PollBudget(20), 500))]
    assert times[-1] - times[0] <= 500 / 20 / 0.85


def test_who_asks_first_goes_first():
    assert [number for number, _ in virtual_time.run(moments(PollBudget(20), 50))] == list(range(50))


def test_a_poll_that_is_given_up_does_not_hold_up_the_line():
    async def story():
        budget = PollBudget(1)
        await budget.turn()
        first, second = (asyncio.create_task(budget.turn()) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        await asyncio.wait_for(second, 5)

    virtual_time.run(story())


async def silence_after(*replies):
    """Let the budget hear some replies one after the other, and return how long it is silent after the last."""
    budget = PollBudget(20)
    for reply in replies:
        await budget.turn()
        budget.heard(reply)
    heard = now()
    await budget.turn()
    return round(now() - heard)


def reply(status, **headers):
    return Reply(status=status, headers=headers, body=b"")


BUSY, FINE = reply(429), reply(200)


@pytest.mark.parametrize(
    ("replies", "seconds"),
    [
        ([FINE], 0),
        ([BUSY], 5),
        ([BUSY, BUSY], 10),
        ([BUSY, BUSY, BUSY, BUSY, BUSY, BUSY], 60),
        ([BUSY, BUSY, FINE, BUSY], 5),
        ([reply(429, **{"retry-after": "7"})], 7),
        ([reply(429, **{"retry-after": "86400"})], 60),
        ([reply(429, **{"retry-after": "soon"})], 5),
    ],
)
def test_after_a_429_everybody_is_silent(replies, seconds):
    assert virtual_time.run(silence_after(*replies)) == seconds


def test_a_429_to_polls_already_under_way_is_one_silence():
    async def story():
        budget = PollBudget(20)
        for _ in range(10):
            budget.heard(BUSY)
        heard = now()
        await budget.turn()
        return now() - heard

    assert virtual_time.run(story()) == pytest.approx(5, abs=0.1)


def test_who_already_waits_for_a_turn_falls_silent_too():
    async def story():
        budget = PollBudget(1)
        await budget.turn()
        waiting = asyncio.create_task(budget.turn())
        await asyncio.sleep(0.5)
        budget.heard(reply(429, **{"retry-after": "30"}))
        heard = now()
        await waiting
        return now() - heard

    assert virtual_time.run(story()) == pytest.approx(30, abs=0.1)


def test_whoever_uses_an_account_on_one_loop_shares_its_budget():
    async def budget_of(base_url, key):
        return poll_budget(Endpoint(base_url, key, timeout=random.random()))

    async def story():
        ours = await budget_of("https://gw.example", "sk-a")
        assert await budget_of("https://gw.example", "sk-a") is ours
        assert await budget_of("https://gw.example", "sk-b") is not ours
        assert await budget_of("https://other.example", "sk-a") is not ours
        return ours

    assert virtual_time.run(story()) is not virtual_time.run(story())
