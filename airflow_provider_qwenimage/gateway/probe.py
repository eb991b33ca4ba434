"""Tells whether a connection works without spending anything: one GET that no gateway bills."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.exceptions import QwenImageError
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.transport import run
from airflow_provider_qwenimage.wire.documents import as_dict, as_list, documents
from airflow_provider_qwenimage.wire.envelopes import refusal_in
from airflow_provider_qwenimage.wire.protocol import Call, Flow, Reply

if TYPE_CHECKING:
    from airflow_provider_qwenimage.gateway.connection import Settings

TIME_LIMIT = 8.0  # seconds; Airflow's API server waits for the answer, the design allows 10
_REFUSED = {401: "the key is not accepted", 403: "the key has no access"}
_NO_ROUTE = (404, 405)  # the route is documented by none of the gateways (contract section 7)


def probe(settings: Settings) -> tuple[bool, str]:
    """Return whether the connection works, and a sentence for the person who pressed the button."""
    answer: Future[tuple[bool, str]] = Future()
    # No timeout of a client ends a name lookup, or a reply that drips: the wait is ended here, whatever hangs.
    Thread(target=_answer, args=(settings, answer), name="qwenimage-probe", daemon=True).start()
    try:
        return answer.result(TIME_LIMIT)
    except Late:
        return False, f"{settings.endpoint.base_url} gave no answer within {TIME_LIMIT:g} s."


def _answer(settings: Settings, answer: Future[tuple[bool, str]]) -> None:
    try:
        answer.set_result(_look(settings))
    except Exception as error:  # noqa: BLE001 - raised again by the thread that waits
        answer.set_exception(error)


def _look(settings: Settings) -> tuple[bool, str]:
    gateway = settings.gateway
    endpoint = replace(settings.endpoint, timeout=min(settings.endpoint.timeout, TIME_LIMIT))
    try:
        with endpoint.client() as client:
            reply = run(client, _ask(gateway.check.path))
    except QwenImageError as error:
        return False, redact(error.what)
    if reply.status in _REFUSED:
        hint = " Keys are bound to a region: check gateway and host." if gateway.jobs else ""
        return False, f"{gateway.title} answered {reply.status}: {_REFUSED[reply.status]}.{hint}"
    if reply.status in _NO_ROUTE:
        return (
            True,
            f"{gateway.title} is reachable; it has no {gateway.check.path}, so the key is not verified.",
        )
    if reply.status >= 300:
        return False, f"{gateway.title} answered {reply.status} to {gateway.check.path}."
    return _read(reply, settings)


def _ask(path: str) -> Flow[Reply]:
    reply = yield Call("GET", path)
    assert reply is not None
    return reply


def _read(reply: Reply, settings: Settings) -> tuple[bool, str]:
    found = documents(reply)
    if not found:
        return False, f"{settings.endpoint.base_url} answers, but not like an API: check the host."
    if said := refusal_in(found[0]):
        return False, f"{settings.gateway.title} refused: {redact(said.message or said.code)}"
    offered = {_bare(as_dict(item).get("id")) for item in as_list(found[0].get("data"))}
    lists_models = settings.gateway.check.lists == "models"
    if lists_models and settings.model and offered and _bare(settings.model) not in offered:
        return True, f"Key accepted, but the default model {settings.model!r} is not listed: check its name."
    return True, f"Key accepted by {settings.gateway.title}."


def _bare(name: object) -> str:
    """Return a model's name without its provider: lists and connections write it either way."""
    return str(name or "").rpartition("/")[2]
