"""
The attempt record: what this task instance has asked for and been given, kept across its retries.

::

    intent ─── POST ───► submitted (job id) ───► done (image objects)
       │                     │                     │
       │ killed here         │ killed here         │ killed here
       ▼                     ▼                     ▼
    on_unknown_outcome    resume the job        replay, no request

Where Airflow does not take the answer, it is kept beside the images until it does: the next try looks there before it
calls an outcome unknown.

One small record in Airflow's ``task_state_store`` (3.3+). It counts only for the same request (fingerprint) in the
same life of the task: ``ti.max_tries`` stays on a retry and always changes on a clear, so clearing pays anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from pydantic import ValidationError

from airflow_provider_qwenimage import telemetry
from airflow_provider_qwenimage.defaults import PENDING
from airflow_provider_qwenimage.exceptions import OutcomeUnknown, QwenImageError
from airflow_provider_qwenimage.models.requests import fingerprint
from airflow_provider_qwenimage.models.results import Generation, Job
from airflow_provider_qwenimage.payment.consequences import NEXT, OnUnknown, State, consequence
from airflow_provider_qwenimage.payment.record import KEY, Beside, Record, Store
from airflow_provider_qwenimage.payment.unforeseen import unforeseen
from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_provider_qwenimage.models.requests import ImageRequest

log = logging.getLogger(__name__)


class Ledger:
    """
    The record of one task instance.

    :param store: ``context["task_state_store"]``, ``None`` below Airflow 3.3.
    :param life: ``ti.max_tries``.
    :param request: with the model it is sent to.
    :param owner: names the task instance among all.
    :param account: a digest of host and key that requests are sent with.
    :param header: the name of the header for idempotency keys, where the gateway has one.
    :ivar again: the intent of an earlier try whose request is asked for again under the same key.
    :ivar sent_at: when it was first about to be sent, as far as this try wrote it.
    :ivar beside: where an answer is kept until Airflow has taken it.
    """

    def __init__(
        self,
        store: Store | None,
        *,
        life: int,
        request: ImageRequest,
        owner: str = "",
        account: str | None = None,
        header: str | None = None,
    ) -> None:
        self._store = store
        self._life = life
        self._fingerprint = fingerprint(request)
        self._account = account
        self.name = _digest(owner, str(life), self._fingerprint)
        self.key = _digest(self.name, header) if header else None
        self.beside: Beside | None = None
        self.again: Record | None = None
        self.sent_at: datetime | None = None
        self._intent: Record | None = None
        self._owed: Record | None = None

    @classmethod
    def of(cls, context: Mapping[str, Any], *, request: ImageRequest, **facts: Any) -> Ledger:
        """Open the ledger of the running task instance; say once when it cannot outlive this try."""
        store, instance = context.get("task_state_store"), context["ti"]
        if store is None:
            _say_once()
        names = (getattr(instance, name, None) for name in ("dag_id", "run_id", "task_id", "map_index"))
        owner = json.dumps([*names], default=str)
        return cls(store, life=int(instance.max_tries or 0), request=request, owner=owner, **facts)

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
        return record if self.is_of(record) else None

    def is_of(self, record: Record) -> bool:
        """Whether a record is of this request in this life of the task."""
        return record.fingerprint == self._fingerprint and record.life == self._life

    def repeats(self, record: Record) -> bool:
        """Whether the same can be asked for again under the key that an intent was sent with, where it was sent."""
        return record.key is not None and (record.key, record.account) == (self.key, self._account)

    @property
    def owner(self) -> str:
        """Names this try's intent among all requests of the account."""
        return self.owner_since(self.sent_at or datetime.now(UTC))

    def owner_since(self, at: datetime) -> str:
        """Name the intent of a moment: who owns the job that was made of it."""
        return f"{self.name}@{at:%Y%m%d%H%M%S}"

    @property
    def pending(self) -> str:
        """The name under which an answer is kept beside the images."""
        return f"{PENDING}{self.name}.json"

    @property
    def sending(self) -> State:
        """The state of the request while it is sent."""
        return "unknown" if self.again else "intent"

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
            if waits and self._intent is None:
                raise  # nothing was sent
            if self.durable and (ended or state not in ("intent", "unknown")):
                raise  # what is on record tells the next try
            with self.settling(state, on_unknown_outcome=on_unknown_outcome):
                raise unforeseen(error, state) from error

    def settle(self, error: QwenImageError, *, state: State, on_unknown_outcome: OnUnknown) -> QwenImageError:
        """
        Settle the record after a failed request, and return the error as final or not as it is by now.

        What was not billed is forgotten, so a retry starts anew; so is what the author allows to pay again. All else
        stays on record.

        :param state: of the request when the error came.
        """
        follows = consequence(error, state=state)
        resend = on_unknown_outcome == "resubmit" and not error.keyed
        if NEXT[follows.state] == "send" or (NEXT[follows.state] == "ask" and resend):
            self.forget()
        elif follows.state == "unknown":
            self._lose(error)
        if state == "unknown" and error.billing == "no":
            error.billing = "maybe"  # what was sent before
        error.final = not follows.gets_on(on_unknown=on_unknown_outcome, durable=self.durable)
        advice = follows.advice(on_unknown=on_unknown_outcome, durable=self.durable)
        error.advice = f"{error.advice} {advice}".strip()
        return error

    def intend(self) -> None:
        """Write that a request is about to be sent; when this fails, nothing must be sent."""
        self.sent_at = self.again.at if self.again else datetime.now(UTC)
        self._intent = self._record("intent", account=self._account, key=self.key, at=self.sent_at)
        if self._store is not None:
            self._store.set(KEY, self._intent.model_dump(mode="json", exclude_none=True))

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
        if self._intent is not None and self.beside is not None:
            self._kept_beside(record)
        try:
            self._hand_over(record)
        except Exception:
            # What is paid must not be lost because writing it down failed: the task goes on with it.
            self._owed = record
            log.exception("The task's record could not be written, and is written again before the task ends")

    def insist(self) -> None:
        """Write what could not be written before; try it for as long as Airflow lets the task live."""
        if self._owed is not None:
            self._until_taken(lambda owed=self._owed: self._hand_over(owed))  # type: ignore[misc]

    def forget(self) -> None:
        """Delete the record: what it was about was not billed."""
        store, again, self._intent = self._store, self.again, None
        if store is not None and again is not None:  # what it repeats may have been billed all the same
            self._until_taken(lambda: self._set(again))
        elif store is not None:
            self._until_taken(lambda: store.delete(KEY))

    @staticmethod
    def _until_taken(call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - raised again where it is no outage
            from airflow_provider_qwenimage.payment.away import until_taken

            until_taken(call, error)

    def _set(self, record: Record) -> None:
        assert self._store is not None
        self._store.set(KEY, record.model_dump(mode="json", exclude_none=True))
        self._owed = self._intent = None

    def _hand_over(self, record: Record) -> None:
        """Write an answer, and remove what was kept beside the images until then."""
        self._set(record)
        beside, self.beside = self.beside, None
        if beside is not None:
            try:
                beside.delete(self.pending)
            except QwenImageError as error:
                log.warning("What was kept beside the images until Airflow took it stays there: %s", error)

    def _kept_beside(self, record: Record) -> None:
        assert self.beside is not None
        try:
            self.beside.put_text(self.pending, record.model_dump_json(exclude_none=True).encode())
        except QwenImageError as error:
            log.warning("The answer could not be kept beside the images: %s", error)

    def _lose(self, error: QwenImageError) -> None:
        """Write when an answer was lost, so that the next try knows where to look; without it, it looks further."""
        intent, self._intent = self._intent, None
        if intent is None or self._store is None:
            return
        facts = {"lost_at": datetime.now(UTC), "request_id": error.request_id}
        try:
            self._set(intent.model_copy(update=facts))
        except Exception as problem:  # noqa: BLE001 - the intent is on record
            log.warning("When the answer was lost could not be written: %s", redact(problem))

    def _record(self, phase: Literal["intent", "submitted", "done"], **facts: Any) -> Record:
        facts.setdefault("at", datetime.now(UTC))
        return Record(fingerprint=self._fingerprint, life=self._life, phase=phase, **facts)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


@cache
def _say_once() -> None:
    log.warning(
        "This Airflow has no task state store (it came with 3.3): a retry cannot know what an earlier try paid for, "
        "so errors after a request was sent fail the task instead of retrying it."
    )
