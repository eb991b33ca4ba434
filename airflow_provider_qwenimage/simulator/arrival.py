"""Bodies off the wire: JSON or a multipart form."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.datastructures import UploadFile

from airflow_provider_qwenimage.simulator.asks import Ask, read, read_form, read_legacy

if TYPE_CHECKING:
    from starlette.requests import Request

    from airflow_provider_qwenimage.simulator.vendor import GatewayRow

_MOST_FIELD_BYTES = 64 * 1024 * 1024
_IMAGE_FIELDS = ("image", "image[]", "url")
_NUMBERED_IMAGE = re.compile(r"image\[\d+\]")


@dataclass(frozen=True)
class Body:
    """A request body.

    :param fields: JSON, or the fields of a form; None when it could not be read.
    :param images: uploads and image URLs of a form, in order; None for JSON.
    """

    fields: Any
    images: tuple[str | bytes, ...] | None = None

    @property
    def shown(self) -> Any:
        """What `/_state` tells of it: uploads as their length."""
        if self.images is None:
            return self.fields
        told = [image if isinstance(image, str) else _told(image) for image in self.images]
        return {**self.fields, "images": told}


async def body_of(request: Request) -> Body:
    """Read the body."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raw = await request.body()
        try:
            return Body(json.loads(raw))
        except ValueError:
            return Body(None)
    fields: dict[str, Any] = {}
    images: list[str | bytes] = []
    async with request.form(max_part_size=_MOST_FIELD_BYTES) as form:
        for name, value in form.multi_items():
            content = await value.read() if isinstance(value, UploadFile) else value
            if name in _IMAGE_FIELDS or _NUMBERED_IMAGE.fullmatch(name):
                images.append(content)
            else:  # a mask is told of, and is no input image
                fields[name] = content if isinstance(content, str) else _told(content)
    return Body(fields, tuple(images))


def read_ask(body: Body, path: str, gateway: GatewayRow) -> Ask:
    """What the body asks for, in the shape the path takes."""
    if body.images is not None:
        return read_form(body.fields, body.images, gateway)
    if path.endswith("image-synthesis"):
        return read_legacy(body.fields, gateway)
    return read(body.fields, gateway)


def _told(content: bytes) -> str:
    return f"<{len(content)} bytes>"
