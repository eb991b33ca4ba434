"""DashScope jobs: PENDING, RUNNING, then SUCCEEDED, FAILED or CANCELED. Nothing runs: the clock decides."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_qwenimage.simulator.settings import Settings

_CHINA = timezone(timedelta(hours=8))


@dataclass
class Job:
    """One job.

    :param reply: the body of a poll once it succeeded.
    :param images: images billed by success.
    :param fault: job_failed, job_failed_top_level, job_unknown, job_stuck, job_missing_status or None.
    :param endpoint: the service it was submitted to.
    :param request_id: of its submission.
    :param key: the header with the API key that submitted it; no other one is shown it.
    """

    gateway: str
    model: str
    seconds: float
    pending: float
    reply: dict[str, Any]
    images: int
    fault: str | None = None
    endpoint: str = ""
    request_id: str = ""
    key: str = field(default="", repr=False)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: float = field(default_factory=time.time)
    canceled: float | None = None

    @property
    def status(self) -> str:
        """The status at this moment."""
        age = time.time() - self.created
        if self.canceled:
            return "CANCELED"
        if age < self.pending:
            return "PENDING"
        if age < self.seconds or self.fault == "job_stuck":
            return "RUNNING"
        if self.fault == "job_unknown":
            return "UNKNOWN"
        return "FAILED" if (self.fault or "").startswith("job_failed") else "SUCCEEDED"

    def times(self) -> dict[str, str]:
        """The times a poll tells, in China's time zone."""
        told = {"submit_time": _clock(self.created)}
        if self.status != "PENDING":
            told["scheduled_time"] = _clock(self.created + self.pending)
        if self.status in ("SUCCEEDED", "FAILED", "CANCELED"):
            told["end_time"] = _clock(self.canceled or self.created + self.seconds)
        return told


class Jobs:
    """All jobs, by id."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def submit(self, **facts: Any) -> Job:
        """Start a job that ends after `job_seconds`.

        :param facts: fields of `Job`.
        """
        seconds = self._settings.job_seconds
        pending = seconds * self._settings.pending_share
        job = Job(seconds=seconds, pending=pending, **facts)
        with self._lock:
            self._jobs[job.id] = job
        return job

    def find(self, job_id: str, *, gateway: str, key: str) -> Job | None:
        """The job; None for an unknown id and for a job of another region or key."""
        with self._lock:
            job = self._jobs.get(job_id)
        return job if job and (job.gateway, job.key) == (gateway, key) else None

    def is_open(self, job_id: str) -> bool:
        """Whether a job has not ended."""
        with self._lock:
            job = self._jobs.get(job_id)
        return job is not None and job.status in ("PENDING", "RUNNING")

    def cancel(self, job: Job) -> bool:
        """Cancel a PENDING job.

        :return: whether it was still PENDING.
        """
        with self._lock:
            if job.status != "PENDING":
                return False
            job.canceled = time.time()
            return True

    def list(self, gateway: str, *, key: str | None = None) -> list[Job]:
        """Jobs of one gateway, newest first; of one key where it is given."""
        with self._lock:
            found = [job for job in reversed(self._jobs.values()) if job.gateway == gateway]
        return [job for job in found if key in (None, job.key)]

    def billed(self, gateway: str | None = None) -> int:
        """Images of jobs that succeeded."""
        with self._lock:
            done = [job for job in self._jobs.values() if job.status == "SUCCEEDED"]
        return sum(job.images for job in done if gateway in (None, job.gateway))

    def statuses(self) -> dict[str, int]:
        """How many jobs are in which status."""
        with self._lock:
            return dict(Counter(job.status for job in self._jobs.values()))

    def gateways(self) -> set[str]:
        """Gateways that have jobs."""
        with self._lock:
            return {job.gateway for job in self._jobs.values()}

    def clear(self) -> None:
        """Forget all jobs."""
        with self._lock:
            self._jobs.clear()


def poll_body(job: Job | None, job_id: str, request_id: str) -> dict[str, Any]:
    """What a poll answers, contract 4.3 and E6."""
    if job is None or job.status == "UNKNOWN":
        return {"request_id": request_id, "output": {"task_id": job_id, "task_status": "UNKNOWN"}}
    output: dict[str, Any] = {"task_id": job.id, "task_status": job.status, **job.times()}
    if job.fault == "job_missing_status":
        del output["task_status"]
    if job.status == "SUCCEEDED":
        return {"request_id": request_id, **job.reply, "output": {**output, **job.reply["output"]}}
    if job.status != "FAILED":
        return {"request_id": request_id, "output": output}
    # C22: wan2.6 lists code and message at top level, the other pages inside output.
    reason = {
        "code": "InternalError.Algo",
        "message": "An internal error has occurred during algorithm execution.",
    }
    counts = {"task_metrics": {"TOTAL": job.images, "SUCCEEDED": 0, "FAILED": job.images}}
    if job.fault == "job_failed_top_level":
        return {"request_id": request_id, **reason, "output": {**output, **counts}}
    return {"request_id": request_id, "output": {**output, **reason, **counts}}


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, _CHINA).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
