"""What a gateway says of a job: where to ask for it, its state, and why it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from airflow_provider_qwenimage.exceptions import JobFailed, QwenImageError, UnexpectedReply
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.wire.causes import MODERATION, scope_of, stated_cause
from airflow_provider_qwenimage.wire.documents import Document, as_dict, as_word
from airflow_provider_qwenimage.wire.envelopes import job_refusal, refusal_in
from airflow_provider_qwenimage.wire.refusals import permanent, refuse

if TYPE_CHECKING:
    from airflow_provider_qwenimage.models.results import Job

State = Literal["waiting", "done", "failed", "lost"]

# A-t2i, A-wan-t2i (2026-10); SUSPENDED is a constant of the SDK (2026-07).
STATES: dict[str, State] = {
    "PENDING": "waiting", "RUNNING": "waiting", "SUSPENDED": "waiting", "SUCCEEDED": "done",
    "FAILED": "failed", "CANCELED": "failed", "CANCELLED": "failed", "UNKNOWN": "lost",
}  # fmt: skip
TASKS = "/api/v1/tasks"


def usable_id(job_id: object) -> str | None:
    """Return an id that can be asked for: one short line that holds no secret, and no step to another path."""
    text = str(job_id) if isinstance(job_id, (str, int)) and not isinstance(job_id, bool) else ""
    plain = as_word(text) == text and "\ufffd" not in text and set(text) != {"."}
    return text if text and plain else None


def path_of(job: Job) -> str:
    """
    Return where a job is asked for.

    :raises UnexpectedReply: its id leads elsewhere; no record of ours has such a one.
    """
    if usable_id(job.id) is None:
        raise UnexpectedReply(
            "The job on record has an id that nobody can ask for",
            advice="Look at the gateway's list of jobs before paying again.",
            request_id=job.request_id,
        )
    return f"{TASKS}/{quote(job.id, safe='')}"


def state_word(document: Document) -> str:
    """Return the gateway's word for the state of a job, empty where it has none."""
    return str(as_dict(document.get("output")).get("task_status") or "").upper()


def state_of(document: Document, job: Job) -> State:
    """
    Fold the gateway's word into ours.

    :raises UnexpectedReply: there is no word, or one nobody has documented.
    """
    word = state_word(document)
    if word not in STATES:
        raise UnexpectedReply(
            f"The gateway says {as_word(word) or 'nothing'!r} of the state of the job",
            advice="Look the job up at the gateway before paying again.",
            job_id=job.id,
        )
    return STATES[word]


def failure(document: Document, state: State, job: Job) -> QwenImageError:
    """Build the error of an ended job; its detail lies in ``output`` or beside it (contract C22)."""
    if state == "lost":
        return JobFailed(
            "The gateway does not know the job any more",
            job=job,
            billing="maybe",
            request_id=job.request_id,
            advice="Jobs are kept for 24 h and only in their own region: check host and key of the connection.",
        )
    said = job_refusal(document, as_dict(document.get("output")))
    cause = stated_cause(said)
    if cause == MODERATION:
        return refuse(
            MODERATION,
            "The job",
            redact(said.message),
            status=200,
            code=said.code,
            job_id=job.id,
            request_id=job.request_id,
        )
    advice = permanent(cause)
    failed = JobFailed(
        f"The job ended as {state_word(document)}: {said.code} {redact(said.message)}".rstrip(": "),
        job=job,
        code=said.code or None,
        request_id=job.request_id,
        advice=advice or "Failed jobs are not billed; a retry submits a new one.",
    )
    failed.final, failed.scope = advice is not None, scope_of(cause)
    return failed


def says_cancelled(document: Document) -> bool:
    """Tell whether an answer is the vendor's: the state, or nothing but the id of a request it grants."""
    word = state_word(document)
    if word:
        return word.startswith("CANCEL")
    return refusal_in(document) is None and bool(as_word(document.get("request_id")))
