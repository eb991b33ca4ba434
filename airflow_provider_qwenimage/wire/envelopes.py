"""Reads what a document says of an error (contract E1-E8), and the id to ask the gateway about."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_qwenimage.wire.documents import Document, as_dict, as_list, contents

if TYPE_CHECKING:
    from airflow_provider_qwenimage.wire.protocol import Reply

_HEADERS = ("x-oneapi-request-id", "x-request-id", "x-dashscope-request-id")
# new-api puts its id at the end of the sentence (E3, NA middleware/utils.go).
_IN_MESSAGE = re.compile(r"\(request id: ([\w-]+)\)", re.IGNORECASE)


class Refusal(NamedTuple):
    """What a body says of itself: the gateway's code and sentence."""

    code: str
    message: str


def refusal_in(document: Document) -> Refusal | None:
    """
    Return what a document says when it is an error, whatever its status.

    ``error`` (E2-E4), ``success: false`` (E7), or a code without a result (E1, E5).
    A code of 0 or 200 beside ``data`` is an envelope (P6), not an error.
    """
    error = document.get("error")
    if isinstance(error, dict) and (error.get("message") or error.get("code") or error.get("type")):
        return Refusal(_code(error.get("code")) or _code(error.get("type")), str(error.get("message") or ""))
    if isinstance(error, str) and error:
        return Refusal(_code(document.get("code")), error)
    code, message = _code(document.get("code")), message_in(document)
    if document.get("success") is False:
        return Refusal(code, message)
    if any(document.get(key) for key in ("data", "output", "metadata")):
        return None
    return Refusal(code, message) if code not in ("", "0", "200") else None


def refused_midway(found: tuple[Document, ...]) -> bool:
    """Tell whether an event stream broke off with an error after the gateway had begun to deliver."""
    return len(found) > 1 and any(True for document in found for _ in contents(document.get("output")))


def message_in(document: Document) -> str:
    """Return the sentence of a document, wherever it stands; FastAPI has it under ``detail`` (E8)."""
    detail = document.get("detail")
    if isinstance(detail, list):
        items = (as_dict(item) for item in detail)
        return "; ".join(
            f"{'.'.join(map(str, as_list(item.get('loc'))))}: {item.get('msg')}" for item in items
        )
    if isinstance(detail, dict):
        detail = detail.get("message") or detail.get("error")
    return str(detail or document.get("message") or document.get("msg") or "")


def request_id_of(reply: Reply, found: tuple[Document, ...]) -> str | None:
    """Return the id to ask the gateway about, from the body, the headers or the sentence."""
    for document in reversed(found):
        inner = as_dict(document.get("data"))
        for holder in (
            document,
            *(as_dict(parent.get(key)) for parent in (document, inner) for key in ("error", "metadata")),
        ):
            if isinstance(holder.get("request_id"), str) and holder["request_id"]:
                return str(holder["request_id"])
    header = next((reply.headers[name] for name in _HEADERS if reply.headers.get(name)), None)
    said = (refusal.message for document in found if (refusal := refusal_in(document)))
    return header or next((match[1] for message in said if (match := _IN_MESSAGE.search(message))), None)


def _code(value: object) -> str:
    return "" if value is None or isinstance(value, (bool, dict, list)) else str(value).strip()
