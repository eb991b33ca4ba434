"""
Tells whether a reply is a refusal, and which: the body is read before the status.

::

    documents ─► envelopes (is it a no, and what does it say?) ─► causes (why?) ─► _CAUSES ─► exception, advice

Gateways refuse under 200 (E4, E5), answer local validation with 500, and reduce Alibaba's code to its message
(contract section 3).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_qwenimage.exceptions import (
    ContentRefused,
    OutcomeUnknown,
    PermanentRefusal,
    QwenImageError,
    TemporaryRefusal,
)
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.wire.causes import (
    ACCESS,
    AUTH,
    FAULT,
    GAVE_UP,
    INVALID,
    MODE,
    MODEL,
    MODERATION,
    MONEY,
    OVERLOADED,
    THROTTLED,
    UNKNOWN,
    cause_of,
    scope_of,
)
from airflow_provider_qwenimage.wire.documents import Document, describe
from airflow_provider_qwenimage.wire.envelopes import (
    Refusal,
    refusal_in,
    refused_midway,
    refused_with,
    request_id_of,
)
from airflow_provider_qwenimage.wire.protocol import retry_after

if TYPE_CHECKING:
    from airflow_provider_qwenimage.wire.protocol import Reply


class _Cause(NamedTuple):
    what: str
    advice: str
    exception: type[QwenImageError]
    resend: bool = False


_CAUSES: dict[str, _Cause] = {
    THROTTLED: _Cause(
        "throttled the request", "A retry is safe; lower the pool or spread the Dag.", TemporaryRefusal, True
    ),
    OVERLOADED: _Cause("is overloaded", "A retry is safe.", TemporaryRefusal, True),
    FAULT: _Cause(
        "failed on its own side", "A retry is safe: failed requests are not billed.", TemporaryRefusal
    ),
    MODERATION: _Cause(
        "refused the content",
        "Change the prompt or the input image; the same request is refused again.",
        ContentRefused,
    ),
    AUTH: _Cause(
        "does not accept the key",
        "Check the connection's API key, and that key and host are of one region.",
        PermanentRefusal,
    ),
    ACCESS: _Cause(
        "denies access", "Ask for access to this model or workspace, or use another key.", PermanentRefusal
    ),
    MONEY: _Cause(
        "says there is no money or quota left",
        "Top up the account or raise the quota, then clear the task.",
        PermanentRefusal,
    ),
    INVALID: _Cause(
        "rejects the request", "Change what it names; the same request is rejected again.", PermanentRefusal
    ),
    MODEL: _Cause(
        "does not serve this model here",
        "Check the model's name and the connection's host and gateway.",
        PermanentRefusal,
    ),
    GAVE_UP: _Cause(
        "gave the job up after its time limit",
        "Clear the task to ask again: jobs that fail are not billed.",
        PermanentRefusal,
    ),
    MODE: _Cause(
        "does not serve this kind of call",
        "Use the operator or model this endpoint is made for.",
        PermanentRefusal,
    ),
}
# LiteLLM (2025-07): "Setting `response_format` is not supported by .."; OpenAI (2026-02): "Unknown parameter: '..'";
# FastAPI: "body.response_format: Extra inputs are not permitted".
_NO_SUCH_FIELD = re.compile(
    r"not supported|unsupported|unknown (parameter|field)|unrecognized|not permitted", re.IGNORECASE
)
_LOOK_FIRST = "Look at the gateway's usage log before paying again."


def classify(reply: Reply, found: tuple[Document, ...], *, now: float) -> QwenImageError | None:
    """
    Return the error a reply stands for, ``None`` when it is no refusal.

    :param found: its ``documents``.
    :param now: epoch seconds, to read a ``Retry-After`` date.
    """
    said = refused_with(reply, found)
    return None if said is None else explained(said, reply, found, now=now)


def explained(said: Refusal, reply: Reply, found: tuple[Document, ...], *, now: float) -> QwenImageError:
    """Return the error of a reply that refuses; see ``classify``."""
    midway = refused_midway(found) and any(map(refusal_in, found))
    cause = cause_of(said, reply.status)
    where = f"The gateway (HTTP {reply.status}{', ' + said.code if said.code else ''})"
    quote = redact(said.message) if said.message else describe(reply)
    if 300 <= reply.status < 400:
        quote = f"a redirect to {redact(reply.headers.get('location', 'nowhere'))}; set the connection's host to it"
    facts: dict[str, Any] = {
        "status": reply.status,
        "code": said.code or None,
        "request_id": request_id_of(reply, found),
    }
    if cause == UNKNOWN or (midway and issubclass(_CAUSES[cause].exception, TemporaryRefusal)):
        return OutcomeUnknown(
            f"{where} did not say what became of the request: {quote}", advice=_LOOK_FIRST, **facts
        )
    facts["billing"] = "maybe" if midway else None
    return refuse(
        cause, where, quote, retry_after=retry_after(reply.headers.get("retry-after", ""), now=now), **facts
    )


def refused_field(problem: QwenImageError, names: tuple[str, ...]) -> str | None:
    """Return which of the fields a gateway refuses to be asked with; such a request was turned away unread."""
    if not isinstance(problem, PermanentRefusal) or problem.status not in (400, 422) or problem.may_be_billed:
        return None
    named = (name for name in names if name in problem.what)
    return next(named, None) if _NO_SUCH_FIELD.search(problem.what) else None


def refuse(cause: str, where: str, quote: str, **facts: Any) -> QwenImageError:
    """Build the exception of a cause."""
    row = _CAUSES[cause]
    if issubclass(row.exception, TemporaryRefusal):
        facts |= {"resend": row.resend, "throttled": cause == THROTTLED}
    error = row.exception(f"{where} {row.what}: {quote}", advice=row.advice, **facts)
    error.scope = scope_of(cause)
    return error


def permanent(cause: str | None) -> str | None:
    """Return the advice for a cause for which the same request is refused again, ``None`` for any other."""
    row = _CAUSES.get(cause or "")
    return row.advice if row and issubclass(row.exception, PermanentRefusal) else None
