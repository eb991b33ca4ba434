"""Asks a gateway for the jobs that a lost request may have been answered with; costs nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_qwenimage import catalog
from airflow_provider_qwenimage.catalog.rules import check
from airflow_provider_qwenimage.exceptions import GatewayUnreachable, InvalidRequest
from airflow_provider_qwenimage.gateway.account.turn import account
from airflow_provider_qwenimage.gateway.calls import conduct, goes_as_job
from airflow_provider_qwenimage.models.requests import Asked
from airflow_provider_qwenimage.models.results import Job
from airflow_provider_qwenimage.payment.claims import RecordClaims
from airflow_provider_qwenimage.payment.finding import SKEW, Lost, Seen
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.transport import arun, run
from airflow_provider_qwenimage.transport.clients import CONNECT_TIMEOUT
from airflow_provider_qwenimage.wire.flows import Patience
from airflow_provider_qwenimage.wire.job_list import PAGES, list_jobs, look
from airflow_provider_qwenimage.wire.protocol import Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.requests import ImageRequest, Request
    from airflow_provider_qwenimage.payment.claims import Claims
    from airflow_provider_qwenimage.transport import AsyncHttpClient, HttpClient
    from airflow_provider_qwenimage.wire.job_list import ListedJob
    from airflow_provider_qwenimage.wire.protocol import Flow

log = logging.getLogger(__name__)

MOST_LOOKED_AT = 200  # documents of one search; more jobs at the same time are not told apart
_SHOWN = 5  # candidates in one message
_BRIEFLY = 10.0  # seconds that a failing task may take to name them
_FEW_PAGES = 2  # of the list, for that


class Candidate(NamedTuple):
    """
    A job of the gateway's list that may be the one a lost request was answered with.

    :param job: ready to be waited for.
    :param state: the gateway's word for it.
    :param prompt: the one its document names; ``None`` where it names none, or does not yet.
    """

    job: Job
    state: str
    prompt: str | None = None

    def line(self) -> str:
        """Say which it is: id, time and state."""
        return f"{self.job.id} of {self.job.submitted_at:%Y-%m-%d %H:%M:%S} UTC ({self.state})"


class Search(NamedTuple):
    """
    What the gateway tells.

    :param seen: the jobs that may be one of the lost requests'.
    :param whole: whether none of them can be missing.
    """

    seen: tuple[Seen, ...]
    whole: bool


def can_be_asked(settings: Settings, request: Request) -> bool:
    """Whether the gateway makes a job of a request, and lists it."""
    if not settings.gateway.jobs:
        return False
    try:
        named = request.model_copy(update={"model": request.model or settings.model})
        checked = check(named, gateway=settings.gateway)
    except InvalidRequest:
        return False
    return checked.model is not None and goes_as_job(checked.request, checked.model)


def refuse_unfindable(settings: Settings, request: Request) -> None:
    """
    Refuse ``find`` where it could find nothing.

    :raises InvalidRequest: naming what can be asked.
    """
    if settings.idempotency_header or can_be_asked(settings, request):
        return
    able = ", ".join(name for name, row in catalog.gateways().items() if row.jobs)
    model = request.model or settings.model or "the default model"
    raise InvalidRequest(
        "on_unknown_outcome",
        f"'find' asks the gateway for its jobs, and {settings.gateway.title} makes none for {model}; "
        f"those with jobs are {able}, for models that go as jobs",
        advice="Choose 'fail' or 'resubmit'; where the gateway takes idempotency keys, name their header in the "
        "connection's extra idempotency_header.",
    )


def claims(settings: Settings, owned: Mapping[str, str] | None = None) -> Claims:
    """
    Return who owns which job of the account, as far as it is known here.

    :param owned: the owner of each job that the caller has on record.
    """
    record = RecordClaims(owned)
    if settings.store is None:
        return record
    from airflow_provider_qwenimage.gateway.account.claims import AccountClaims

    return AccountClaims(account(settings), settings, record)


def find(
    client: HttpClient,
    lost: Sequence[Lost],
    *,
    owned: Collection[str] = (),
    pages: int = PAGES,
    interval: float = 0.0,
    seconds: float | None = None,
) -> Search:
    """
    Search for the jobs of lost requests.

    :param owned: jobs that are known to be others'; nobody looks at them.
    :param pages: of the list, at most.
    :param interval: seconds between two looks at a job that goes on: only an ended one names its prompt.
    :param seconds: how long to look; ``None`` reads no job's document.
    :raises QwenImageError: the gateway cannot be asked.
    """
    flow = searching(lost, owned=owned, pages=pages, interval=interval, seconds=seconds)
    return run(client, flow)


def search_for(
    client: HttpClient, settings: Settings, request: Request, *, since: datetime, until: datetime | None
) -> list[Candidate]:
    """Return the jobs that one request may have been answered with, each looked at once; see the hook's ``find``."""
    return _unclaimed(settings, *run(client, _search_for(settings, request, since, until)))


async def asearch_for(
    client: AsyncHttpClient, settings: Settings, request: Request, *, since: datetime, until: datetime | None
) -> list[Candidate]:
    """See ``search_for``."""
    found = await arun(client, _search_for(settings, request, since, until))
    return await asyncio.to_thread(_unclaimed, settings, *found)


def _search_for(
    settings: Settings, request: Request, since: datetime, until: datetime | None
) -> Flow[tuple[ImageRequest, Lost, Search]]:
    request = request.model_copy(update={"model": request.model or settings.model})
    if not can_be_asked(settings, request):
        raise InvalidRequest("request", f"{settings.gateway.title} makes no job of it that could be found")
    moments = (since, until or datetime.now(UTC))
    begin, end = (each if each.tzinfo else each.replace(tzinfo=UTC) for each in moments)
    lost = Lost.of(request, owner="", since=begin, until=end)
    return request, lost, (yield from searching([lost], owned=(), pages=PAGES, interval=0.0, seconds=0.0))


def _unclaimed(settings: Settings, request: ImageRequest, lost: Lost, search: Search) -> list[Candidate]:
    return candidates(settings, request, [lost], search, claims=claims(settings))


def candidates(
    settings: Settings, request: ImageRequest, lost: Sequence[Lost], search: Search, *, claims: Claims
) -> list[Candidate]:
    """Return the jobs that are nobody's and that nothing speaks against, oldest first, ready to be waited for."""
    owners = claims.known([seen.job.id for seen in search.seen]).owners
    free = (None, *(each.owner for each in lost))
    fitting = [seen for seen in search.seen if owners.get(seen.job.id) in free and any(map(seen.fits, lost))]
    fitting.sort(key=lambda seen: seen.job.at)
    return [
        Candidate(
            job=job_of(settings, request, each.job),
            state=each.facts.state if each.facts else each.job.state,
            prompt=next(iter(each.facts.prompts), None) if each.facts else None,
        )
        for each in fitting
    ]


def job_of(settings: Settings, request: ImageRequest, listed: ListedJob) -> Job:
    """Return a listed job as the one that a request was answered with."""
    return Job(
        id=listed.id,
        gateway=settings.gateway.name,
        host=settings.endpoint.base_url,
        asked=Asked.of(request),
        request_id=listed.request_id,
        submitted_at=listed.at,
        account=settings.endpoint.account,
        adopted=True,
    )


def told_of(candidates: Sequence[Candidate]) -> str:
    """Say in a sentence which jobs may be the lost request's."""
    if not candidates:
        return "The gateway lists no job that may be it."
    shown = ", ".join(each.line() for each in candidates[:_SHOWN])
    more = f" and {len(candidates) - _SHOWN} more" if len(candidates) > _SHOWN else ""
    if len(candidates) == 1:
        return f"The gateway lists one job that may be it, or another's: {shown}."
    return f"The gateway lists {len(candidates)} jobs that may be it: {shown}{more}."


def longest_exchange(settings: Settings) -> timedelta:
    """Return how long after its intent a request can still be under way."""
    patience = Patience()
    seconds = CONNECT_TIMEOUT + 2 * settings.endpoint.timeout + patience.wall_time + patience.longest_pause
    return timedelta(seconds=seconds)


def briefly(
    settings: Settings, request: ImageRequest, lost: Sequence[Lost], *, owned: Mapping[str, str] | None = None
) -> str:
    """Say what the gateway lists, empty where it does not tell in seconds: what fails a task must not wait for it."""
    answer: Future[str] = Future()

    def ask() -> None:
        try:
            with settings.endpoint.client() as client:
                search = find(client, lost, owned=owned or (), pages=_FEW_PAGES)
            known = claims(settings, owned)
            answer.set_result(told_of(candidates(settings, request, lost, search, claims=known)))
        except Exception as error:  # noqa: BLE001 - raised again by the thread that waits
            answer.set_exception(error)

    Thread(target=ask, name="qwenimage-candidates", daemon=True).start()
    try:
        return answer.result(_BRIEFLY)
    except Exception as error:  # noqa: BLE001 - the task fails for another reason, which is what has to be told
        log.info("The gateway's list of jobs could not be read: %s", redact(error))
        return ""


def searching(
    lost: Sequence[Lost],
    *,
    owned: Collection[str],
    pages: int,
    interval: float,
    seconds: float | None,
    clock: Callable[[], float] = time.time,
) -> Flow[Search]:
    """Search as ``find`` does; ``clock`` tells epoch seconds."""
    models = {each.model for each in lost}
    since = min(each.since for each in lost) - SKEW
    model = next(iter(models)) if len(models) == 1 else None
    listed = yield from list_jobs(model=model, since=since, conduct=conduct(), pages=pages)
    possible = [
        job
        for job in listed.jobs
        if job.id not in owned and any(each.may_be(job) or Seen(job).answers(each) for each in lost)
    ]
    seen = {job.id: Seen(job) for job in possible}
    if seconds is None or len(seen) > MOST_LOOKED_AT:
        return Search(tuple(seen.values()), listed.whole)
    deadline = clock() + seconds
    while going_on := [each.job for each in seen.values() if each.facts is None or not each.facts.ended]:
        for job in going_on:
            try:
                seen[job.id] = Seen(job, (yield from look(job.id)))
            except GatewayUnreachable:
                continue  # a look costs nothing, and is taken again
        if clock() + interval >= deadline:
            break
        yield Pause(interval)
    return Search(tuple(seen.values()), listed.whole)
