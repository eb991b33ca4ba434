"""
Tells why a gateway refused: the tables that read its code, its words and its status.

::

    error code in the body ─► _CODES ─┐
    words in the message   ─► _WORDS ─┼─► cause
    HTTP status            ─► _STATUS ┘

What no table knows is invalid below 500, and unknown from 500 on and under 2xx: what does not say that nothing was done
may have been billed. A LiteLLM proxy answers 200 with an error of its own where the vendor's 200 was cut off.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from airflow_provider_qwenimage.wire.envelopes import Refusal

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
    "ipinfringementsuspect": MODERATION, "faqruleblocked": MODERATION, "customroleblocked": MODERATION,
    "invalidparameterimagecontent": MODERATION, "promptblocked": MODERATION,
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
        # The vendor could not have an input image: it never came to be inspected.
        (r"(during|for) the data inspection|media resource|download (multimodal|media|the media)", INVALID),
        ((r"inappropriate content|data[ _]?inspection|content polic|moderation|sensitive (word|content)|green net"
          r"|ip infringement|blocked by faq rule"), MODERATION),
        ((r"arrearage|good standing|free allocated quota|and billing|insufficient (balance|quota|credit|user quota)"
         r"|overdue|(balance|quota) is not enough|free (tier|quota)|余额不足|额度(不足|已用尽)"), MONEY),
        (r"allocated quota exceeded|increase your quota limit", THROTTLED),
        (r"(a?synchronous) calls", MODE),
        (r"internalerror\.algo\.invalidparameter", INVALID),
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
    400: INVALID, 401: AUTH, 402: MONEY, 403: ACCESS, 404: MODEL, 408: UNKNOWN, 413: INVALID, 422: INVALID,
    429: THROTTLED, 501: MODE,
}  # fmt: skip
_ACCOUNT = frozenset(
    {AUTH, ACCESS, MONEY, MODEL}
)  # what every other request of the key and the model meets too


def scope_of(cause: str | None) -> Literal["account", "request"]:
    """Tell whether other requests meet the same refusal, whatever they ask for."""
    return "account" if cause in _ACCOUNT else "request"


def cause_of(said: Refusal, status: int) -> str:
    """Find the cause: code, then words, then status; a status may stand in the body (P6)."""
    in_body = status < 400 and re.fullmatch(r"[45]\d\d", said.code)
    told = int(said.code) if in_body else status
    cause = stated_cause(said)
    if cause == FAULT and told == 400:
        return INVALID
    if cause is None:
        cause = _STATUS.get(told) or (INVALID if 300 <= status < 500 else UNKNOWN)
    return cause


def stated_cause(said: Refusal) -> str | None:
    """Find the cause in code and words, or else in the state of a job; ``None`` where they are of no table."""
    name = _known(said.code)
    code = _CODES.get(name) or _CODES.get(said.state.lower())
    words = next((cause for pattern, cause in _WORDS if pattern.search(said.message)), None)
    # One code serves both; the sentence says whether an image was refused, or could not be had.
    if name in _AMBIGUOUS or {code, words} == {INVALID, MODERATION}:
        return words or code
    return code or words


def _known(code: str) -> str:
    """Shorten a code at its dots until a table knows it: ``InvalidFile.Resolution`` is an ``InvalidFile``."""
    parts = code.split(".")
    for count in range(len(parts), 0, -1):
        short = re.sub(r"[._\s-]", "", "".join(parts[:count])).lower()
        if short in _CODES:
            return short
    return ""
