"""Says what a reply is that holds no image: refused item by item, a job of another product, or nothing known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_qwenimage.exceptions import QwenImageError, UnexpectedReply
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.wire.causes import MODERATION, stated_cause
from airflow_provider_qwenimage.wire.documents import Document, as_dict, as_list, as_word, describe
from airflow_provider_qwenimage.wire.envelopes import Refusal, message_in
from airflow_provider_qwenimage.wire.items import OWN_CODES, Missing, Slot
from airflow_provider_qwenimage.wire.refusals import permanent, refuse

if TYPE_CHECKING:
    from airflow_provider_qwenimage.wire.protocol import Reply

_LOOK_FIRST = "Look at the gateway's usage log before paying again."
_MOST_REASONS = 5  # in one message
_STATES = {"status", "task_status", "state"}


def unreadable(reply: Reply, *, request_id: str | None, found: str = "") -> UnexpectedReply:
    """Build the error of a reply that is no document at all, or none that is believed."""
    return UnexpectedReply(
        f"The gateway answered {reply.status} with {found or describe(reply)}",
        advice=f"Check the connection's host and gateway. {_LOOK_FIRST}",
        status=reply.status,
        request_id=request_id,
    )


def without_images(
    slots: tuple[Slot, ...],
    document: Document,
    texts: tuple[str, ...],
    *,
    status: int,
    request_id: str | None,
) -> QwenImageError:
    """
    Build the error of a reply without an image.

    :param slots: what its items are instead.
    :param texts: its captions.
    """
    problem = _refused_items(slots, status) or _no_image(slots, document, texts)
    problem.status, problem.request_id = status, request_id
    return problem


def _refused_items(slots: tuple[Slot, ...], status: int) -> QwenImageError | None:
    """E6: where every item was refused for good, so was the request; ``None`` where one may come of a retry."""
    said = [Refusal(slot.code or "", slot.reason) for slot in slots if isinstance(slot, Missing)]
    causes = [None if refusal.code in OWN_CODES else stated_cause(refusal) for refusal in said]
    if not causes or not all(map(permanent, causes)):
        return None
    place = causes.index(MODERATION) if MODERATION in causes else 0
    cause, refusal = str(causes[place]), said[place]
    where = f"The gateway (HTTP {status}{', ' + refusal.code if refusal.code else ''})"
    return refuse(cause, where, refusal.message, status=status, code=refusal.code or None)


def _no_image(slots: tuple[Slot, ...], document: Document, texts: tuple[str, ...]) -> UnexpectedReply:
    output = as_dict(document.get("output"))
    missing = [slot for slot in slots if isinstance(slot, Missing)]
    job, state = _job(document), as_word(output.get("task_status"))
    # P7: another product, with its own jobs.
    if job and not state and all(slot == Missing() for slot in missing):
        return UnexpectedReply(
            "The gateway answered with a job id, and it is not known to have jobs",
            advice="Choose the gateway in the connection that this host really is.",
            job_id=job,
        )
    reasons = dict.fromkeys(slot.reason for slot in missing)
    code = next((slot.code for slot in missing if slot.code), None)
    said = redact(message_in(document) or message_in(output)) or (
        f"only the text {redact(texts[0], limit=120)!r}" if texts else ""
    )
    detail = "; ".join(list(reasons)[:_MOST_REASONS]) or said or (f"its job is {state}" if state else "")
    what = "The gateway answered without an image" + (f": {detail}" if detail else "")
    return UnexpectedReply(
        what, advice=_LOOK_FIRST, code=code or as_word(document.get("code") or None) or None, job_id=job
    )


def _job(document: Document) -> str | None:
    """
    Return the id of a job a document names.

    Items of ``data`` may have an ``id`` that is of an image, and a chat completion has one: a job has a state as well.
    """
    data = document.get("data")
    holders = (document, *(as_dict(document.get(key)) for key in ("output", "task_info", "data")))
    named = [
        holder.get("task_id") or (holder.get("id") if _STATES & set(holder) else None) for holder in holders
    ]
    named += [as_dict(item).get("task_id") for item in as_list(data)]
    return next((word for id_ in named if (word := as_word(id_))), None)
