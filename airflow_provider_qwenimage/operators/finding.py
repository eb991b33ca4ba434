"""
What a task does with a request whose outcome is unknown: a worker died, or an answer was lost.

::

    beside the images? ──► under the same key again? ──► paid again, if so told ──► found in the gateway's list ──► told

In this order, for each costs more than the one before it. Nothing here is loaded while outcomes are known.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from airflow_provider_qwenimage import telemetry
from airflow_provider_qwenimage.exceptions import OutcomeUnknown, QwenImageError, TransferError
from airflow_provider_qwenimage.gateway import find
from airflow_provider_qwenimage.payment.finding import Lost, adopt
from airflow_provider_qwenimage.payment.record import REMEMBERED, Record
from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_qwenimage.models.options import Options
    from airflow_provider_qwenimage.models.requests import Request
    from airflow_provider_qwenimage.models.results import Generation, Job
    from airflow_provider_qwenimage.operators.base import QwenImageBaseOperator
    from airflow_provider_qwenimage.payment.ledger import Ledger
    from airflow_provider_qwenimage.wire.job_list import ListedJob

log = logging.getLogger(__name__)

_ABSENT = 404
_LARGEST = 1 << 24  # bytes of an answer: links and texts


class UnknownOutcome:
    """
    A request of a task that may have been billed.

    :param request: as the author means it; its input images need not be sendable.
    """

    def __init__(
        self, operator: QwenImageBaseOperator, request: Request, ledger: Ledger, options: Options
    ) -> None:
        self._operator, self._ledger, self._options = operator, ledger, options
        self._settings = operator.hook.settings
        self._request = request.model_copy(update={"model": request.model or self._settings.model})

    def of_earlier_try(self, context: Context, record: Record) -> Generation | Job | None:
        """
        Return what became of an intent that an earlier try left; ``None`` where it may be sent again.

        :raises OutcomeUnknown: nobody can tell; it names the jobs that may be it.
        """
        if kept := self._beside(context, record):
            return kept
        if self._ledger.repeats(record) and datetime.now(UTC) - record.at < REMEMBERED:
            log.warning("Asking for the same again under its idempotency key, which is billed once.")
            self._ledger.again = record
            return None
        if self._options.on_unknown_outcome == "resubmit":
            log.warning("An earlier try may have been billed; sending again, as on_unknown_outcome says.")
            return None
        unknown = OutcomeUnknown(
            f"An earlier try sent this request at {record.at:%Y-%m-%d %H:%M:%S} UTC and ended before its answer",
            advice="Look at the gateway's usage log; clear the task to pay again, "
            "or set on_unknown_outcome='resubmit'.",
            request_id=record.request_id,
        )
        unknown.final = self._options.on_unknown_outcome == "fail"
        latest = min(datetime.now(UTC), record.at + find.longest_exchange(self._settings))
        return self._job(
            unknown, since=record.at, until=record.lost_at or latest, request_id=record.request_id
        )

    def of_this_try(self, error: QwenImageError) -> Job:
        """
        Return the job that the gateway made of a request whose answer was lost just now.

        :raises QwenImageError: ``error``, with the jobs that may be it.
        """
        now = datetime.now(UTC)
        return self._job(error, since=self._ledger.sent_at or now, until=now, request_id=error.request_id)

    def _job(self, error: QwenImageError, *, since: datetime, until: datetime, request_id: str | None) -> Job:
        """Return the one job that can only be it, as ``find`` says, or tell what may be it."""
        told = self._options.on_unknown_outcome
        if told == "resubmit" or not find.can_be_asked(self._settings, self._request):
            raise error
        owner = self._ledger.owner_since(since)
        lost = Lost.of(self._request, owner=owner, since=since, until=until, request_id=request_id)
        if told == "fail":
            if named := find.briefly(self._settings, self._request, [lost]):
                error.advice = f"{named} {error.advice}".strip()
            raise error
        listed = self._found(lost, error)
        if listed is None:
            raise error
        job = find.job_of(self._settings, self._request, listed)
        telemetry.count_found(job)
        log.warning(
            "The answer was lost; the gateway lists the job that is its, which is adopted: %s", job.id
        )
        self._ledger.keep(job)
        return job

    def _found(self, lost: Lost, error: QwenImageError) -> ListedJob | None:
        """Search, and claim what is found; where nothing is, let the error tell why."""
        options, client = self._options, self._operator.hook.get_conn()
        try:
            search = find.find(client, [lost], interval=options.poll_interval, seconds=options.job_timeout)
        except QwenImageError as problem:
            why = f"Its job could not be looked for: {redact(problem.what)}."
        else:
            claims = find.claims(self._settings)
            found = adopt([lost], search.seen, whole=search.whole, claims=claims)
            if lost.owner in found:
                return found[lost.owner]
            may_be = find.candidates(self._settings, self._request, [lost], search, claims=claims)
            why = find.told_of(may_be)
        error.advice = f"{why} {error.advice}".strip()
        return None

    def _beside(self, context: Context, intent: Record) -> Generation | Job | None:
        """Return the answer that an earlier try kept beside the images because Airflow did not take it."""
        from airflow_provider_qwenimage.operators.results import open_place

        if not self._options.persist_to:
            return None
        try:
            with (
                open_place(self._operator, context, self._options) as store,
                store.bucket.open(self._ledger.pending) as stored,
            ):
                text = stored.head(_LARGEST)
        except TransferError as error:
            if error.status == _ABSENT:
                return None
            raise
        try:
            record = Record.model_validate_json(text)
        except ValidationError:
            raise TransferError(
                f"What an earlier try kept under {self._options.persist_to} cannot be read",
                advice="Look at the gateway's usage log before clearing the task.",
            ) from None
        if not self._ledger.is_of(record) or record.outcome is None or record.at < intent.at:
            return None  # of another request, or of an intent before this one
        log.info("An earlier try has left its answer beside the images: nothing is sent again.")
        self._ledger.beside = store.bucket
        self._ledger.keep(record.outcome)
        return record.outcome
