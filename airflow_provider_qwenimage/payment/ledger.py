"""
The attempt record: what this task instance has asked for and been given, kept across its retries.

::

    intent ─── POST ───► submitted (job id) ───► done (image objects)
       │                     │                     │
       │ killed here         │ killed here         │ killed here
       ▼                     ▼                     ▼
    on_unknown_outcome    resume the job        replay, no request

One small record in Airflow's ``task_state_store`` (3.3+). It counts only for the same request (fingerprint) in the
same life of the task: ``ti.max_tries`` stays on a retry and always changes on a clear, so clearing pays anew.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from pydantic import BaseModel, ConfigDict, ValidationError

from airflow_provider_qwenimage import telemetry
from airflow_provider_qwenimage.exceptions import OutcomeUnknown, QwenImageError, TransferError
from airflow_provider_qwenimage.models.coercion import Moment
from airflow_provider_qwenimage.models.requests import fingerprint
from airflow_provider_qwenimage.models.results import Generation, Job
from airflow_provider_qwenimage.payment.consequences import NEXT, State, consequence
from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_qwenimage.models.requests import ImageRequest

log = logging.getLogger(__name__)

OnUnknown = Literal["fail", "resubmit"]

KEY = "qwenimage"


class Store(Protocol):
    """The part of Airflow's task state store that is used."""

    def get(self, key: str) -> Any: ...  # noqa: D102
    def set(self, key: str, value: Any) -> None: ...  # noqa: D102
    def delete(self, key: str) -> None: ...  # noqa: D102


class Record(BaseModel):
    """
    What is kept.

    :param fingerprint: of everything that shapes or bills the request.
    :param life: ``ti.max_tries`` when it was written.
    :param at: when the phase began.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    fingerprint: str
    life: int
    phase: Literal["intent", "submitted", "done"]
    at: Moment
    job: Job | None = None
    generation: Generation | None = None


class Ledger:
    """
    The record of one task instance.

    :param store: ``context["task_state_store"]``, ``None`` below Airflow 3.3.
    :param life: ``ti.max_tries``.
    :param request: with the model it is sent to.
    """

    def __init__(self, store: Store | None, *, life: int, request: ImageRequest) -> None:
        self._store = store
        self._life = life
        self._intends = False  # whether this try has written that it sends, and not taken it back
        self._fingerprint = fingerprint(request)

    @classmethod
    def of(cls, context: Mapping[str, Any], *, request: ImageRequest) -> Ledger:
        """Open the ledger of the running task instance; say once when it cannot outlive this try."""
        store = context.get("task_state_store")
        if store is None:
            _say_once()
        return cls(store, life=int(context["ti"].max_tries or 0), request=request)

    @property
    def durable(self) -> bool:
        """Whether the next try will know what this one paid for."""
        return self._store is not None

    def entry(self) -> Record | None:
        """
        Return the record of this very request in this life of the task, ``None`` when nothing was paid for it.

        :raises OutcomeUnknown: there is a record that cannot be read; it is no "nothing".
        """
        value = self._store.get(KEY) if self._store is not None else None
        if value is None:
            return None
        try:
            record = Record.model_validate(value)
        except ValidationError:
            error = OutcomeUnknown(
                f"The task's record {KEY!r} of an earlier try cannot be read",
                advice=f"Look at the gateway's usage log, then delete the key {KEY!r} of the task state.",
            )
            error.final = True
            raise error from None
        same = record.fingerprint == self._fingerprint and record.life == self._life
        return record if same else None

    def kept(self, *, on_unknown_outcome: OnUnknown) -> Generation | Job | None:
        """
        Return what an earlier try got, ``None`` where nothing was paid or paying again is allowed.

        :raises OutcomeUnknown: an earlier try may have been billed, and ``on_unknown_outcome`` is ``fail``.
        """
        record = self.entry()
        if record is None:
            return None
        if record.generation is not None:
            log.info("Replaying the %d images an earlier try paid for.", len(record.generation.images))
            return record.generation
        if record.job is not None:
            log.info("Resuming job %s of an earlier try.", record.job.id)
            return record.job
        if on_unknown_outcome == "fail":
            error = OutcomeUnknown(
                f"An earlier try sent this request at {record.at:%Y-%m-%d %H:%M:%S} UTC "
                "and ended before its answer",
                advice="Look at the gateway's usage log; clear the task to pay again, "
                "or set on_unknown_outcome='resubmit'.",
            )
            error.final = True
            raise error
        log.warning("An earlier try may have been billed; sending again, as on_unknown_outcome says.")
        return None

    @contextmanager
    def settling(self, state: State, *, on_unknown_outcome: OnUnknown, waits: bool = False) -> Iterator[None]:
        """
        Settle whatever is raised inside: the error says whether it is final, the record what the next try finds.

        What nobody foresaw (a defect of ours, bytes of a new kind) is an unknown outcome once the request is sent,
        unless the record tells the next try how to go on.

        :param state: of the request while the block runs.
        :param waits: the block waits for the request's turn before it writes that it sends.
        """
        try:
            yield
        except QwenImageError as error:
            if state != "delivered":  # its images came
                telemetry.failed(error)
            raise self.settle(error, state=state, on_unknown_outcome=on_unknown_outcome) from error.__cause__
        except (Exception, AirflowTaskTimeout) as error:
            ended = isinstance(error, AirflowTaskTimeout)
            if waits and not self._intends:
                raise  # nothing was sent
            if self.durable and (ended or state != "intent"):
                raise  # what is on record tells the next try
            with self.settling(state, on_unknown_outcome=on_unknown_outcome):
                raise _unforeseen(error, state) from error

    def settle(self, error: QwenImageError, *, state: State, on_unknown_outcome: OnUnknown) -> QwenImageError:
        """
        Settle the record after a failed request, and return the error as final or not as it is by now.

        What was not billed is forgotten, so a retry starts anew; so is what the author allows to pay again. All else
        stays on record.

        :param state: of the request when the error came.
        """
        resend = on_unknown_outcome == "resubmit"
        follows = consequence(error, state=state)
        if NEXT[follows.state] == "send" or (NEXT[follows.state] == "ask" and resend):
            self.forget()
        error.final = not follows.gets_on(resend=resend, durable=self.durable)
        advice = follows.advice(resend=resend, durable=self.durable)
        error.advice = f"{error.advice} {advice}".strip()
        return error

    def intend(self) -> None:
        """Write that a request is about to be sent; when this fails, nothing must be sent."""
        if self._store is not None:
            self._store.set(KEY, self._record("intent"))
        self._intends = True

    def keep(self, outcome: Job | Generation) -> None:
        """
        Write what was got: a retry resumes the job, or replays the images.

        Images that came as bytes are kept only once they are stored: until then the record is as good as lost
        with the process, and says ``intent``.
        """
        if self._store is None:
            return
        if isinstance(outcome, Job):
            record = self._record("submitted", job=outcome)
        elif any(image.data is not None for image in outcome.images):
            return
        else:
            record = self._record("done", generation=outcome)
        try:
            self._store.set(KEY, record)
        except Exception:
            # What is paid must not be lost because writing it down failed: the task goes on with it.
            log.exception(
                "The task's record could not be written; should this try die, the next one cannot resume"
            )

    def forget(self) -> None:
        """Delete the record: what it was about was not billed."""
        self._intends = False
        if self._store is not None:
            self._store.delete(KEY)

    def _record(self, phase: Literal["intent", "submitted", "done"], **paid: Job | Generation) -> Any:
        record = Record(
            fingerprint=self._fingerprint,
            life=self._life,
            phase=phase,
            at=datetime.now(UTC),
            **paid,  # type: ignore[arg-type]
        )
        return record.model_dump(mode="json", exclude_none=True)


def _unforeseen(error: BaseException, state: State) -> QwenImageError:
    if state == "delivered":
        return TransferError(f"Storing failed: {type(error).__name__}: {redact(error)}")
    if isinstance(error, AirflowTaskTimeout):
        return OutcomeUnknown("The task timed out while it waited for the answer")
    return not_taken(error)


def not_taken(error: BaseException, *, job_id: str | None = None) -> OutcomeUnknown:
    """Return what an error that nobody foresaw means once a request was sent: nobody knows what became of it."""
    return OutcomeUnknown(
        f"The answer could not be taken: {type(error).__name__}: {redact(error)}",
        advice="Look at the gateway's usage log before paying again, and report this: it is a defect.",
        job_id=job_id,
    )


@cache
def _say_once() -> None:
    log.warning(
        "This Airflow has no task state store (it came with 3.3): a retry cannot know what an earlier try paid for, "
        "so errors after a request was sent fail the task instead of retrying it."
    )
