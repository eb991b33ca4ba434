"""DashScope's job API (contract 4.1, 4.3): submit once, poll for nothing, cancel while it waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from airflow_provider_qwenimage.exceptions import (
    GatewayUnreachable,
    JobFailed,
    OutcomeUnknown,
    PermanentRefusal,
    QwenImageError,
    UnexpectedReply,
)
from airflow_provider_qwenimage.models.results import Asked, Generation, Job
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.wire.causes import MODERATION, scope_of, stated_cause
from airflow_provider_qwenimage.wire.documents import Document, as_dict, describe, documents
from airflow_provider_qwenimage.wire.encode_native import messages, parameters
from airflow_provider_qwenimage.wire.envelopes import job_refusal, request_id_of
from airflow_provider_qwenimage.wire.flows import Conduct, assemble, send_until_answered, served_from
from airflow_provider_qwenimage.wire.harvest import harvest
from airflow_provider_qwenimage.wire.protocol import Call, Flow, Pause, Reply
from airflow_provider_qwenimage.wire.refusals import classify, permanent, refuse

if TYPE_CHECKING:
    from airflow_provider_qwenimage.catalog import Gateway
    from airflow_provider_qwenimage.catalog.models import Model
    from airflow_provider_qwenimage.models.requests import Request

State = Literal["waiting", "done", "failed", "lost"]

# A-t2i, A-wan-t2i (2026-10); SUSPENDED is a constant of the SDK (2026-07).
STATES: dict[str, State] = {
    "PENDING": "waiting", "RUNNING": "waiting", "SUSPENDED": "waiting", "SUCCEEDED": "done",
    "FAILED": "failed", "CANCELED": "failed", "CANCELLED": "failed", "UNKNOWN": "lost",
}  # fmt: skip
ENDPOINTS: dict[str, str] = {
    "image-generation": "/api/v1/services/aigc/image-generation/generation",
    "text2image": "/api/v1/services/aigc/text2image/image-synthesis",
    "image2image": "/api/v1/services/aigc/image2image/image-synthesis",
}
_TASKS = "/api/v1/tasks"
_POLL_TIMEOUT = 30.0  # seconds; a poll answers at once or is asked again
_PATIENCE = 3  # polls refused for good in a row before the key, not the line, is to blame


def encode(request: Request, *, model: Model) -> Call:
    """Encode the submission for the endpoint of the model's row."""
    assert model.jobs is not None
    named = parameters(request, model=model)
    given = messages(request)
    # The older endpoints: input.prompt, input.images, input.negative_prompt.
    if model.jobs != "image-generation":
        given = {"prompt": request.prompt, "images": list(getattr(request, "images", ())) or None}
        given["negative_prompt"] = named.pop("negative_prompt", None)
        given = {name: value for name, value in given.items() if value is not None}
    body = {"model": request.model, "input": given, "parameters": named}
    return Call(
        "POST", ENDPOINTS[model.jobs], json=body, headers={"X-DashScope-Async": "enable"}, billable=True
    )


def submit(
    request: Request, call: Call, *, gateway: Gateway, base_url: str, conduct: Conduct
) -> Flow[Generation | Job]:
    """Submit a job; a gateway that answers with the images at once is taken at its word."""
    reply, found = yield from send_until_answered(call, conduct)
    output = as_dict(found[0].get("output")) if found else {}
    if not output.get("task_id"):
        reaped = harvest(reply, found, served_from=served_from(gateway, base_url))
        return assemble(reaped, Asked.of(request), gateway=gateway, now=conduct.clock())
    return Job(
        id=str(output["task_id"]),
        gateway=gateway.name,
        host=base_url,
        asked=Asked.of(request),
        request_id=request_id_of(reply, found),
        submitted_at=datetime.fromtimestamp(conduct.clock(), UTC),
    )


def wait(
    job: Job, *, gateway: Gateway, base_url: str, conduct: Conduct, interval: float, timeout: float
) -> Flow[Generation]:
    """
    Poll a job to its end; a poll that fails costs nothing and never fails the job.

    :param interval: seconds between polls.
    :param timeout: seconds from the submission after which no one waits any longer.
    :raises JobFailed: it failed, was cancelled, or is not known any more.
    :raises OutcomeUnknown: it is still running at the deadline.
    """
    deadline = job.submitted_at.timestamp() + timeout
    refused = 0
    while True:
        try:
            result, problem = yield from _poll(job, gateway=gateway, base_url=base_url, conduct=conduct)
        except GatewayUnreachable as unreachable:
            result, problem = None, unreachable
        except QwenImageError as error:
            error.job_id, error.request_id = job.id, error.request_id or job.request_id
            raise
        if result is not None:
            return result
        refused = refused + 1 if isinstance(problem, PermanentRefusal) else 0
        if problem is not None and refused >= _PATIENCE:
            problem.job_id, problem.billing = job.id, "maybe"  # the refusal is free, the job goes on
            problem.request_id = problem.request_id or job.request_id
            raise problem
        remaining = deadline - conduct.clock()
        if remaining <= 0:
            raise OutcomeUnknown(
                f"The job is not finished {timeout:g} s after its submission",
                advice="It goes on at the gateway; clearing the task pays anew.",
                request_id=job.request_id,
                job_id=job.id,
            ) from problem
        asked = min(getattr(problem, "retry_after", None) or 0.0, conduct.patience.longest_pause)
        yield Pause(min(max(interval, asked), remaining))  # the last poll is at the deadline


def _poll(
    job: Job, *, gateway: Gateway, base_url: str, conduct: Conduct
) -> Flow[tuple[Generation | None, QwenImageError | None]]:
    """Ask once: the result, or nothing yet and what stood in the way."""
    reply = yield Call("GET", f"{_TASKS}/{job.id}", timeout=_POLL_TIMEOUT)
    assert reply is not None
    found = documents(reply)
    # Of the job, and no refusal of the poll.
    told = reply.status < 300 and bool(found) and _word(found[0]) in STATES
    if not told and (problem := classify(reply, found, now=conduct.clock())):
        return None, problem
    if not found:  # cut off, or the page of a proxy: a poll that failed, not a job
        return None, UnexpectedReply(f"The poll was answered with {describe(reply)}", job_id=job.id)
    document = found[0]
    state = state_of(document, job)
    if state == "waiting":
        return None, None
    if state != "done":
        raise _failure(document, state, job)
    reaped = harvest(reply, found, served_from=served_from(gateway, base_url))
    reaped = replace(reaped, request_id=reaped.request_id or job.request_id)
    return assemble(reaped, job.asked, gateway=gateway, now=conduct.clock(), job_id=job.id), None


def _word(document: Document) -> str:
    return str(as_dict(document.get("output")).get("task_status") or "").upper()


def state_of(document: Document, job: Job) -> State:
    """
    Fold the gateway's word into ours.

    :raises UnexpectedReply: there is no word, or one nobody has documented.
    """
    word = _word(document)
    if word not in STATES:
        raise UnexpectedReply(
            f"The gateway says {word or 'nothing'!r} of the state of the job",
            advice="Look the job up at the gateway before paying again.",
            job_id=job.id,
        )
    return STATES[word]


def _failure(document: Document, state: State, job: Job) -> QwenImageError:
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
        f"The job ended as {_word(document)}: {said.code} {redact(said.message)}".rstrip(": "),
        job=job,
        code=said.code or None,
        request_id=job.request_id,
        advice=advice or "Failed jobs are not billed; a retry submits a new one.",
    )
    failed.final, failed.scope = advice is not None, scope_of(cause)
    return failed


def cancel(job: Job, conduct: Conduct) -> Flow[bool]:
    """Cancel a job; ``False`` when it was too late: only a PENDING job can be cancelled (SDK, A-t2i)."""
    try:
        reply = yield Call("POST", f"{_TASKS}/{job.id}/cancel", timeout=10.0)
    except GatewayUnreachable:
        return False
    assert isinstance(reply, Reply)
    found = documents(reply)
    if reply.status < 300 and found and _word(found[0]).startswith("CANCEL"):
        return True
    return classify(reply, found, now=conduct.clock()) is None
