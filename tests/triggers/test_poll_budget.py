"""The line in which the polls of an account wait."""

from __future__ import annotations

import asyncio
import random

import pytest

from airflow_provider_qwenimage.gateway.account.local import LocalStore
from airflow_provider_qwenimage.gateway.account.polls import PollTurns
from airflow_provider_qwenimage.gateway.account.turn import account
from airflow_provider_qwenimage.gateway.connection import read
from airflow_provider_qwenimage.wire.protocol import Reply
from triggers import virtual_time


def now():
    return asyncio.get_running_loop().time()


def budget_of(per_second):
    return PollTurns(LocalStore(clock=now), per_second)


async def moments(per_second, count):
    """When each of ``count`` polls that all want to go at once may go."""
    budget, gone = budget_of(per_second), []

    async def poll(number):
        await budget.aturn()
        gone.append((number, now()))

    await asyncio.gather(*(poll(number) for number in range(count)))
    return gone


def busiest(times, seconds=1.0):
    """The most polls within any one second."""
    return max(sum(start <= time < start + seconds for time in times) for start in times)


@pytest.mark.parametrize("per_second", [1, 5, 20])
def test_no_second_sees_more_polls_than_allowed(per_second):
    times = [time for _, time in virtual_time.run(moments(per_second, 100))]
    assert busiest(times) <= per_second


def test_no_second_sees_more_even_when_the_network_delays_some_of_them():
    line = random.Random(7)
    times = [time + line.uniform(0, 0.15) for _, time in virtual_time.run(moments(20, 500))]
    assert busiest(times) <= 20


def test_500_polls_take_no_longer_than_the_budget_and_its_margin_need():
    times = [time for _, time in virtual_time.run(moments(20, 500))]
    assert times[-1] - times[0] <= 500 / 20 / 0.85


def test_who_asks_first_goes_first():
    assert [number for number, _ in virtual_time.run(moments(20, 50))] == list(range(50))


def test_a_poll_that_is_given_up_does_not_hold_up_the_line():
    async def story():
        budget = budget_of(1)
        await budget.aturn()
        first, second = (asyncio.create_task(budget.aturn()) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        await asyncio.wait_for(second, 5)

    virtual_time.run(story())


async def silence_after(*replies):
    """Let the budget hear some replies one after the other, and return how long it is silent after the last."""
    budget = budget_of(20)
    for reply in replies:
        await budget.aturn()
        await budget.aheard(reply)
    heard = now()
    await budget.aturn()
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
        budget = budget_of(20)
        for _ in range(10):
            await budget.aheard(BUSY)
        heard = now()
        await budget.aturn()
        return now() - heard

    assert virtual_time.run(story()) == pytest.approx(5, abs=0.1)


def test_who_already_waits_for_a_turn_falls_silent_too():
    async def story():
        budget = budget_of(1)
        await budget.aturn()
        waiting = asyncio.create_task(budget.aturn())
        await asyncio.sleep(0.5)
        await budget.aheard(reply(429, **{"retry-after": "30"}))
        heard = now()
        await waiting
        return now() - heard

    assert virtual_time.run(story()) == pytest.approx(30, abs=0.1)


def test_whoever_uses_a_key_shares_its_account_and_nobody_else():
    def account_of(host, key, timeout=1):
        fields = {"gateway": "tokenhot", "timeout": timeout}
        return account(read(host=host, port=None, schema=None, password=key, extra=fields))

    ours = account_of("https://gw.example", "sk-a")
    assert account_of("https://gw.example", "sk-a", timeout=random.random() + 1) is ours
    assert account_of("https://gw.example", "sk-b") is not ours
    assert account_of("https://other.example", "sk-a") is not ours
