"""Reads what a document says beside its images: an error (contract E1-E8), the id to ask about, and what was used."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_qwenimage.models.results import Usage
from airflow_provider_qwenimage.wire.documents import Document, as_dict, as_list, as_word, contents
from airflow_provider_qwenimage.wire.items import delivers, event_image

if TYPE_CHECKING:
    from airflow_provider_qwenimage.wire.protocol import Reply

_HEADERS = ("x-oneapi-request-id", "x-request-id", "x-dashscope-request-id")
# new-api puts its id at the end of the sentence (E3, NA middleware/utils.go).
_IN_MESSAGE = re.compile(r"\(request id: ([\w-]{1,128}+)\)", re.IGNORECASE)
_FINE = frozenset({"", "0", "200", "ok", "success"})  # codes that are no error
_CARRIERS = ("data", "images", "output", "metadata", "extra", "choices")
_HOLDERS = ("error", "metadata", "extra")  # of a request id that does not stand at the top
_LONGEST_ID, _LONGEST_SENTENCE = 128, 4096  # characters
_SIZE = re.compile(r"\d{1,5}[*x]\d{1,5}|\dk", re.IGNORECASE | re.ASCII)
_MOST = 10**12  # of images or tokens; what is more counts nothing, and breaks sums and prices
_ENDED_BADLY = frozenset({"FAILED", "CANCELED", "CANCELLED"})


class Refusal(NamedTuple):
    """
    What a body says of itself: the gateway's code and sentence.

    :param state: of a job that ended badly; says what no code and no sentence says.
    """

    code: str
    message: str
    state: str = ""


def refusal_in(document: Document) -> Refusal | None:
    """
    Return what a document says when it is an error, whatever its status.

    ``error`` (E2-E4), ``success: false`` (E7), a job that ended badly (E6), or a code without an image (E1, E5, P6).
    """
    if said := _error_of(document):
        return said
    code, message = as_word(document.get("code")), message_in(document)
    if document.get("success") is False:
        return Refusal(code, message)
    if ended := _ended(document):
        return ended
    if code.lower() in _FINE or _shielded(document, code):
        return None
    return Refusal(code, message)


def refused_with(reply: Reply, found: tuple[Document, ...]) -> Refusal | None:
    """Return what a reply refuses with, ``None`` where it is no refusal: the body is read before the status."""
    said = next((said for document in found if (said := refusal_in(document))), None)
    if said is None and reply.status < 300:
        return None
    if said is not None and refused_midway(found) and any(map(brings_image, found)):
        return None  # what has come is paid for: the harvest keeps it, and the refusal as a failed item
    return said or Refusal("", message_in(found[0]) if found else "")


def _error_of(document: Document) -> Refusal | None:
    error = document.get("error")
    if isinstance(error, list):  # validation names each field
        error = next((item for item in error if isinstance(item, dict)), "; ".join(map(str, error[:100])))
    if isinstance(error, dict) and (error.get("message") or error.get("code") or error.get("type")):
        return Refusal(
            as_word(error.get("code")) or as_word(error.get("type")), _sentence(error.get("message"))
        )
    return (
        Refusal(as_word(document.get("code")), _sentence(error)) if isinstance(error, str) and error else None
    )


def _ended(document: Document) -> Refusal | None:
    """E6 in the reply to a call that waits: the gateway waited for a job of its own, and it ended badly."""
    for output in (as_dict(document.get("output")), as_dict(as_dict(document.get("metadata")).get("output"))):
        status = str(output.get("task_status") or "").upper()
        if status in _ENDED_BADLY and not brings_image(document):
            said = job_refusal(document, output)
            # Without a reason of its own the items may have theirs; the state is the last word.
            if any(said) or not output.get("results"):
                return Refusal(said.code or status, said.message, status)
    return None


def job_refusal(document: Document, output: Document) -> Refusal:
    """Return why a job ended badly; the detail lies in ``output`` or beside it (contract C22)."""
    holder = output if output.get("code") or output.get("message") else document
    code = as_word(holder.get("code"))
    return Refusal("" if code.lower() in _FINE else code, _sentence(holder.get("message")))


def brings_image(document: Document) -> bool:
    """Tell whether a document holds an image where gateways put images."""
    return any(delivers(document.get(key)) for key in _CARRIERS) or delivers(event_image(document))


def _shielded(document: Document, code: str) -> bool:
    """
    Tell whether a code is no error, because of what stands beside it: an image, or a job that goes on.

    Beside ``data`` a word may say that all is well; a number other than 0 and 200 does not (P6).
    """
    output, data = as_dict(document.get("output")), document.get("data")
    state = str(output.get("task_status") or "").upper()
    if state not in ("", "SUCCEEDED") or brings_image(document):
        return True
    if not code.lstrip("-").isdigit():
        return bool(data or document.get("metadata"))
    named = (as_dict(item).get("task_id") for item in (data, *as_list(data)))
    return not re.fullmatch(r"[45]\d\d", code) and any(named)


def refused_midway(found: tuple[Document, ...]) -> bool:
    """Tell whether an event stream broke off with an error after the gateway had begun to deliver."""
    return len(found) > 1 and any(map(_began, found))


def _began(frame: Document) -> bool:
    output = frame.get("output")
    return bool(
        any(True for _ in contents(output))
        or frame.get("data")
        or frame.get("images")
        or frame.get("b64_json")
        or as_dict(output).get("results")
    )


def message_in(document: Document) -> str:
    """Return the sentence of a document, wherever it stands; FastAPI has it under ``detail`` (E8)."""
    detail = document.get("detail")
    if isinstance(detail, list):
        items = (as_dict(item) for item in detail)
        told = (f"{'.'.join(map(str, as_list(item.get('loc'))))}: {item.get('msg')}" for item in items)
        return _sentence("; ".join(told))
    if isinstance(detail, dict):
        detail = detail.get("message") or detail.get("error")
    return _sentence(detail or document.get("message") or document.get("msg"))


def _sentence(value: object) -> str:
    """Return what a gateway says, cut where no vendor's sentence ends: patterns look through all of it."""
    return str(value or "")[:_LONGEST_SENTENCE]


def request_id_of(reply: Reply, found: tuple[Document, ...]) -> str | None:
    """Return the id to ask the gateway about, from the body, the headers or the sentence."""
    return as_word(_request_id(reply, found), limit=_LONGEST_ID) or None


def _request_id(reply: Reply, found: tuple[Document, ...]) -> str | None:
    for document in reversed(found):
        inner = as_dict(document.get("data"))
        for holder in (
            document,
            *(as_dict(parent.get(key)) for parent in (document, inner) for key in _HOLDERS),
        ):
            if isinstance(holder.get("request_id"), str) and holder["request_id"]:
                return str(holder["request_id"])
    header = next((reply.headers[name] for name in _HEADERS if reply.headers.get(name)), None)
    said = (refusal.message for document in found if (refusal := refusal_in(document)))
    return header or next((match[1] for message in said if (match := _IN_MESSAGE.search(message))), None)


def usage_of(usage: Document) -> Usage:
    """Normalise the names: ``image_count`` is ``output_image_count`` on qwen-image-3.0 (contract section 2)."""
    if not usage:
        return Usage()
    return Usage(
        image_count=_first(usage, "image_count", "output_image_count"),
        input_tokens=_first(usage, "input_tokens", "prompt_tokens"),
        output_tokens=_first(usage, "output_tokens", "completion_tokens"),
        total_tokens=_first(usage, "total_tokens"),
        input_image_count=_first(usage, "input_image_count"),
        output_image_type=as_word(usage.get("output_image_type")) or None,
    )


def size_of(usage: Document) -> str | None:
    """Return the size of the images as ``"1328*1328"``."""
    if isinstance(usage.get("size"), str) and _SIZE.fullmatch(usage["size"]):
        return str(usage["size"]).lower().replace("x", "*")
    across = _first(usage, "width", "output_width")
    down = _first(usage, "height", "output_height") if across else None
    return f"{across}*{down}" if down else None


def _first(usage: Document, *names: str) -> int | None:
    counts = (_whole(usage[name]) for name in names if name in usage)
    return next((count for count in counts if count is not None), None)


def _whole(value: object) -> int | None:
    """Read a count; gateways in untyped languages write ``"1"`` and ``1.0``."""
    if isinstance(value, str):
        text = value.strip()
        value = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(_MOST)) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if abs(value) <= _MOST else None
