"""Reads recorded images from S3, and hands out nothing but the image that was recorded."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.images.formats import content_type
from airflow_provider_qwenimage.models.manifest import Manifest
from airflow_provider_qwenimage.storage.s3 import S3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.plugins.records import Instance
    from airflow_provider_qwenimage.storage.s3 import StoredObject

_HEAD = 1024
_MANIFEST_LIMIT = 16 * 1024 * 1024
_CONNECTIONS = 32
_RENEWED = 300  # seconds after which a connection is read again


class NotServed(Exception):
    """What lies there is not what was recorded; the message is for the person who looks."""


@dataclass(frozen=True, slots=True)
class ServedImage:
    """
    An image on its way to a browser.

    :param content_type: told by the bytes, whatever the bucket or the record says.
    """

    content_type: str
    size: int
    _head: bytes
    _rest: StoredObject

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive, once."""
        with self._rest as rest:
            yield self._head
            yield from rest.chunks()


def image(uri: str, *, sha256: str, aws_conn_id: str | None) -> ServedImage:
    """
    Open a recorded image.

    The digest in the object's metadata must be the recorded one: so it was stored by this provider, and a record
    cannot be used to read any other object that the connection could.

    :raises NotServed: it is gone, another by now, or no image.
    """
    stored = _open(uri, aws_conn_id)
    head = stored.head(_HEAD)
    kind = content_type(head)
    if stored.sha256 == sha256 and kind is not None:
        return ServedImage(kind, stored.size, head, stored)
    stored.body.close()
    raise NotServed(f"{uri} is not the image that was recorded: it has been replaced since.")


def manifest(uri: str, *, owner: Instance, aws_conn_id: str | None) -> Manifest:
    """
    Read the manifest a task instance recorded.

    :raises NotServed: it is gone, or is no manifest of that task instance.
    """
    with _open(uri, aws_conn_id) as stored:
        text = stored.head(_MANIFEST_LIMIT)
    try:
        found = Manifest.load(text, where=uri)
    except InvalidRequest as error:
        raise NotServed(str(error)) from error
    names = (found.dag_id, found.run_id, found.task_id, found.map_index)
    if names != (owner.dag_id, owner.run_id, owner.task_id, owner.map_index):
        raise NotServed(f"{uri} is the manifest of another task by now.")
    return found


def _open(uri: str, aws_conn_id: str | None) -> StoredObject:
    try:
        return _s3(aws_conn_id, int(time.monotonic() // _RENEWED)).open(uri)
    except AirflowNotFoundException as error:
        raise NotServed(f"The API server knows no connection {aws_conn_id}.") from error
    except TransferError as error:
        raise NotServed(error.what) from error
    except InvalidRequest as error:
        raise NotServed(str(error)) from error


@lru_cache(maxsize=_CONNECTIONS)
def _s3(aws_conn_id: str | None, _: int) -> S3:
    """Return a client that is kept for a while: making one costs more than reading an image."""
    return S3(aws_conn_id)
