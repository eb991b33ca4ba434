"""From a request to its images: checks, the encoder of the gateway's row, job or not, the price."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from airflow_provider_qwenimage.catalog.rules import check
from airflow_provider_qwenimage.exceptions import (
    GatewayUnreachable,
    InvalidRequest,
    OutcomeUnknown,
    QwenImageError,
    TemporaryRefusal,
)
from airflow_provider_qwenimage.gateway.account.line import JobEnd
from airflow_provider_qwenimage.gateway.account.polls import PollTurns
from airflow_provider_qwenimage.gateway.account.turn import Turn
from airflow_provider_qwenimage.models.requests import Asked
from airflow_provider_qwenimage.payment.ledger import not_taken
from airflow_provider_qwenimage.transport import AsyncHttpClient, HttpClient, arun, run
from airflow_provider_qwenimage.wire import encode_flat, encode_native, flows, jobs
from airflow_provider_qwenimage.wire.documents import body_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.catalog.models import Model
    from airflow_provider_qwenimage.gateway.account.money import Wallet
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.requests import Request
    from airflow_provider_qwenimage.models.results import Generation, Job
    from airflow_provider_qwenimage.wire.protocol import Call, Flow

# Who is throttled stands in the account's line for another turn.
IN_TURN = flows.Patience(throttled=False)


class Plan(NamedTuple):
    """A request that passed all checks, and the call that sends it."""

    request: Request
    model: Model | None
    call: Call
    is_job: bool
    warnings: tuple[str, ...]


class Intent(Protocol):
    """Where it is written down that a request is about to be sent; ``payment.ledger.Ledger`` is one."""

    def intend(self) -> None: ...  # noqa: D102
    def forget(self) -> None: ...  # noqa: D102


def plan(settings: Settings, request: Request, *, inline: bool = False) -> Plan:
    """
    Check a request against its model and gateway and spell it for the wire; nothing is sent.

    :param inline: the images are stored by the same task, so an engine may be asked for base64.
    :raises InvalidRequest: the vendor would reject it.
    """
    gateway = settings.gateway
    if request.model is None:
        request = request.model_copy(update={"model": settings.model})
    _check_links(request)
    checked = check(request, gateway=gateway)
    request, model = checked.request, checked.model
    is_job = bool(gateway.jobs and model and _goes_as_job(request, model))
    if is_job and model is not None:
        call = jobs.encode(request, model=model)
    elif gateway.request_format == "native":
        call = encode_native.encode(request, gateway=gateway, model=model)
    else:
        call = encode_flat.encode(request, gateway=gateway, model=model, inline=inline)
    warnings = checked.warnings
    if gateway.reads:
        named = encode_flat.unread(request, gateway)
        warnings += tuple(
            f"{name}: has no effect on an edit, {gateway.title} does not read it" for name in named
        )
    return Plan(request, model, call, is_job, warnings)


def spelled(planned: Plan) -> Plan:
    """Return the plan with its body as bytes; of the input images that it was made of only their number stays."""
    if planned.call.json is None:
        return planned
    call = replace(planned.call, json=None, body=body_of(planned.call.json))
    images = tuple("data:" for _ in getattr(planned.request, "images", ()))
    return planned._replace(request=planned.request.model_copy(update={"images": images}), call=call)


def _check_links(request: Request) -> None:
    """Refuse what only an operator can fetch: a gateway would be sent a path it cannot read."""
    for index, image in enumerate(getattr(request, "images", ())):
        if not image.lower().startswith(("http://", "https://", "data:")):
            rule = "must be an http(s) or data: URL here; the operators also take s3:// and local paths"
            raise InvalidRequest(f"images[{index}]", rule)


def _goes_as_job(request: Request, model: Model) -> bool:
    """Tell whether a job is submitted; an author who says ``stream`` means the synchronous endpoint (A-w26)."""
    if not model.jobs:
        return False
    return not model.sync or (model.jobs_preferred and request.parameters.get("stream") is not True)


def send(
    client: HttpClient,
    settings: Settings,
    planned: Plan,
    *,
    turn: Turn | None = None,
    record: Intent | None = None,
) -> Generation | Job:
    """
    Send a planned request in its turn, once: where money is spent.

    :param turn: in the account; a new one where omitted.
    :param record: of the task that sends it; told before the request leaves, and when the gateway has turned it away.
    """
    refused = None
    if turn is None and record is not None and _is_alone(settings, planned):
        record.intend()
        try:
            return _answered(client, settings, planned)
        except TemporaryRefusal as error:
            if not error.throttled:
                raise
            refused = error
        record.forget()
    turn = turn or turn_of(settings, planned)
    while True:
        with turn:
            if refused is not None:  # it met the wall outside the line, which learns of it here
                told, refused, turn.sent = refused, None, True
                raise told
            if record is not None:
                record.intend()
            turn.hold()
            turn.sent = True
            turn.outcome = outcome = _answered(client, settings, planned)
            return outcome
        if record is not None:
            record.forget()


def _is_alone(settings: Settings, planned: Plan) -> bool:
    """Whether a task knows of nobody to wait for: nothing bounds it, and its process shares its account with nobody."""
    bounded = settings.allowed(planned.request.model or "", is_job=planned.is_job)
    return settings.store is None and settings.budget is None and bounded is None


def _answered(client: HttpClient, settings: Settings, planned: Plan) -> Generation | Job:
    with _named(settings):
        answer = run(client, _submission(settings, planned, IN_TURN))
    return settings.priced(answer, Asked.of(planned.request))


async def asend(
    client: AsyncHttpClient, settings: Settings, planned: Plan, *, turn: Turn | None = None
) -> Generation | Job:
    """See ``send``."""
    turn = turn or turn_of(settings, planned)
    while True:
        async with turn:
            await turn.ahold()
            return await sent(client, settings, planned, turn)


async def sent(
    client: AsyncHttpClient,
    settings: Settings,
    planned: Plan,
    turn: Turn,
    *,
    patience: flows.Patience = IN_TURN,
) -> Generation | Job:
    """Send a planned request whose turn it is; ``patience`` is for callers that try again by themselves."""
    turn.sent = True
    with _named(settings):
        answer = await arun(client, _submission(settings, planned, patience))
    turn.outcome = outcome = settings.priced(answer, Asked.of(planned.request))
    return outcome


def turn_of(settings: Settings, planned: Plan, *, wallet: Wallet | None = None, **facts: Any) -> Turn:
    """
    Return the turn of a planned request, see ``Turn``.

    :raises InvalidRequest: what it may cost is bounded, and nobody knows its price.
    """
    if settings.budget is not None or wallet is not None:
        from airflow_provider_qwenimage.gateway.account.money import Purse

        facts["purse"] = Purse.of(settings, planned.request, wallet=wallet)
    return Turn.of(settings, planned.request.model, is_job=planned.is_job, **facts)


def wait(client: HttpClient, settings: Settings, job: Job, *, interval: float, timeout: float) -> Generation:
    """Poll a job to its end, each poll in its turn; ``timeout`` counts from its submission."""
    flow = _waiting(settings, job, interval=interval, timeout=timeout)
    with JobEnd(settings, job) as end:
        with _named(settings, job_id=job.id):
            generation = run(client, flow, turns=PollTurns.of(settings, job, interval=interval))
        end.generation = generation = settings.priced(generation, job.asked)
    return generation


async def await_job(
    client: AsyncHttpClient, settings: Settings, job: Job, *, interval: float, deadline: float
) -> Generation:
    """See ``wait``; ``deadline`` is its ``timeout``."""
    flow = _waiting(settings, job, interval=interval, timeout=deadline)
    async with JobEnd(settings, job) as end:
        with _named(settings, job_id=job.id):
            generation = await arun(client, flow, turns=PollTurns.of(settings, job, interval=interval))
        end.generation = generation = settings.priced(generation, job.asked)
    return generation


@contextmanager
def _named(settings: Settings, *, job_id: str | None = None) -> Iterator[None]:
    """
    Name the connection where other requests of it fail, too: host, port and path are what a person goes to.

    What nobody foresaw is an unknown outcome for every caller, the author's own code included.
    """
    try:
        yield
    except QwenImageError as error:
        if error.scope == "account" or isinstance(error, GatewayUnreachable):
            error.advice = f"{error.advice} It was sent by {settings.named}.".strip()
        raise
    except Exception as error:
        raise not_taken(error, job_id=job_id) from error


def cancel(client: HttpClient, job: Job) -> bool:
    """Cancel a job that has not started; ``False`` when it was too late."""
    return run(client, jobs.cancel(job))


async def acancel(client: AsyncHttpClient, settings: Settings, job: Job) -> bool:
    """See ``cancel``; what the job held of its account is given back."""
    async with JobEnd(settings, job) as end:
        end.cancelled = cancelled = await arun(client, jobs.cancel(job))
    return cancelled


def _submission(
    settings: Settings,
    planned: Plan,
    patience: flows.Patience = flows.Patience(),  # noqa: B008 - frozen
) -> Flow[Generation | Job]:
    flow = jobs.submit if planned.is_job else flows.generate
    return flow(
        planned.request,
        planned.call,
        gateway=settings.gateway,
        base_url=settings.endpoint.base_url,
        conduct=_conduct(patience),
    )


def _waiting(settings: Settings, job: Job, *, interval: float, timeout: float) -> Flow[Generation]:
    _check_place(settings, job)
    return jobs.wait(
        job,
        gateway=settings.gateway,
        base_url=settings.endpoint.base_url,
        conduct=_conduct(),
        interval=interval,
        timeout=timeout,
    )


def _check_place(settings: Settings, job: Job) -> None:
    """Refuse to ask one gateway for the job of another: it would call it unknown."""
    there, here = (job.gateway, job.host), (settings.gateway.name, settings.endpoint.base_url)
    if job.gateway == here[0] and job.host in (None, here[1]):
        return
    was, now = (" at ".join(filter(None, place)) for place in (there, here))
    # The job goes on there, so its record stays: what leads back to it brings its images.
    raise OutcomeUnknown(
        f"The job was submitted to {was}, and the connection leads to {now}",
        job_id=job.id,
        request_id=job.request_id,
        advice="Let the connection lead there again to have its images.",
    )


def _conduct(patience: flows.Patience = flows.Patience()) -> flows.Conduct:  # noqa: B008 - frozen
    return flows.Conduct(clock=time.time, jitter=random.random, patience=patience)
