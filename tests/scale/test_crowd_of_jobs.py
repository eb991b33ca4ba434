"""500 deferred jobs in two triggerers that share a Redis: together they keep to the gateway's polls a second."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import httpx
import pytest

from demo.processes import service
from e2e.crowd import CONNECTION, submitted
from scale.servers import redis

JOBS = 500
JOB_SECONDS = 30.0
POLLS_PER_SECOND = 20
KEY = "sk-crowd-key"
TESTS = Path(__file__).parents[1]


@pytest.fixture
def gateway(tmp_path):
    """A simulator in a process of its own, so that nothing but the triggerers is in their way."""
    command = (sys.executable, "-m", "airflow_provider_qwenimage.simulator", "--port", "0", "--key", KEY)
    settings = ("--job-seconds", str(JOB_SECONDS), "--quiet")
    environ = {"PYTHONPATH": str(TESTS.parent)}
    with service(
        (*command, *settings), ready=r"ready on (\S+)", log=tmp_path / "simulator.log", environ=environ
    ) as ready:
        yield ready[1]


@pytest.fixture
def account(tmp_path):
    """The Redis in which the account's processes meet."""
    with redis(tmp_path) as server:
        fields = {"conn_type": "redis", "host": "127.0.0.1", "port": server.port}
        os.environ |= {
            "AIRFLOW_CONN_ACCOUNT": json.dumps(fields),
            "AIRFLOW__QWENIMAGE__ACCOUNT_CONN_ID": "account",
        }
        yield server


@pytest.mark.usefixtures("account")
async def test_500_jobs_in_two_triggerers_meet_no_refusal(gateway, capsys):
    extra = {
        "gateway": "dashscope",
        "allow_private_hosts": True,
        "limits": {"polls_per_second": POLLS_PER_SECOND},
    }
    fields = {"conn_type": "qwenimage", "host": f"{gateway}/dashscope", "password": KEY, "extra": extra}
    os.environ[f"AIRFLOW_CONN_{CONNECTION.upper()}"] = json.dumps(fields)
    async with httpx.AsyncClient(base_url=gateway) as client:
        limits = {"limits": {"polls_per_second": POLLS_PER_SECOND}}
        (await client.post("/_settings", json=limits)).raise_for_status()
    triggers = await submitted(JOBS)

    began = time.monotonic()
    got = await asyncio.gather(*(triggerer(triggers[first::2]) for first in range(2)))
    took = time.monotonic() - began

    async with httpx.AsyncClient(base_url=gateway) as client:
        seen = (await client.get("/_state")).json()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{JOBS} jobs of {JOB_SECONDS:g} s in two triggerers: done after {took:.1f} s, {seen['polls']} polls, at "
            f"most {seen['max_polls_per_second']} a second, refused: {seen['account']['refused']}\n"
        )
    assert not any(seen["account"]["refused"].values())
    assert sum(got) == seen["posts"] == seen["billed"] == JOBS


async def triggerer(triggers):
    """Run triggers in a process of their own, and return how many got their images."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scale.one_triggerer",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS)))},
    )
    said, _ = await process.communicate(json.dumps(triggers).encode())
    return int(said.split()[-1])
