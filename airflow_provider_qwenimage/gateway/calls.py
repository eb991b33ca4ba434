"""From a request to its images: checks, the encoder of the gateway's row, job or not, the price."""

from __future__ import annotations

import random
import time
import uuid
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from airflow_provider_qwenimage.catalog.rules import check
from airflow_provider_qwenimage.exceptions import (
    GatewayUnreachable,
    InvalidRequest,
    QwenImageError,
    TemporaryRefusal,
)
from airflow_provider_qwenimage.gateway.account.turn import Turn
from airflow_provider_qwenimage.models.results import Generation, Job
from airflow_provider_qwenimage.payment.unforeseen import not_taken
from airflow_provider_qwenimage.transport import AsyncHttpClient, HttpClient, arun, run
from airflow_provider_qwenimage.wire import encode_flat, encode_native, flows, jobs
from airflow_provider_qwenimage.wire.documents import body_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.catalog.models import Model
    from airflow_provider_qwenimage.gateway.account.money import Wallet
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.requests import Request
    from airflow_provider_qwenimage.models.results import Generation
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
    """
    Where it is written down that a request is about to be sent; ``payment.ledger.Ledger`` is one.

    :ivar key: its idempotency key, where the gateway takes one.
    :ivar again: the intent that it repeats under that key.
    """

    key: str | None
    again: Any

    @property
    def owner(self) -> str:
        """Names the intent among all requests of the account, once it is written."""

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
    is_job = bool(gateway.jobs and model and goes_as_job(request, model))
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


def goes_as_job(request: Request, model: Model) -> bool:
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

    :param planned: what ``plan`` returned.
    :param turn: in the account; a new one where omitted.
    :param record: of the task that sends it; told before the request leaves, and when the gateway has turned it away.
    """
    key, again = (record.key, record.again is not None) if record else (None, False)
    planned, refused = _keyed(settings, planned, key), None
    if turn is None and record is not None and _is_alone(settings, planned):
        record.intend()
        try:
            return _answered(client, settings, planned)
        except TemporaryRefusal as error:
            if not error.throttled:
                raise
            refused = error
        record.forget()
    turn = turn or turn_of(settings, planned, paid=again)
    while True:
        with turn:
            if refused is not None:  # it met the wall outside the line, which learns of it here
                told, refused, turn.sent = refused, None, True
                raise told
            if record is not None:
                record.intend()
            turn.hold(record.owner if record else None)
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
    with named(settings, keyed=planned.call.keyed):
        answer = run(client, _submission(settings, planned, IN_TURN))
    return _received(settings, planned, answer)


def _received(settings: Settings, planned: Plan, answer: Generation | Job) -> Generation | Job:
    """Return an answer with its price; a job with the account that it was submitted with."""
    if isinstance(answer, Job):
        return answer.model_copy(update={"account": settings.endpoint.account})
    return settings.priced(answer, planned.request)


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
    key: str | None = None,
    patience: flows.Patience = IN_TURN,
) -> Generation | Job:
    """
    Send a planned request whose turn it is.

    :param key: the idempotency key, where the gateway takes one; a new one where omitted.
    :param patience: for callers that try again by themselves.
    """
    turn.sent = True
    planned = _keyed(settings, planned, key)
    with named(settings, keyed=planned.call.keyed):
        answer = await arun(client, _submission(settings, planned, patience))
    turn.outcome = outcome = _received(settings, planned, answer)
    return outcome


def turn_of(
    settings: Settings, planned: Plan, *, wallet: Wallet | None = None, paid: bool = False, **facts: Any
) -> Turn:
    """
    Return the turn of a planned request, see ``Turn``.

    :param paid: it asks for the same again under its idempotency key: its cost is reserved already.
    :raises InvalidRequest: what it may cost is bounded, and nobody knows its price.
    """
    if not paid and (settings.budget is not None or wallet is not None):
        from airflow_provider_qwenimage.gateway.account.money import Purse

        facts["purse"] = Purse.of(settings, planned.request, wallet=wallet)
    if settings.store is not None and planned.is_job:
        from airflow_provider_qwenimage.gateway.account.claims import Told

        facts["told"] = Told(settings, planned.request, again=paid)
    return Turn.of(settings, planned.request.model, is_job=planned.is_job, **facts)


def _keyed(settings: Settings, planned: Plan, key: str | None) -> Plan:
    """Put the idempotency key into a header that is set for this gateway: any other one may be refused."""
    header = settings.idempotency_header
    if header is None:
        return planned
    headers = {**planned.call.headers, header: key or uuid.uuid4().hex}
    return planned._replace(call=replace(planned.call, headers=headers, keyed=True))


@contextmanager
def named(settings: Settings, *, job_id: str | None = None, keyed: bool = False) -> Iterator[None]:
    """
    Name the connection where other requests of it fail, too: host, port and path are what a person goes to.

    What nobody foresaw is an unknown outcome for every caller, the author's own code included.
    """
    try:
        yield
    except QwenImageError as error:
        if error.scope == "account" or isinstance(error, GatewayUnreachable):
            error.advice = f"{error.advice} It was sent by {settings.named}.".strip()
        error.keyed = keyed
        raise
    except Exception as error:
        unforeseen = not_taken(error, job_id=job_id)
        unforeseen.keyed = keyed
        raise unforeseen from error


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
        conduct=conduct(patience),
    )


def conduct(patience: flows.Patience = flows.Patience()) -> flows.Conduct:  # noqa: B008 - frozen
    """Return how calls are sent: with this patience, by the clock of the machine."""
    return flows.Conduct(clock=time.time, jitter=random.random, patience=patience)
