"""Spells a request the way OpenAI does: everything on one level, edits as multipart where the engine wants it."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.wire.encode_native import boxes, series
from airflow_provider_qwenimage.wire.protocol import Call, Part

if TYPE_CHECKING:
    from airflow_provider_qwenimage.catalog import Gateway
    from airflow_provider_qwenimage.catalog.models import Model
    from airflow_provider_qwenimage.models.requests import Request


def encode(request: Request, *, gateway: Gateway, model: Model | None, inline: bool) -> Call:
    """
    Encode for the images route.

    :param inline: ask for base64: the images are stored by the same task, and the engine may know no URLs.
    """
    fields = _fields(request, gateway=gateway, model=model)
    spare: tuple[str, ...] = ()
    if inline and gateway.inline_images and "response_format" not in fields:
        fields["response_format"], spare = "b64_json", ("response_format",)
    images = list(getattr(request, "images", ()))
    if images and gateway.edits:
        parts = tuple(_part(image, index) for index, image in enumerate(images))
        form = {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()
        }
        return Call("POST", gateway.edits, form=form, parts=parts, billable=True, spare=spare)
    if images:  # one as a string, several as a list (contract R5)
        fields["image"] = images[0] if len(images) == 1 else images
    return Call("POST", gateway.generations, json=fields, billable=True, spare=spare)


def _fields(request: Request, *, gateway: Gateway, model: Model | None) -> dict[str, Any]:
    named: dict[str, Any] = {
        "model": request.model,
        "prompt": request.prompt,
        "size": request.size.text(gateway.size_separator) if request.size else None,
        **series(request, model=model),
        "negative_prompt": request.negative_prompt,
        "seed": request.seed,
        "bbox_list": boxes(request),
    }
    fields = {name: value for name, value in named.items() if value is not None} | request.parameters
    return _with_kwargs(fields, gateway.reads) if gateway.reads else fields


def _with_kwargs(fields: dict[str, Any], reads: tuple[str, ...]) -> dict[str, Any]:
    """Put what an engine does not read beside the prompt into its ``kwargs``; the author's own come last."""
    own = fields.pop("kwargs", None) or {}
    try:
        own = json.loads(own) if isinstance(own, str) else own
    except ValueError:
        own = None
    if not isinstance(own, dict):
        raise InvalidRequest("parameters", "kwargs must be a JSON object, or the text of one")
    kwargs = {name: value for name, value in fields.items() if name not in reads} | own
    plain = {name: value for name, value in fields.items() if name in reads}
    return plain | {"kwargs": json.dumps(kwargs, ensure_ascii=False)} if kwargs else plain


def unread(request: Request, gateway: Gateway) -> tuple[str, ...]:
    """Name the fields of a request that have no effect there: an engine may read none of them for an edit."""
    if not gateway.reads or not getattr(request, "images", ()):
        return ()
    given = {"seed": request.seed, "negative_prompt": request.negative_prompt, **request.parameters}
    return tuple(name for name, value in given.items() if value is not None and name not in gateway.reads)


def _part(image: str, index: int) -> Part:
    """Unpack a ``data:`` URL into a file of the form; the order of the parts is the order of the images."""
    head, separator, payload = image.partition(";base64,")
    if not separator or not head.startswith("data:"):
        raise InvalidRequest(f"images.{index}", "this gateway takes files: pass s3://, data: or a local path")
    media_type = head.removeprefix("data:")
    filename = f"image-{index}.{media_type.partition('/')[2].partition('+')[0]}"
    try:
        content = base64.b64decode(payload, validate=True)
    except binascii.Error:
        raise InvalidRequest(f"images.{index}", "is a data URL whose base64 cannot be read") from None
    return Part("image", filename, content, media_type)
