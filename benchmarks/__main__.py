"""
Runs the benchmarks side by side and prints the ratios.

    make bench                              everything but the mapped tasks, 5 rounds
    make bench ARGS="imports generate"      some of it
    make bench ARGS=mapped                  500 requests as a batch and as mapped tasks on a real Airflow: half an hour
    make bench ARGS=account                 one key in many processes, against its limits: six minutes
    make bench ARGS=workers                 a campaign in one shard and in four, on two Celery workers: ten minutes
    make bench ARGS=pages                   the plugin's pages in Chromium, beside Airflow's own: five minutes
    BENCH_ROUNDS=1 make bench               a quick look

BENCH_AIOBOTOCORE names a Python with aiobotocore, which cannot live beside the boto3 of the amazon provider.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from benchmarks.account import account
from benchmarks.labels import label
from benchmarks.measuring import ROUNDS, environ, rounds, servers, table
from benchmarks.on_airflow import mapped
from benchmarks.on_workers import workers
from benchmarks.pages import pages, thumbnails
from demo.local_s3 import rclone_program

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = (
    "airflow_provider_qwenimage.operators.qwenimage",
    "airflow_provider_qwenimage.operators.batch",
    "airflow_provider_qwenimage.hooks.qwenimage",
    "airflow_provider_qwenimage.transfers.qwenimage_to_s3",
)
IMPORTS = {
    "ours: operators, hook, transfer": OURS,
    "amazon http_to_s3": ("airflow.providers.amazon.aws.transfers.http_to_s3",),
    "openai operator": ("airflow.providers.openai.operators.openai",),
    "common-ai operator": ("airflow.providers.common.ai.operators.llm",),
}
IMPORT = """
import importlib, time
import airflow.sdk
from airflow.sdk import DAG, BaseOperator, task
before = time.perf_counter()
for name in {names!r}:
    importlib.import_module(name)
print((time.perf_counter() - before) * 1000)
"""


def imports() -> None:
    print(
        f"\n## Import after airflow.sdk, ms (median of {ROUNDS})\n\n| what | ms | of http_to_s3 |\n|---|---|---|"
    )
    taken: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(ROUNDS):
        for name, modules in IMPORTS.items():
            code = IMPORT.format(names=modules)
            ran = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environ()
            )
            if ran.returncode == 0:
                taken[name].append(float(ran.stdout.splitlines()[-1]))
    base = statistics.median(taken["amazon http_to_s3"])
    for name, times in taken.items():
        told = (
            f"{statistics.median(times):.1f} | {statistics.median(times) / base:.3f}"
            if times
            else "not installed | "
        )
        print(f"| {name} | {told} |")


def copies(title: str, contenders: dict[str, dict[str, Any]], **options: Any) -> None:
    s3 = options.pop("s3", "sink")
    with servers(s3=s3, **options) as place:
        taken = rounds(contenders, place)
    rate = {name: took["count"] / took["seconds"] for name, took in taken.items() if "missing" not in took}
    loop, boto3 = rate.get("loop_of_operators"), rate.get("boto3_threads")
    print(f"\n## {title} (median of {ROUNDS})\n")
    print("| contender | images/s | × loop | × boto3 | CPU ms/image | peak MiB |\n|---|---|---|---|---|---|")
    for name, took in taken.items():
        if "missing" in took:
            print(f"| {name} | not installed: {took['missing']} | | | | |")
            continue
        ratios = [f"{rate[name] / other:.2f}" if other else "" for other in (loop, boto3)]
        cpu = took["cpu"] / took["count"] * 1000
        print(
            f"| {name} | {rate[name]:.1f} | {ratios[0]} | {ratios[1]} | {cpu:.2f} | {took['peak_mib']:.0f} |"
        )


def copy() -> None:
    few, many = {"count": 20}, {"count": 200}  # the loop is measured on 20 images: its time is even
    all_of_them = {
        "ours": many,
        "loop_of_operators": few,
        "boto3_threads": many,
        "aiobotocore": many,
        "obstore": many,
        "s5cmd": many,
    }
    copies("Copy of 200 images of 1.5 MB, no latency", all_of_them)
    if not rclone_there():
        print("\nrclone is not installed: the copy to plain files is left out")
    else:
        copies(
            "The same to rclone serve s3, which writes files",
            {k: all_of_them[k] for k in ("ours", "loop_of_operators", "boto3_threads")},
            s3="rclone",
        )
    slow = {
        "ours": many,
        "ours at 64": {**many, "concurrency": 64},
        **{k: v for k, v in all_of_them.items() if k != "ours"},
    }
    copies("Copy with 80 ms before a GET and 40 ms before a PUT", slow, get=0.08, put=0.04)


def rclone_there() -> bool:
    try:
        rclone_program()
    except FileNotFoundError:
        return False
    return True


def memory() -> None:
    with servers() as place:
        taken = {
            count: rounds({"ours": {"count": count}}, place)["ours"]["peak_mib"] for count in (100, 2000)
        }
    print(f"\n## Peak memory of a copy (median of {ROUNDS})\n\n| images | MiB |\n|---|---|")
    for count, peak in taken.items():
        print(f"| {count} | {peak:.0f} |")
    print(f"\nRatio: {taken[2000] / taken[100]:.3f}")


def generate() -> None:
    with servers(image_bytes=1000) as place:
        taken = rounds({"generate": {"count": 1000}, "bare_post": {"count": 1000}}, place)
    print(
        f"\n## One generate call against httpx.post with a reused client (median of {ROUNDS}, 1,000 calls)\n"
    )
    print("| what | CPU ms | ms |\n|---|---|---|")
    each = {
        name: [took[key] / took["count"] * 1000 for key in ("cpu", "seconds")] for name, took in taken.items()
    }
    for name, (cpu, wall) in each.items():
        print(f"| {name} | {cpu:.3f} | {wall:.3f} |")
    ratio = [ours / bare for ours, bare in zip(each["generate"], each["bare_post"], strict=True)]
    print(f"\nRatios: CPU {ratio[0]:.2f}, latency {ratio[1]:.2f}")


def batch() -> None:
    with servers(image_bytes=1_500_000, latency=2) as place:
        took = rounds({"batch": {"count": 500, "concurrency": 100}}, place)["batch"]
    table(
        f"500 requests at 2 s, 100 at once (median of {ROUNDS})", "s", "× the ideal 10 s", "CPU s", "peak MiB"
    )
    print(
        f"| {took['seconds']:.2f} | {took['seconds'] / 10:.2f} | {took['cpu']:.2f} | {took['peak_mib']:.0f} |"
    )


def growth() -> None:
    """Each in a process that ran a small batch before: threads, clients and modules are not the images' cost."""
    counts = (100, 1000, 10000)
    with servers(image_bytes=20_000) as place:
        jobs = {f"batch {count}": {"count": count, "concurrency": 32, "warm": 200} for count in counts}
        taken = rounds(jobs, place)
    title = f"Growth of a batch, 32 at once, after one of 200 (median of {ROUNDS})"
    table(title, "requests", "s", "ms/image", "peak MiB", "KiB/image above the peak before")
    each = {name: (took["seconds"], took["grown_mib"] * 1024) for name, took in taken.items()}
    for count, (name, took) in zip(counts, taken.items(), strict=True):
        spent, grown = (value / count for value in each[name])
        print(
            f"| {count} | {took['seconds']:.1f} | {spent * 1000:.2f} | {took['peak_mib']:.0f} | {grown:.1f} |"
        )
    longer, larger = (
        big / small / 10 for big, small in zip(each["batch 10000"], each["batch 1000"], strict=True)
    )
    print(f"\nPer image, 10,000 against 1,000: time {longer:.2f}, memory {larger:.2f}")


def campaign() -> None:
    """The plan and the close of 100,000 rows; memory is what they take above their imports."""
    with servers(s3="rclone") as place:
        jobs = {name: {"count": 100_000} for name in ("plan", "close")}
        taken = rounds(jobs, place)
    table(f"A campaign of 100,000 rows (median of {ROUNDS})", "task", "s", "CPU s", "MiB above the import")
    for name, took in taken.items():
        print(f"| {name} | {took['seconds']:.1f} | {took['cpu']:.1f} | {took['grown_mib']:.0f} |")


def machine() -> None:
    cores, memory_gib = os.cpu_count(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    names = (
        "apache-airflow-core",
        "apache-airflow-providers-amazon",
        "boto3",
        "httpx",
        "obstore",
        "s5cmd",
        "pydantic",
    )
    told = []
    for name in names:
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            told.append(f"{name} not installed")
    load = os.getloadavg()[0]
    print(f"{cores} cores, {memory_gib:.0f} GiB, load {load:.1f} before; Python {sys.version.split()[0]}")
    print(", ".join(told))


PARTS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        imports,
        generate,
        copy,
        memory,
        batch,
        growth,
        label,
        campaign,
        thumbnails,
        mapped,
        account,
        workers,
        pages,
    )
}
ALONE = ("mapped", "account", "workers", "pages")  # minutes each, and servers of their own


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # unwinds, so that what was started is stopped
    chosen = sys.argv[1:] or [name for name in PARTS if name not in ALONE]
    if unknown := sorted(set(chosen) - set(PARTS)):
        raise SystemExit(f"there is no {', '.join(unknown)}; there are {', '.join(PARTS)}")
    machine()
    for name in chosen:
        PARTS[name]()
        sys.stdout.flush()


if __name__ == "__main__":
    main()
