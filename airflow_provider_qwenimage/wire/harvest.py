"""
Finds the images in a reply, whatever the gateway's shape (contract section 2).

::

    body ─► documents ─► unwrap (P6) ─► fold (P8) ─┬─► data[], images[]  P1 onetoken, applerouter, engines
      │                                            ├─► metadata.output   P2 new-api; extra.output: DMXAPI
      └─► an image or an archive of them (P9)      └─► output            P3 tokenhub, DashScope: choices
                                                                         P4 DashScope jobs: results
                                                                         P5 tokenhot: a list of messages
                                                         image_url of a translation
    the list with most images wins ─► images, failed items, captions, usage

A new shape is one function here and the reply file that forced it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.models.results import Usage
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.wire.archive import unpack
from airflow_provider_qwenimage.wire.documents import (
    Document,
    as_dict,
    as_list,
    contents,
    is_archive,
    is_image,
)
from airflow_provider_qwenimage.wire.envelopes import (
    refusal_in,
    refused_midway,
    request_id_of,
    size_of,
    usage_of,
)
from airflow_provider_qwenimage.wire.frames import fold
from airflow_provider_qwenimage.wire.items import (
    Found,
    Missing,
    Slot,
    each_image,
    event_image,
    holds_image,
    is_image_text,
    read_item,
)
from airflow_provider_qwenimage.wire.without_images import unreadable, without_images

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_qwenimage.wire.protocol import Reply

_MOST_ITEMS = 1000  # of one reply; the vendor makes 12 images at most
_MOST_ERRORS = 10  # told of one stream


@dataclass(frozen=True, slots=True)
class Harvest:
    """All that a reply holds; ``slots`` keep the gateway's order, failed items included."""

    slots: tuple[Slot, ...]
    texts: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    size: str | None = None
    request_id: str | None = None


def harvest(reply: Reply, found: tuple[Document, ...], *, served_from: str | None) -> Harvest:
    """
    Read a reply that is no refusal.

    :param found: its ``documents``.
    :param served_from: the base URL of a gateway that serves images itself; elsewhere a relative URL is no image.
    :raises UnexpectedReply: the body cannot be read, or holds no image.
    :raises PermanentRefusal: every item was refused, for good.
    """
    request_id = request_id_of(reply, found)
    if is_image(reply.body):  # P9: vLLM-Omni with response_format=file
        return Harvest(slots=(Found(data=reply.body),), request_id=request_id)
    if is_archive(reply.body):
        document, metadata, slots = {}, {}, tuple(unpack(reply.body))
    elif found:
        document = _unwrap(found[0]) if len(found) == 1 else fold(tuple(map(_unwrap, found)))
        metadata = {**as_dict(document.get("extra")), **as_dict(document.get("metadata"))}
        slots = _slots(document, metadata, served_from)
    else:
        raise unreadable(reply, request_id=request_id)
    if len(slots) >= _MOST_ITEMS:
        raise unreadable(reply, request_id=request_id, found=f"{_MOST_ITEMS} images or more")
    texts = _texts(document.get("output")) or _texts(metadata.get("output")) or _texts(document)
    if not any(isinstance(slot, Found) for slot in slots):
        raise without_images(slots, document, texts, status=reply.status, request_id=request_id)
    usage = as_dict(document.get("usage")) or as_dict(metadata.get("usage"))
    size = size_of(usage) or size_of(document)  # vLLM-Omni names the size of an edit at the top level
    return Harvest((*slots, *_broken_off(found)), texts, usage_of(usage), size, request_id)


def _slots(document: Document, metadata: Document, served_from: str | None) -> tuple[Slot, ...]:
    return _choose(
        _from_items(document.get("data"), served_from),
        _from_items(document.get("images"), served_from),
        _from_output(metadata.get("output"), served_from),
        _from_output(document.get("output"), served_from),
        _from_output(document, served_from),
    )


def _unwrap(document: Document) -> Document:
    """
    P6: ``{"code": 200, "msg": "..", "data": {"data": [..]}}`` is an envelope around the real document.

    ``data`` may also be one image instead of a list of them, and an event of a stream the image itself.
    """
    inner, image = document.get("data"), event_image(document)
    if image is not None:
        return {**document, "data": [image]}
    if isinstance(inner, str):
        return {**document, "data": [inner] if inner else []}
    if not isinstance(inner, dict):
        return document
    lists = any(inner.get(key) for key in ("data", "images", "output"))
    return inner if lists or not holds_image(inner) else {**document, "data": [inner]}


def _broken_off(found: tuple[Document, ...]) -> list[Missing]:
    """P8: an error frame after images is one more item that failed."""
    if not refused_midway(found):
        return []
    said = islice((refusal for document in found if (refusal := refusal_in(document))), _MOST_ERRORS)
    return [Missing(redact(refusal.message or refusal.code), refusal.code or None) for refusal in said]


def _from_items(items: object, served_from: str | None) -> list[Slot]:
    """P1, P4: a list of objects, or of bare URLs."""
    if not items:
        return []
    objects = (item if isinstance(item, dict) else {"url": item} for item in as_list(items))
    return _distinct(read_item(item, served_from) for whole in objects for item in each_image(whole))


def _from_output(output: object, served_from: str | None) -> list[Slot]:
    """P3, P4, P5: ``results`` of a job, or the images among the contents; P5 puts a URL under ``text``."""
    if not output:
        return []
    if results := as_dict(output).get("results"):
        return _from_items(results, served_from)
    if as_dict(output).get("image_url"):  # a translation (A-mt)
        return _from_items([output], served_from)
    named = (item for item in contents(output) if holds_image(item) or is_image_text(item))
    items = (
        item if holds_image(whole) else {"url": whole["text"]}
        for whole in named
        for item in each_image(whole)
    )
    return _distinct(read_item(item, served_from) for item in items)


def _texts(output: object) -> tuple[str, ...]:
    """Return the captions: texts that are no image."""
    if not output:
        return ()
    if as_dict(output).get("image_url"):  # of an image without a text a translation says so (A-mt)
        return (redact(note),) if (note := as_dict(output).get("message")) else ()
    found = (
        item.get("text") for item in contents(output) if not holds_image(item) and not is_image_text(item)
    )
    return tuple(text for text in found if isinstance(text, str) and text.strip())


def _distinct(slots: Iterable[Slot]) -> list[Slot]:
    """Drop an image that is named twice; failed items all stay."""
    seen: set[object] = set()
    kept: list[Slot] = []
    for slot in islice(slots, _MOST_ITEMS):
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
