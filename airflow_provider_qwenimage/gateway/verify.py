"""Asks the vendor what its rules are: one request for each, which is refused, costs nothing and tells the rule."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.catalog.answers import Answer, answer
from airflow_provider_qwenimage.catalog.models import models
from airflow_provider_qwenimage.catalog.questions import is_refused_twice, questions
from airflow_provider_qwenimage.exceptions import (
    GatewayRefusal,
    InvalidRequest,
    OutcomeUnknown,
    UnexpectedReply,
)
from airflow_provider_qwenimage.models.requests import Asked
from airflow_provider_qwenimage.models.results import Job
from airflow_provider_qwenimage.transport import run
from airflow_provider_qwenimage.wire import encode_native, flows, jobs
from airflow_provider_qwenimage.wire.documents import as_dict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_qwenimage.catalog.models import Model
    from airflow_provider_qwenimage.catalog.questions import Question
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.transport import HttpClient
    from airflow_provider_qwenimage.wire.protocol import Call

_NO_KEY = (401, 402)  # says nothing of a rule, and says it of every question


def verify(settings: Settings, names: Iterable[str] = ()) -> Iterator[Answer]:
    """
    Yield what the vendor says of each rule of each row.

    :param names: models to ask about; all where there is none.
    :raises InvalidRequest: the gateway is not the vendor's own API, or a name is not known; nothing was sent.
    :raises UnexpectedReply: a request that nobody can serve was accepted; nothing more is asked.
    :raises GatewayRefusal: the key is not accepted.
    """
    rows = _rows(names)
    if not settings.gateway.jobs:
        # Others may drop or replace what they do not know, the size among it, and then serve what is left; nobody has
        # measured yet what the vendor's own compatible mode does.
        rule = f"{settings.gateway.name} is not the vendor's own API, of which it is known that it refuses"
        raise InvalidRequest("gateway", rule, advice="Use a connection to DashScope.")
    today = datetime.now(UTC).date()
    with settings.endpoint.client() as client:
        for row in rows:
            for question in questions(row):
                yield answer(question, _ask(client, settings, question), today=today)


def _rows(names: Iterable[str]) -> list[Model]:
    wanted = list(names)
    if unknown := [name for name in wanted if name not in models()]:
        raise InvalidRequest("model", f"{unknown[0]!r} has no row; known are {', '.join(models())}")
    return [row for row in models().values() if not wanted or row.name in wanted]


def _ask(client: HttpClient, settings: Settings, question: Question) -> str:
    """Send a question and return the sentence of its refusal; nothing that could be served is ever sent."""
    assert is_refused_twice(question)
    call = _spelled(settings, question)
    conduct = flows.Conduct(clock=time.time, jitter=random.random)
    try:
        _, found = run(client, flows.send_until_answered(call, conduct))
    except GatewayRefusal as refusal:
        if refusal.status in _NO_KEY:
            raise
        return refusal.what
    except OutcomeUnknown as unknown:
        return unknown.what
    if task := as_dict(found[0].get("output")).get("task_id") if found else None:
        run(client, jobs.cancel(_job(settings, question, str(task))))
    raise UnexpectedReply(
        f"{settings.gateway.title} accepted what nobody can serve: {question.row.name}, {question.rule}",
        billing="maybe",
        advice="Nothing more is asked. Look at the gateway's usage log.",
    )


def _spelled(settings: Settings, question: Question) -> Call:
    request, row, gateway = question.request, question.row, settings.gateway
    if question.as_job:
        return jobs.encode(request, model=row.model_copy(update={"jobs": row.jobs or "image-generation"}))
    return encode_native.encode(request, gateway=gateway, model=row)


def _job(settings: Settings, question: Question, task: str) -> Job:
    asked, now = Asked.of(question.request), datetime.now(UTC)
    return Job(id=task, gateway=settings.gateway.name, asked=asked, submitted_at=now)
