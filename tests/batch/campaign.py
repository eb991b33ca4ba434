"""Runs a batch as a worker process does; ``test_killed.py`` kills it."""

from __future__ import annotations

import json
import logging
import signal
import sys

from airflow_provider_qwenimage.batch.running import BatchRun
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.models.manifest import Origin
from airflow_provider_qwenimage.models.options import BatchOptions


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    options, count, model = json.loads(sys.argv[1])
    hook = QwenImageHook("qwenimage_default")
    run = BatchRun(hook.settings, BatchOptions(**options), Origin(dag_id="d", task_id="t", run_id="r"))
    signal.signal(signal.SIGTERM, lambda *_: run.stop())  # as Airflow's task runner calls on_kill
    requests = [{"prompt": f"product {number}"} for number in range(count)]
    verdict, outcome = run.run(requests, defaults={"model": model})
    told = {"done": len(verdict.done), "failed": verdict.failures(), "uris": outcome.uris}
    sys.stdout.write(f"{json.dumps(told)}\n")


if __name__ == "__main__":
    main()
