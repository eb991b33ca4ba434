"""Reads an archive of images: vLLM-Omni's ``response_format=file`` is a zip where several images were asked for."""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.wire.documents import is_image
from airflow_provider_qwenimage.wire.items import Found, Missing, Slot

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

_MOST_FILES = 100
_GROWTH, _SPARE = 4, 2**20  # what unpacks to more is no archive of images, which are packed already
# What ``zipfile`` raises for bytes that are not what they say they are.
_DAMAGE = (ValueError, OSError, EOFError, RuntimeError, LookupError, OverflowError, zlib.error)


def unpack(body: bytes) -> list[Slot]:
    """Return the images of an archive in its order; what is damaged, or no image, is a failed item."""
    from struct import error as struct_error
    from zipfile import BadZipFile, ZipFile

    damage = (*_DAMAGE, BadZipFile, struct_error)
    try:
        with ZipFile(io.BytesIO(body)) as archive:
            listed = [entry for entry in archive.infolist() if not entry.is_dir()][:_MOST_FILES]
            room = len(body) * _GROWTH + _SPARE
            slots: list[Slot] = []
            for entry in listed:
                slots.append(_image(archive, entry, room=room, damage=damage))
                room -= len(slots[-1].data or b"") if isinstance(slots[-1], Found) else 0
            return slots
    except damage:
        return [Missing("the archive is damaged", "not_an_image")]


def _image(archive: ZipFile, entry: ZipInfo, *, room: int, damage: tuple[type[Exception], ...]) -> Slot:
    name = redact(entry.filename, limit=80)
    if entry.compress_type not in (0, 8):  # stored or deflated; the others may ask for any memory
        return Missing(f"{name} is packed in a way no image is", "not_an_image")
    try:
        with archive.open(entry) as file:
            data = file.read(room + 1)
    except damage:
        return Missing(f"{name} is damaged", "not_an_image")
    if len(data) > room or not is_image(data):
        return Missing(f"not an image: {name}", "not_an_image")
    return Found(data=data)
