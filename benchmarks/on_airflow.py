"""The same requests on a real Airflow: one batch task, and one mapped task for each request."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.contenders import connections
from benchmarks.measuring import ROOT, ROUNDS, servers, table

REQUESTS = int(os.environ.get("BENCH_MAPPED", "500"))
AT_ONCE = 16  # tasks
PATIENT = {"timeout": 120}  # seconds; so many workers keep SQLite's lock for longer than its usual 5


def mapped() -> None:
    """Run both Dags in turn, a round after the other, and compare how long their runs took."""
    sys.path.insert(0, str(ROOT / "tests"))
    from e2e.airflow_cluster import running_airflow

    taken: dict[str, list[float]] = {"bench_batch": [], "bench_mapped": []}
    with servers(image_bytes=20_000, latency=2) as place, tempfile.TemporaryDirectory() as home:
        variables = {
            **connections(place),
            "BENCH_MAPPED": str(REQUESTS),
            "PYTHONPATH": str(ROOT),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": f"{__name__}.PATIENT",
            "AIRFLOW__CORE__PARALLELISM": str(AT_ONCE),
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": str(AT_ONCE),
        }
        dags = Path(__file__).parent / "dags"
        with running_airflow(dags=dags, home=Path(home), environ=variables) as airflow:
            for _ in range(ROUNDS):
                for name, times in taken.items():
                    times.append(_seconds(airflow, name))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    table(
        f"{REQUESTS} requests at 2 s as one batch task and as mapped tasks, LocalExecutor (median of {ROUNDS})",
        "Dag",
        "s",
        "requests/s",
        "times the batch",
    )
    for name, seconds in medians.items():
        rate, ratio = REQUESTS / seconds, seconds / medians["bench_batch"]
        print(f"| {name} | {seconds:.1f} | {rate:.1f} | {ratio:.1f} |")
    print(
        f"\nSingle rounds: { ({name: [round(each, 1) for each in times] for name, times in taken.items()}) }"
    )


def _seconds(airflow: Any, dag_id: str) -> float:
    run = airflow.trigger(dag_id)
    facts = ended(airflow, f"/dags/{run.dag_id}/dagRuns/{run.run_id}")
    if facts["state"] != "success":
        raise SystemExit(f"{run} {facts['state']}")
    return seconds_between(facts["start_date"], facts["end_date"])


def seconds_between(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def ended(airflow: Any, path: str) -> dict[str, Any]:
    """Ask now and then, because SQLite has other things to do, and bear that it is locked."""
    while True:
        time.sleep(2)
        airflow.check()
        try:
            facts = airflow.call("GET", path)
        except AssertionError:
            continue
        if facts["state"] in ("success", "failed"):
            return facts
