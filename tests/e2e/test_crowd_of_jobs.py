"""500 deferred jobs in one triggerer: the gateway's limit holds, nobody starves, the event loop stays free."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import httpx
import pytest

from airflow_provider_qwenimage.triggers.qwenimage import QwenImageJobTrigger
from demo.processes import service
from e2e.crowd import first_event, submitted

JOBS = 500
JOB_SECONDS = 30.0
POLLS_PER_SECOND = 20
LAG = 0.1  # seconds, 99th percentile
TICK = 0.01
KEY = "sk-crowd-key"

# The machine's own lag, measured beside ours: what a loop with nothing else to do sees.
IDLE_LOOP = Path(__file__).with_name("idle_loop.py")


@pytest.fixture
def gateway(tmp_path):
    """A simulator in a process of its own, so that its work is not mistaken for the triggerer's."""
    command = (sys.executable, "-m", "airflow_provider_qwenimage.simulator", "--port", "0", "--key", KEY)
    settings = ("--job-seconds", str(JOB_SECONDS), "--quiet")
    environ = {"PYTHONPATH": str(Path(__file__).parents[2])}
    with service(
        (*command, *settings), ready=r"ready on (\S+)", log=tmp_path / "simulator.log", environ=environ
    ) as ready:
        yield ready[1]


async def test_500_jobs_in_one_triggerer_keep_to_the_budget_and_leave_the_loop_free(gateway):
    extra = {"gateway": "dashscope", "allow_private_hosts": True}
    fields = {"conn_type": "qwenimage", "host": f"{gateway}/dashscope", "password": KEY, "extra": extra}
    os.environ["AIRFLOW_CONN_CROWD"] = json.dumps(fields)
    triggers = [QwenImageJobTrigger(**arguments) for arguments in await submitted(JOBS)]

    lags: list[float] = []
    probe = asyncio.create_task(measure(lags))
    idle = await asyncio.create_subprocess_exec(
        sys.executable, str(IDLE_LOOP), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    started = time.monotonic()
    events = await asyncio.gather(*(first_event(trigger) for trigger in triggers))
    took = time.monotonic() - started
    probe.cancel()
    machine = float((await idle.communicate(b""))[0])
    async with httpx.AsyncClient() as client:
        seen = (await client.get(f"{gateway}/_state")).json()

    lag = percentile(lags, 0.99)
    report = (
        f"{JOBS} jobs of {JOB_SECONDS:g} s: done after {took:.1f} s, {seen['polls']} polls, at most "
        f"{seen['max_polls_per_second']} a second; lag p99 {lag * 1e3:.1f} ms, of an idle loop {machine * 1e3:.1f} ms"
    )
    sys.stdout.write(f"\n{report}\n")
    assert all("generation" in event for event in events)
    assert (seen["posts"], seen["billed"]) == (JOBS, JOBS)
    assert seen["max_polls_per_second"] <= POLLS_PER_SECOND
    assert took <= 1.3 * JOB_SECONDS + JOBS / POLLS_PER_SECOND
    assert lag < LAG + machine


async def measure(lags):
    """Note how much later than asked for the loop comes back."""
    while True:
        asked = time.monotonic() + TICK
        await asyncio.sleep(TICK)
        lags.append(time.monotonic() - asked)


def percentile(values, share):
    return sorted(values)[int(share * (len(values) - 1))]
