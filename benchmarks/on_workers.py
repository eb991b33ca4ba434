"""One campaign on an Airflow with two Celery workers: in one shard, which one of them works on, and in four."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.contenders import connections
from benchmarks.measuring import ROOT, servers, table
from benchmarks.on_airflow import ended, seconds_between

ROWS = int(os.environ.get("BENCH_WORKERS", "4000"))
TARGET = 1.7


def workers() -> None:
    """Run both Dags, the second of them while the first is over, and compare how long they took."""
    sys.path.insert(0, str(ROOT / "tests"))
    import psutil

    from e2e.airflow_cluster import running_airflow
    from scale.conftest import COMPONENTS, settings_of
    from scale.servers import postgres, redis

    taken = {}
    # Not below a folder of ours alone: PostgreSQL runs as a user of its own.
    with (
        servers(image_bytes=20_000, latency=1, s3="rclone") as place,
        tempfile.TemporaryDirectory() as folder,
    ):
        Path(folder).chmod(0o755)
        home = Path(folder) / "airflow"
        home.mkdir()
        with postgres(Path(folder)) as database, redis(Path(folder)) as broker:
            environ = {
                **settings_of(database, broker),
                **connections(place),
                "AIRFLOW__QWENIMAGE__ACCOUNT_CONN_ID": "",
                "BENCH_MAPPED": "1",  # the other Dags of the folder
                "BENCH_ROWS_FILE": str(_rows(home)),
            }
            dags = Path(__file__).parent / "dags"
            with running_airflow(dags=dags, home=home, environ=environ, components=COMPONENTS) as airflow:
                for shards in (1, 4):
                    before = psutil.cpu_times()
                    taken[shards] = _spans(airflow, f"bench_shards_{shards}")
                    taken[shards]["busy"] = _busy(before, psutil.cpu_times())
    _print(taken)


def _rows(home: Path) -> Path:
    file = home / "rows.csv"
    file.write_text("prompt,sku\n" + "".join(f"product {number},A-{number}\n" for number in range(ROWS)))
    return file


def _spans(airflow: Any, dag_id: str) -> dict[str, Any]:
    run = airflow.trigger(dag_id)
    facts = ended(airflow, f"/dags/{run.dag_id}/dagRuns/{run.run_id}")
    if facts["state"] != "success":
        raise SystemExit(f"{run} {facts['state']}")
    tasks = airflow.tasks(run)
    shards = [task for task in tasks if task["task_id"] == "campaign.shards"]
    first, last = min(task["start_date"] for task in shards), max(task["end_date"] for task in shards)
    return {
        "run": seconds_between(facts["start_date"], facts["end_date"]),
        "shards": seconds_between(first, last),
        "workers": len({task["hostname"] for task in shards}),
    }


def _busy(before: Any, after: Any) -> float:
    """Return the share of all cores' time that was not idle."""
    spent = {name: getattr(after, name) - getattr(before, name) for name in after._fields}
    return 1 - (spent["idle"] + spent.get("iowait", 0)) / sum(spent.values())


def _print(taken: dict[int, dict[str, Any]]) -> None:
    title = f"A campaign of {ROWS} rows, 1 s each, 50 seats a shard, two Celery workers"
    table(
        title,
        "shards",
        "on workers",
        "run s",
        "requests/s",
        "× one shard",
        "shards alone s",
        "× one shard",
        "CPU busy",
    )
    for shards, took in taken.items():
        rates = [taken[1][name] / took[name] for name in ("run", "shards")]
        print(
            f"| {shards} | {took['workers']} | {took['run']:.1f} | {ROWS / took['run']:.0f} | {rates[0]:.2f} "
            f"| {took['shards']:.1f} | {rates[1]:.2f} | {took['busy']:.0%} |"
        )
    print(f"\nTarget: {TARGET} × while the CPU is not the bound")
