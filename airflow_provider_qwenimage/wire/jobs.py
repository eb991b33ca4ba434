"""DashScope's job API (contract 4.1, 4.3): submit once, poll for nothing, cancel while it waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.exceptions import (
    GatewayUnreachable,
    OutcomeUnknown,
    PermanentRefusal,
    QwenImageError,
    UnexpectedReply,
)
from airflow_provider_qwenimage.models.requests import Asked, TranslateRequest
from airflow_provider_qwenimage.models.results import Generation, Job
from airflow_provider_qwenimage.wire.documents import as_dict, as_word, describe, documents
from airflow_provider_qwenimage.wire.encode_native import messages, parameters
from airflow_provider_qwenimage.wire.envelopes import request_id_of
from airflow_provider_qwenimage.wire.flows import Conduct, assemble, send_until_answered, served_from
from airflow_provider_qwenimage.wire.harvest import harvest
from airflow_provider_qwenimage.wire.job_states import (
    STATES,
    failure,
    path_of,
    says_cancelled,
    state_of,
    state_word,
    usable_id,
)
from airflow_provider_qwenimage.wire.protocol import Call, Flow, Pause, Reply
from airflow_provider_qwenimage.wire.refusals import classify

if TYPE_CHECKING:
    from airflow_provider_qwenimage.catalog import Gateway
    from airflow_provider_qwenimage.catalog.models import Model
    from airflow_provider_qwenimage.models.requests import Request

ENDPOINTS: dict[str, str] = {
    "image-generation": "/api/v1/services/aigc/image-generation/generation",
    "text2image": "/api/v1/services/aigc/text2image/image-synthesis",
    "image2image": "/api/v1/services/aigc/image2image/image-synthesis",
}
_POLL_TIMEOUT = 30.0  # seconds; a poll answers at once or is asked again
_PATIENCE = 3  # polls refused for good in a row before the key, not the line, is to blame


def encode(request: Request, *, model: Model) -> Call:
    """Encode the submission for the endpoint of the model's row."""
    assert model.jobs is not None
    if isinstance(request, TranslateRequest):
        return _submission(model.jobs, {"model": request.model, "input": translation(request)})
    named = parameters(request, model=model)
    given = messages(request)
    # The older endpoints: input.prompt, input.images, input.negative_prompt.
    if model.jobs != "image-generation":
        given = {"prompt": request.prompt, "images": list(getattr(request, "images", ())) or None}
        given["negative_prompt"] = named.pop("negative_prompt", None)
        given = {name: value for name, value in given.items() if value is not None}
    return _submission(model.jobs, {"model": request.model, "input": given, "parameters": named})


def translation(request: TranslateRequest) -> dict[str, Any]:
    """Return what is translated, and how: options lie in ``ext`` (A-mt)."""
    hints: dict[str, Any] = {"domainHint": request.prompt} if request.prompt else {}
    if request.terminologies:
        hints["terminologies"] = list(request.terminologies)
    ext = {**hints, **request.parameters}
    given = {
        "image_url": request.images[0],
        "source_lang": request.source_lang,
        "target_lang": request.target_lang,
    }
    return {**given, "ext": ext} if ext else given


def _submission(endpoint: str, body: dict[str, Any]) -> Call:
    headers = {"X-DashScope-Async": "enable"}
    return Call("POST", ENDPOINTS[endpoint], json=body, headers=headers, billable=True)


def submit(
    request: Request, call: Call, *, gateway: Gateway, base_url: str, conduct: Conduct
) -> Flow[Generation | Job]:
    """Submit a job; a gateway that answers with the images at once is taken at its word."""
    reply, found = yield from send_until_answered(call, conduct)
    output = as_dict(found[0].get("output")) if found else {}
    named = output.get("task_id")
    if not named:
        reaped = harvest(reply, found, served_from=served_from(gateway, base_url))
        return assemble(reaped, Asked.of(request), gateway=gateway, now=conduct.clock())
    job_id = usable_id(named)
    if job_id is None:
        raise OutcomeUnknown(
            f"The gateway accepted a job and names it {as_word(named) or type(named).__name__!r}, "
            "which nobody can ask for",
            advice="Look at the gateway's list of jobs before paying again.",
            status=reply.status,
            request_id=request_id_of(reply, found),
        )
    return Job(
        id=job_id,
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
    path, deadline = path_of(job), job.submitted_at.timestamp() + timeout
    refused = 0
    while True:
        try:
            result, problem = yield from _poll(job, path, gateway=gateway, base_url=base_url, conduct=conduct)
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
    job: Job, path: str, *, gateway: Gateway, base_url: str, conduct: Conduct
) -> Flow[tuple[Generation | None, QwenImageError | None]]:
    """Ask once: the result, or nothing yet and what stood in the way."""
    reply = yield Call("GET", path, timeout=_POLL_TIMEOUT)
    assert reply is not None
    found = documents(reply)
    # Of the job, and no refusal of the poll.
    told = reply.status < 300 and bool(found) and state_word(found[0]) in STATES
    if not told and (problem := classify(reply, found, now=conduct.clock())):
        return None, problem
    if not found:  # cut off, or the page of a proxy: a poll that failed, not a job
        return None, UnexpectedReply(f"The poll was answered with {describe(reply)}", job_id=job.id)
    document = found[0]
    state = state_of(document, job)
    if state == "waiting":
        return None, None
    if state != "done":
        raise failure(document, state, job)
    reaped = harvest(reply, found, served_from=served_from(gateway, base_url))
    reaped = replace(reaped, request_id=reaped.request_id or job.request_id)
    return assemble(reaped, job.asked, gateway=gateway, now=conduct.clock(), job_id=job.id), None


def cancel(job: Job) -> Flow[bool]:
    """Cancel a job; ``False`` when it was too late: only a PENDING job can be cancelled (SDK, A-t2i)."""
    try:
        reply = yield Call("POST", f"{path_of(job)}/cancel", timeout=10.0)
    except (GatewayUnreachable, UnexpectedReply):
        return False
    assert isinstance(reply, Reply)
    found = documents(reply)
    return reply.status < 300 and bool(found) and says_cancelled(found[0])
