"""Leaves the worker until a job has ended or a turn has come, and comes back."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.exceptions import restore
from airflow_provider_qwenimage.hooks.qwenimage import FinalForAirflow
from airflow_provider_qwenimage.operators.results import ImageBaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_qwenimage.models.options import Options
    from airflow_provider_qwenimage.models.requests import Request
    from airflow_provider_qwenimage.models.results import Generation, Job
    from airflow_provider_qwenimage.payment.ledger import Ledger

_NET = 300.0  # seconds the deferral outlives the trigger's own deadline, in case the triggerer died


class DeferringBaseOperator(ImageBaseOperator):
    """
    What an operator that may wait in the triggerer does before and after.

    :ivar place: its place in the account's line, where it has waited for its turn.
    """

    place: list[Any] | None = None

    @abstractmethod
    def _options(self) -> Options:
        """Return its checked arguments."""

    @abstractmethod
    def _request(self) -> Request:
        """Return the request the author means."""

    @abstractmethod
    def _ledger(self, context: Context, request: Request) -> Ledger:
        """Open the record of its task instance."""

    @abstractmethod
    def _came(self, generation: Generation, *, waited: float | None = None) -> None:
        """Say and count what was paid for and came."""

    @abstractmethod
    def _deliver(
        self, context: Context, generation: Generation, ledger: Ledger, options: Options
    ) -> list[str]:
        """Push and store what was paid for."""

    def _leave(self, job: Job, options: Options) -> None:
        """Leave the worker until a job's trigger has an event; ``execute_complete`` goes on with it."""
        from airflow_provider_qwenimage.triggers.qwenimage import QwenImageJobTrigger

        trigger = QwenImageJobTrigger(
            job.model_dump(mode="json"),
            qwenimage_conn_id=self.qwenimage_conn_id,
            poll_interval=options.poll_interval,
            job_timeout=options.job_timeout,
        )
        timeout = timedelta(seconds=options.job_timeout + _NET)
        self.log.info("Waiting for job %s of %s in the triggerer.", job.id, job.gateway)
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[str]:
        """Go on after the trigger: raise its error typed, or store and push its images."""
        with FinalForAirflow():
            return self._complete(context, event)

    def _complete(self, context: Context, event: dict[str, Any]) -> list[str]:
        from airflow_provider_qwenimage.models.results import Generation, Job
        from airflow_provider_qwenimage.operators.results import refuse_foreign

        options, request = self._options(), self._request()
        ledger = self._ledger(context, request)
        if facts := event.get("error"):
            job = Job.model_validate(event["job"]) if event.get("job") else None
            with ledger.settling("submitted", on_unknown_outcome=options.on_unknown_outcome):
                raise restore({**facts, "job": job})
        generation = Generation.model_validate(event["generation"])
        refuse_foreign(generation, options.persist_to)
        ledger.keep(generation)
        self._came(generation, waited=event.get("seconds"))
        with self.s3:
            return self._deliver(context, generation.labelled(request.labels), ledger, options)

    def execute_in_turn(self, context: Context, event: dict[str, Any]) -> list[str]:
        """Go on after the wait for a turn: nothing was sent before it."""
        self.place = event["place"]
        with FinalForAirflow():
            return self._execute(context)
