"""
Airflow's API is away: what a task has to tell it is told again, with pauses, for as long as the task may live.

Airflow's supervisor (3.3.2) asks the API for each request up to ``[workers] execution_api_retries`` times (5, within
some 15 s), and ends a task after ``[workers] max_failed_heartbeats`` (3) heartbeats that failed in the same way: after
about a minute, later where the task's own requests keep it busy. The scheduler gives a task up that was not heard of
for ``[scheduler] task_instance_heartbeat_timeout`` (300 s): no answer is worth waiting for after that.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

PAUSE = 2.0  # seconds between two attempts; the supervisor's own come on top
_LIFE = 300.0
_SERVER_ERROR = 500
# What httpx calls a request that found no server or lost it, as the supervisor hands it on by name.
_LOST = frozenset(
    {
        "ConnectError",
        "ReadError",
        "WriteError",
        "CloseError",
        "RemoteProtocolError",
        "ProxyError",
        "ConnectTimeout",
    }
    | {"ReadTimeout", "WriteTimeout", "PoolTimeout"}
)


def until_taken(call: Callable[[], object], error: Exception) -> None:
    """
    Repeat a call that failed with ``error`` until Airflow takes it.

    :raises Exception: the last error; at once, where it says no outage.
    """
    life = conf.getfloat("scheduler", "task_instance_heartbeat_timeout", fallback=_LIFE)
    began = time.monotonic()
    log.warning("Airflow does not answer; what it must know is told again until it does: %s", redact(error))
    while _is_away(error) and time.monotonic() - began + PAUSE < life:
        time.sleep(PAUSE)
        try:
            call()
        except Exception as again:  # noqa: BLE001 - raised below
            error = again
        else:
            log.info("Airflow has answered after %.0f s.", time.monotonic() - began)
            return
    raise error


def _is_away(error: Any) -> bool:
    """Whether the API could not be reached or failed itself: what it refuses, it refuses again."""
    told = getattr(getattr(error, "error", None), "detail", None)  # of the SDK's AirflowRuntimeError
    if isinstance(told, dict):
        status = told.get("status_code")
        return told.get("exception_type") in _LOST if status is None else int(status) >= _SERVER_ERROR
    answered = getattr(getattr(error, "response", None), "status_code", 0)
    return isinstance(error, OSError) or type(error).__name__ in _LOST or answered >= _SERVER_ERROR
