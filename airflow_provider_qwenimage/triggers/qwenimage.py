"""Waits for a job in the triggerer; downloads nothing, submits nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_qwenimage.exceptions import QwenImageError
from airflow_provider_qwenimage.models.results import Job
from airflow_provider_qwenimage.payment.unforeseen import not_taken
from airflow_provider_qwenimage.triggers.shared import shared_hook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class QwenImageJobTrigger(BaseTrigger):
    """
    Poll a job until it ends, then emit one event.

    It may run any number of times for the same job: a triggerer that restarts runs it again, and polling costs
    nothing. That is why the request was sent by the worker, before.

    :param job: the ``Job`` as plain JSON.
    :param qwenimage_conn_id: the connection that submitted it.
    :param poll_interval: seconds between polls; all triggers of an account share one budget besides.
    :param job_timeout: seconds since the submission after which the trigger gives up.
    """

    def __init__(
        self, job: dict[str, Any], *, qwenimage_conn_id: str, poll_interval: float, job_timeout: float
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.job = job
        self.qwenimage_conn_id = qwenimage_conn_id
        self.poll_interval = poll_interval
        self.job_timeout = job_timeout

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what another triggerer needs to go on."""
        return f"{__name__}.{type(self).__name__}", {
            "job": self.job,
            "qwenimage_conn_id": self.qwenimage_conn_id,
            "poll_interval": self.poll_interval,
            "job_timeout": self.job_timeout,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Emit ``{"generation": …, "seconds": …}`` or ``{"error": …, "job": …}``, both plain JSON."""
        job = Job.model_validate(self.job)
        try:
            async with shared_hook(self.qwenimage_conn_id) as hook:
                generation = await hook.await_job(job, interval=self.poll_interval, timeout=self.job_timeout)
        except QwenImageError as error:
            yield TriggerEvent({"error": error.facts(), "job": self.job})  # type: ignore[no-untyped-call]
        except Exception as error:
            # A trigger that fails makes Airflow try the task again, which below 3.3 knows nothing of the job.
            self.log.exception("The wait for job %s broke off", job.id)
            facts = not_taken(error, job_id=job.id).facts()
            yield TriggerEvent({"error": facts, "job": self.job})  # type: ignore[no-untyped-call]
        else:
            seconds = (datetime.now(UTC) - job.submitted_at).total_seconds()
            event = {"generation": generation.model_dump(mode="json"), "seconds": round(seconds, 1)}
            yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Cancel the job when a person ends the task: only then, not on a restart of the triggerer."""
        async with shared_hook(self.qwenimage_conn_id) as hook:
            cancelled = await hook.acancel(Job.model_validate(self.job))
        outcome = "was cancelled" if cancelled else "could not be cancelled: it goes on and will be billed"
        self.log.info("Job %s %s.", self.job["id"], outcome)
