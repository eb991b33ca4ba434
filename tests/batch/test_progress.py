"""A person sees how far a batch is: seldom, and in one line."""

from __future__ import annotations

import asyncio
import logging

from airflow_provider_qwenimage.batch.progress import Progress, clock
from airflow_provider_qwenimage.models.results import Usage


def test_the_line_tells_done_failed_in_flight_spend_and_the_time_left():
    progress = Progress(10, earlier=2, currency="CNY")
    progress.spend(Usage(cost=0.4))
    progress.add(2)
    progress.spend(Usage(cost=0.2))
    progress.add(1)
    progress.failed += 1
    progress.began -= 60

    line = progress.line(3)

    assert line.startswith(
        "4 of 10 requests done, 1 failed, 3 in flight, 3 images/min, 0.60 CNY spent; about 1:40"
    )


def test_without_prices_nothing_is_said_of_money():
    progress = Progress(1)
    progress.spend(Usage())
    progress.add(1)
    assert "spent" not in progress.line(0)


async def test_a_line_is_logged_only_when_something_happened(caplog):
    caplog.set_level(logging.INFO)
    told, changed = [], asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell(counts):
        told.append(counts)
        loop.call_soon_threadsafe(changed.set)

    progress = Progress(5, tell=tell)
    watching = asyncio.create_task(progress.watch(lambda: 0, interval=0.005))
    await changed.wait()
    await asyncio.sleep(0.05)  # ten intervals in which nothing happens
    changed.clear()
    progress.add(1)
    await changed.wait()
    watching.cancel()

    said = [record.message.partition(",")[0] for record in caplog.records]
    assert said == ["0 of 5 requests done", "1 of 5 requests done"]
    assert told[-1]["done"] == 1


def test_a_display_that_fails_fails_nothing():
    calls = []

    def broken(counts):
        calls.append(counts)
        raise RuntimeError("no API server")

    progress = Progress(1, tell=broken)
    progress.show()
    progress.show()
    assert len(calls) == 1


def test_times_are_spelled_for_people():
    assert (clock(61), clock(3723)) == ("1:01 min", "1:02:03 h")
