"""Runs one try of a task as a worker process does, and kills it; what Airflow keeps of it lies in a file."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import httpx

from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from harness import InMemoryAirflow
from harness.execution_api import ExecutionApi
from harness.processes import wait_until


class KeptApi(ExecutionApi):
    """An API whose task state store outlives the process; it takes no answer while a file beside it says so."""

    def __init__(self, file):
        super().__init__()
        self.file = file
        if file.exists():
            self.state_store = {("generate", -1): json.loads(file.read_text())}

    def __call__(self, request):
        told = request.content.decode()
        answer_told = "/xcoms/" in request.url.path or '"done"' in told or '"submitted"' in told
        if answer_told and request.method in ("POST", "PUT") and self.file.with_suffix(".away").exists():
            return httpx.Response(503, json={"detail": "the database is away"})
        answer = super().__call__(request)
        self.file.write_text(json.dumps(self.state_store.get(("generate", -1), {})))
        return answer


def kill_when(processes, reached):
    wait_until(reached, *processes)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait()


def ended(process):
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def main():
    file, arguments = json.loads(sys.argv[1])
    airflow = InMemoryAirflow()
    airflow.api = KeptApi(Path(file))
    attempt = airflow.run(QwenImageGenerateOperator(task_id="generate", retries=1, **arguments))
    told = {"state": attempt.state, "uris": attempt.result, "job_id": attempt.xcoms.get("job_id")}
    sys.stdout.write(f"\n{json.dumps({**told, 'error': str(attempt.error)})}\n")


if __name__ == "__main__":
    main()
