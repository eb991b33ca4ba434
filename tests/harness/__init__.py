"""
Airflow's own task runner on an Execution API that lives in memory: no database, about 10 ms a task.

Templates, XCom, connections, retries, retry policies, the task state store, outlet events, deferral and mapping
are Airflow's own code; only the server's answers are ours (``execution_api.py``)::

    airflow = InMemoryAirflow(connections={"qwenimage_default": {"conn_type": "qwenimage", "password": "sk-1"}})
    attempt = airflow.run(operator)                 # one try; run it again for the next one
    attempt.state, attempt.xcoms, attempt.error, attempt.retry_delay, attempt.trigger
    airflow.run_to_end(operator)                    # follows deferrals and retries to the last state

What operators and hooks log is printed: pytest's ``capsys`` has it.
"""

from __future__ import annotations

from harness.airflow import Attempt, InMemoryAirflow, as_template, run_task
from harness.execution_api import ExecutionApi

__all__ = ["Attempt", "ExecutionApi", "InMemoryAirflow", "as_template", "run_task"]
