"""
Tells whether a reply is a refusal, and which: the body is read before the status.

::

    error code in the body ─► _CODES ─┐
    words in the message   ─► _WORDS ─┼─► cause ─► _CAUSES ─► exception, advice
    HTTP status            ─► _STATUS ┘

Gateways refuse under 200 (E4, E5), answer local validation with 500, and reduce Alibaba's code to its message
(contract section 3). What no table knows is permanent below 500 and an unknown outcome from 500 on: a 5xx that does
not say that nothing was done may have been billed.
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
from airflow_provider_qwenimage.wire.documents import Document, describe
from airflow_provider_qwenimage.wire.envelopes import (
    Refusal,
    brings_image,
    message_in,
    refusal_in,
    refused_midway,
    request_id_of,
)
from airflow_provider_qwenimage.wire.protocol import retry_after

if TYPE_CHECKING:
    from airflow_provider_qwenimage.wire.protocol import Reply

THROTTLED, OVERLOADED, FAULT, MODERATION = "throttled", "overloaded", "fault", "moderation"
AUTH, ACCESS, MONEY, INVALID, MODEL, MODE, GAVE_UP, UNKNOWN = (
    "auth", "access", "money", "invalid", "model", "mode", "gave up", "unknown",
)  # fmt: skip

# Codes in lower case without . _ -; the longest prefix at a dot of the original decides.
# A-err (2026-10), NA middleware/utils.go and types/error.go (2026-07), vLLM-Omni (2026-08).
_CODES: dict[str, str] = {
    "throttling": THROTTLED, "throttlingratequota": THROTTLED, "throttlingburstrate": THROTTLED,
    "throttlingallocationquota": THROTTLED, "limitrequests": THROTTLED, "limitburstrate": THROTTLED,
    "ratelimitexceeded": THROTTLED, "ratelimiterror": THROTTLED, "toomanyrequests": THROTTLED,
    "insufficientquota": MONEY, "insufficientuserquota": MONEY, "preconsumetokenquotafailed": MONEY,
    "arrearage": MONEY, "commoditynotpurchased": MONEY, "prepaidbilloverdue": MONEY, "postpaidbilloverdue": MONEY,
    "allocationquotafreetieronly": MONEY, "modelpriceerror": MODEL,
    "modelservingerror": OVERLOADED, "modelunavailable": OVERLOADED, "overloaded": OVERLOADED,
    "serviceunavailable": OVERLOADED, "systemcpuoverloaded": OVERLOADED, "systemmemoryoverloaded": OVERLOADED,
    "internalerror": FAULT, "systemerror": FAULT, "modelservicefailed": FAULT, "rewritefailed": FAULT,
    "requesttimeout": FAULT, "internalerroralgo": FAULT,
    "internalerrortimeout": GAVE_UP, "badresponse": UNKNOWN, "dorequestfailed": UNKNOWN,
    "internalerroralgoinvalidparameter": INVALID, "internalerroralgodatainspectionfailed": MODERATION,
    "datainspectionfailed": MODERATION, "contentpolicyviolation": MODERATION, "sensitivewordsdetected": MODERATION,
    "invalidparameter": INVALID, "invalidparametervalue": INVALID, "invalidrequest": INVALID,
    "convertrequestfailed": INVALID, "promptmissing": INVALID,
    "invalidfile": INVALID, "invalidurl": INVALID, "badrequest": INVALID, "requestbodytoolarge": INVALID,
    "invalidapikey": AUTH, "notauthorized": AUTH, "authenticationerror": AUTH,
    "accessdenied": ACCESS, "accessdeniedunpurchased": ACCESS, "modelaccessdenied": ACCESS,
    "workspaceaccessdenied": ACCESS, "permissiondenied": ACCESS,
    "modelnotfound": MODEL, "modelnotsupported": MODEL, "workspacenotfound": ACCESS, "apinotimplemented": MODE,
    "failed": FAULT, "canceled": FAULT, "cancelled": FAULT,  # the state of a job that gave no code (E6)
}  # fmt: skip

# Words of a message, first match wins; asked where the code says nothing, and before a code that is ambiguous.
# NA RelayErrorHandler keeps only Alibaba's sentence (2026-07); sentences from A-err (2026-10).
_WORDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), cause)
    for pattern, cause in (
        (r"inappropriate content|data[ _]?inspection|content polic|moderation|sensitive (word|content)", MODERATION),
        ((r"arrearage|good standing|free allocated quota|and billing|insufficient (balance|quota|credit|user quota)"
         r"|overdue|(balance|quota) is not enough|free (tier|quota)|余额不足|额度(不足|已用尽)"), MONEY),
        (r"allocated quota exceeded|increase your quota limit", THROTTLED),
        (r"(a?synchronous) calls", MODE),
        (r"download (multimodal|media|the media)|internalerror\.algo\.invalidparameter", INVALID),
        (r"rate limit|too many requests|requests? (rate|limit)|throttl", THROTTLED),
        (r"overload|saturated|负载已饱和|at capacity|no available (worker|capacity)", OVERLOADED),
        (r"(incorrect|invalid) (api[ -]?key|token)|invalid token|无效的令牌|(令牌|token) ?(无效|已过期)", AUTH),
        (r"model .{0,80}(not found|not exist|not supported)|no available channel|无可用渠道", MODEL),
        (r"internal error has occ?ur", FAULT),
    )
)  # fmt: skip
# Codes that mean two things; the message tells which (contract 3.3: AllocationQuota; 3.2: bad_response_status_code).
_AMBIGUOUS = frozenset(
    {"throttlingallocationquota", "insufficientquota", "accessdenied", "internalerror", "badresponse"}
    | {"failed", "canceled", "cancelled"}
)

_STATUS: dict[int, str] = {
    401: AUTH, 402: MONEY, 403: ACCESS, 404: MODEL, 408: UNKNOWN, 429: THROTTLED, 501: MODE,
}  # fmt: skip


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
_LOOK_FIRST = "Look at the gateway's usage log before paying again."


def classify(reply: Reply, found: tuple[Document, ...], *, now: float) -> QwenImageError | None:
    """
    Return the error a reply stands for, ``None`` when it is no refusal.

    :param found: its ``documents``.
    :param now: epoch seconds, to read a ``Retry-After`` date.
    """
    said = next((said for document in found if (said := refusal_in(document))), None)
    if said is None and reply.status < 300:
        return None
    midway = said is not None and refused_midway(found)
    if midway and any(map(brings_image, found)):
        return None  # what has come is paid for: the harvest keeps it, and the refusal as a failed item
    said = said or Refusal("", message_in(found[0]) if found else "")
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


def refuse(cause: str, where: str, quote: str, **facts: Any) -> QwenImageError:
    """Build the exception of a cause."""
    row = _CAUSES[cause]
    if issubclass(row.exception, TemporaryRefusal):
        facts["resend"] = row.resend
    return row.exception(f"{where} {row.what}: {quote}", advice=row.advice, **facts)


def cause_of(said: Refusal, status: int) -> str:
    """Find the cause: code, then words, then status."""
    if status < 400 and re.fullmatch(r"[45]\d\d", said.code):
        status = int(said.code)
    cause = stated_cause(said)
    if cause == FAULT and status == 400:
        return INVALID
    if cause is None:
        cause = _STATUS.get(status) or (INVALID if status < 500 else UNKNOWN)
    return cause


def stated_cause(said: Refusal) -> str | None:
    """Find the cause in code and words alone, ``None`` where they are of no table."""
    code = _known(said.code)
    words = next((cause for pattern, cause in _WORDS if pattern.search(said.message)), None)
    return (words or _CODES.get(code)) if code in _AMBIGUOUS else (_CODES.get(code) or words)


def permanent(cause: str | None) -> str | None:
    """Return the advice for a cause for which the same request is refused again, ``None`` for any other."""
    row = _CAUSES.get(cause or "")
    return row.advice if row and issubclass(row.exception, PermanentRefusal) else None


def _known(code: str) -> str:
    """Shorten a code at its dots until a table knows it: ``InvalidFile.Resolution`` is an ``InvalidFile``."""
    parts = code.split(".")
    for count in range(len(parts), 0, -1):
        short = re.sub(r"[._\s-]", "", "".join(parts[:count])).lower()
        if short in _CODES:
            return short
    return ""
