"""Starts the servers, runs each contender in a process of its own, in turn, and takes the medians."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.local_s3 import serving
from demo.processes import service

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
ROOT = Path(__file__).parent.parent
Took = dict[str, Any]


def environ() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled once, not by each process
    home = Path(tempfile.gettempdir()) / "qwenimage-bench"
    home.mkdir(exist_ok=True)
    paths = os.pathsep.join((str(ROOT), kept.get("PYTHONPATH", "")))
    return {
        **kept,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "PYTHONPATH": paths,
    }


@contextmanager
def servers(*, s3: str = "sink", **options: Any) -> Iterator[dict[str, Any]]:
    """An image host with a gateway, and an S3 server: our own that forgets bytes, or rclone with plain files."""
    flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    command = (sys.executable, "-m", "benchmarks.server", *flags)
    with ExitStack() as started, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ready = r"ready (http://\S+)"
        logs = Path(folder)
        images = started.enter_context(service(command, ready=ready, log=logs / "images.log"))[1]
        if s3 == "sink":
            place = started.enter_context(service(command, ready=ready, log=logs / "s3.log"))[1]
            yield {"images": images, "s3": place}
        else:
            local = started.enter_context(serving(logs / "buckets", log=logs / "rclone.log"))
            local.client().create_bucket(Bucket="bench")
            yield {"images": images, "s3": local.url, "key": local.access_key, "secret": local.secret_key}


def once(name: str, job: dict[str, Any]) -> Took:
    python = os.environ.get("BENCH_AIOBOTOCORE", sys.executable) if name == "aiobotocore" else sys.executable
    command = [python, "-m", "benchmarks.contenders", name, json.dumps(job)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environ(), cwd=ROOT)
    # obstore aborts now and then while the interpreter ends: its result is told by then.
    if ran.returncode and not (ran.returncode == -signal.SIGABRT and ran.stdout):
        raise SystemExit(f"{name} failed with {ran.returncode}:\n{ran.stderr[-3000:]}")
    return json.loads(ran.stdout.splitlines()[-1])


def rounds(
    names: dict[str, dict[str, Any]], place: dict[str, Any], *, count: int | None = None
) -> dict[str, Took]:
    """Run every contender once a round, one after the other, so that a busy minute hits them all."""
    taken: dict[str, list[Took]] = {name: [] for name in names}
    for _ in range(count or ROUNDS):
        for name, job in names.items():
            taken[name].append(once(name.partition(" ")[0], {**place, **job}))
    return {name: middle(runs) for name, runs in taken.items()}


def middle(runs: list[Took]) -> Took:
    if any("missing" in run for run in runs):
        return {"missing": runs[0].get("missing")}
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def table(title: str, *columns: str) -> None:
    print(f"\n## {title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
