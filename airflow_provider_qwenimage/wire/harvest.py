"""
Finds the images in a reply, whatever the gateway's shape (contract section 2).

::

    body ─► documents ─► unwrap (P6) ─► fold (P8) ─┬─► data[], images[]  P1 onetoken, applerouter, engines
                                                   ├─► metadata.output   P2 new-api
                                                   └─► output            P3 tokenhub, DashScope: choices
                                                                         P4 DashScope jobs: results
                                                                         P5 tokenhot: a list of messages
    the list with most images wins ─► images, failed items, captions, usage

A new shape is one function here and the reply file that forced it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.exceptions import QwenImageError, UnexpectedReply
from airflow_provider_qwenimage.models.results import Usage
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.wire.causes import MODERATION, stated_cause
from airflow_provider_qwenimage.wire.documents import (
    Document,
    as_dict,
    as_list,
    contents,
    describe,
    is_image,
)
from airflow_provider_qwenimage.wire.envelopes import (
    Refusal,
    message_in,
    refusal_in,
    refused_midway,
    request_id_of,
)
from airflow_provider_qwenimage.wire.frames import fold
from airflow_provider_qwenimage.wire.items import (
    OWN_CODES,
    Found,
    Missing,
    Slot,
    holds_image,
    is_image_text,
    locate,
    read_item,
)
from airflow_provider_qwenimage.wire.refusals import permanent, refuse
from airflow_provider_qwenimage.wire.usage import size_of, usage_of

if TYPE_CHECKING:
    from airflow_provider_qwenimage.wire.protocol import Reply

_LOOK_FIRST = "Look at the gateway's usage log before paying again."


@dataclass(frozen=True, slots=True)
class Harvest:
    """All that a reply holds; ``slots`` keep the gateway's order, failed items included."""

    slots: tuple[Slot, ...]
    texts: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    size: str | None = None
    request_id: str | None = None


def harvest(reply: Reply, found: tuple[Document, ...], *, base_url: str) -> Harvest:
    """
    Read a reply that is no refusal.

    :param found: its ``documents``.
    :param base_url: relative image URLs are joined to it.
    :raises UnexpectedReply: the body cannot be read, or holds no image.
    :raises PermanentRefusal: every item was refused, for good.
    """
    request_id = request_id_of(reply, found)
    if is_image(reply.body):  # P9: vLLM-Omni with response_format=file
        return Harvest(slots=(Found(data=reply.body),), request_id=request_id)
    if not found:
        raise UnexpectedReply(
            f"The gateway answered {reply.status} with {describe(reply)}",
            advice=f"Check the connection's host and gateway. {_LOOK_FIRST}",
            status=reply.status,
            request_id=request_id,
        )
    document = fold(tuple(map(_unwrap, found)))
    metadata = as_dict(document.get("metadata"))
    slots = _choose(
        _from_items(document.get("data"), base_url),
        _from_items(document.get("images"), base_url),
        _from_output(metadata.get("output"), base_url),
        _from_output(document.get("output"), base_url),
    )
    texts = _texts(document.get("output")) or _texts(metadata.get("output"))
    if not any(isinstance(slot, Found) for slot in slots):
        problem = _refused_items(slots, reply.status) or _no_image(slots, document, texts)
        problem.status, problem.request_id = reply.status, request_id
        raise problem
    usage = as_dict(document.get("usage")) or as_dict(metadata.get("usage"))
    size = size_of(usage) or size_of(document)  # vLLM-Omni names the size of an edit at the top level
    return Harvest((*slots, *_broken_off(found)), texts, usage_of(usage), size, request_id)


def _unwrap(document: Document) -> Document:
    """
    P6: ``{"code": 200, "msg": "..", "data": {"data": [..]}}`` is an envelope around the real document.

    ``data`` may also be one image instead of a list of them.
    """
    inner = document.get("data")
    if isinstance(inner, str):
        return {**document, "data": [inner] if inner else []}
    if not isinstance(inner, dict):
        return document
    lists = any(inner.get(key) for key in ("data", "images", "output"))
    return inner if lists or not holds_image(inner) else {**document, "data": [inner]}


def _broken_off(found: tuple[Document, ...]) -> list[Missing]:
    """P8: an error frame after images is one more item that failed."""
    said = (refusal for document in found if refused_midway(found) and (refusal := refusal_in(document)))
    return [Missing(redact(refusal.message or refusal.code), refusal.code or None) for refusal in said]


def _from_items(items: object, base_url: str) -> list[Slot]:
    """P1, P4: a list of objects, or of bare URLs."""
    objects = (item if isinstance(item, dict) else {"url": item} for item in as_list(items))
    return _distinct([read_item(item, base_url) for item in objects])


def _from_output(output: object, base_url: str) -> list[Slot]:
    """P3, P4, P5: ``results`` of a job, or the images among the contents; P5 puts a URL under ``text``."""
    if not output:
        return []
    if results := as_dict(output).get("results"):
        return _from_items(results, base_url)
    slots = [
        read_item(item, base_url) if holds_image(item) else locate(item["text"], base_url)
        for item in contents(output)
        if holds_image(item) or is_image_text(item)
    ]
    return _distinct(slots)


def _texts(output: object) -> tuple[str, ...]:
    """Return the captions: texts that are no image."""
    if not output:
        return ()
    found = (
        item.get("text") for item in contents(output) if not holds_image(item) and not is_image_text(item)
    )
    return tuple(text for text in found if isinstance(text, str) and text.strip())


def _distinct(slots: list[Slot]) -> list[Slot]:
    """Drop an image that is named twice; failed items all stay."""
    seen: set[object] = set()
    kept: list[Slot] = []
    for slot in slots:
        name = (slot.url or slot.data) if isinstance(slot, Found) else None
        if name is None or name not in seen:
            kept.append(slot)
        seen.add(name)
    return kept


def _choose(*candidates: list[Slot]) -> tuple[Slot, ...]:
    """
    Take the list with most images, then the longest, then the first; add what only another list knows.

    new-api keeps one image per choice in ``data`` and all of them in ``metadata`` (NA #7473). The lists are not
    united: a gateway that re-hosts images names the same image differently in each.
    """
    filled = [slots for slots in candidates if slots]
    if len(filled) < 2:
        return tuple(filled[0]) if filled else ()
    best = max(filled, key=lambda slots: (sum(isinstance(slot, Found) for slot in slots), len(slots)))
    revised = {
        slot.url: slot.revised_prompt
        for slots in filled
        for slot in slots
        if isinstance(slot, Found) and slot.url and slot.revised_prompt
    }
    chosen: list[Slot] = []
    for position, slot in enumerate(best):
        if isinstance(slot, Found):
            chosen.append(replace(slot, revised_prompt=slot.revised_prompt or revised.get(slot.url or "")))
        else:
            twins = (slots[position] for slots in filled if position < len(slots))
            chosen.append(next((twin for twin in twins if isinstance(twin, Missing) and twin.code), slot))
    return tuple(chosen)


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
    job, state = _job(document), str(output.get("task_status") or "")
    # P7: another product, with its own jobs.
    if job and not state and all(slot == Missing() for slot in missing):
        return UnexpectedReply(
            "The gateway answered with a job id, and it is not known to have jobs",
            advice="Choose the gateway in the connection that this host really is.",
            job_id=job,
        )
    reasons = dict.fromkeys(slot.reason for slot in missing)
    code = next((slot.code for slot in missing if slot.code), None)
    said = redact(message_in(document)) or (f"only the text {redact(texts[0], limit=120)!r}" if texts else "")
    detail = "; ".join(reasons) or said or (f"its job is {redact(state)}" if state else "")
    what = "The gateway answered without an image" + (f": {detail}" if detail else "")
    code = code or str(document.get("code") or "") or None
    return UnexpectedReply(what, advice=_LOOK_FIRST, code=code, job_id=job)


def _job(document: Document) -> str | None:
    """Return the id of a job a document names; items of ``data`` may have an ``id`` that is of an image."""
    holders = (document, as_dict(document.get("output")), as_dict(document.get("task_info")))
    named = [holder.get("task_id") or holder.get("id") for holder in holders]
    named += [as_dict(item).get("task_id") for item in as_list(document.get("data"))]
    return next((id_ for id_ in named if isinstance(id_, str) and id_), None)
