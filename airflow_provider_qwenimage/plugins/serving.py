"""Reads recorded images from S3, and hands out nothing but the image that was recorded."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.images.formats import content_type
from airflow_provider_qwenimage.plugins.listing import NotAManifest, scan
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.storage.s3 import S3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.plugins.listing import Listing
    from airflow_provider_qwenimage.plugins.records import Instance
    from airflow_provider_qwenimage.storage.stored import StoredObject

log = logging.getLogger(__name__)

_HEAD = 1024
_MANIFEST_LIMIT = 256 * 1024 * 1024  # is read as a stream; the time it takes is bounded by this
_CONNECTIONS = 32
_RENEWED = 300  # seconds after which a connection is read again


class NotServed(Exception):
    """
    What lies there is not what was recorded.

    It says the same of what is gone, of another's and of what may not be read: whoever writes a record learns nothing
    of a bucket from it. The log of the API server tells which it is.
    """

    def __init__(self, uri: str, why: object) -> None:
        super().__init__(
            f"{uri} cannot be shown: it is gone, has been replaced, or may not be read. "
            "The log of the API server says more."
        )
        log.warning("The gallery does not serve %s: %s", redact(uri, limit=300), redact(why, limit=500))


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

    def close(self) -> None:
        """Read no further."""
        self._rest.body.close()


def image(uri: str, *, sha256: str, aws_conn_id: str | None) -> ServedImage:
    """
    Open a recorded image.

    The digest in the object's metadata must be the recorded one: so it was stored by this provider, and a record
    cannot be used to read any other object that the connection could.

    :raises NotServed: it is gone, another by now, or no image.
    """
    stored = _open(uri, aws_conn_id)
    with told(uri):
        head = stored.head(_HEAD)
    kind = content_type(head)
    if stored.sha256 == sha256 and kind is not None:
        return ServedImage(kind, stored.size, head, stored)
    stored.body.close()
    raise NotServed(uri, "it is no image, or not the one that was recorded")


def listing(uri: str, *, owner: Instance, aws_conn_id: str | None, known: Listing | None = None) -> Listing:
    """
    Read what the manifest of a task instance lists.

    :param known: what it listed when it was read last; it is not read again where it is the same.
    :raises NotServed: it is gone, or is no manifest of that task instance.
    """
    with _open(uri, aws_conn_id) as stored, told(uri):
        if known is not None and known.etag == stored.etag != "":
            return known
        if stored.size > _MANIFEST_LIMIT:
            raise NotAManifest(f"it has {stored.size} bytes")
        found = scan(stored.chunks())
        if found.owner != (owner.dag_id, owner.run_id, owner.task_id, owner.map_index):
            raise NotAManifest(f"it is of another task: {found.owner}")
        return replace(found, etag=stored.etag)


def page(uri: str, number: int, *, of: Listing, aws_conn_id: str | None) -> bytes:
    """
    Read one page of the images that a manifest lists, and return it as a list in JSON.

    :raises NotServed: it is another manifest by now.
    """
    span = of.starts[number], of.starts[number + 1]
    with _open(uri, aws_conn_id, span=span) as stored, told(uri):
        text = b"[" + stored.head(span[1] - span[0]).rstrip(b", \t\r\n") + b"]"
        if stored.etag != of.etag or not of.digests.hold(text):
            raise NotAManifest("it is another by now")
        return text


def manifest(uri: str, *, of: Listing, aws_conn_id: str | None) -> StoredObject:
    """
    Open a manifest that was read through.

    :raises NotServed: it is gone, or another by now.
    """
    stored = _open(uri, aws_conn_id)
    if stored.etag == of.etag:
        return stored
    stored.body.close()
    raise NotServed(uri, "it has been replaced while it was read")


def _open(uri: str, aws_conn_id: str | None, *, span: tuple[int, int] | None = None) -> StoredObject:
    with told(uri):
        return client(aws_conn_id).open(uri, span=span)


@contextmanager
def told(uri: str) -> Iterator[None]:
    """Give whatever is wrong with an object one and the same name."""
    try:
        yield
    except AirflowNotFoundException as error:
        raise NotServed(uri, f"the API server does not know its connection: {error}") from error
    except (TransferError, InvalidRequest, NotAManifest) as error:
        raise NotServed(uri, error) from error


def client(aws_conn_id: str | None) -> S3:
    """Return a client that is kept for a while: making one costs more than reading an image."""
    return _kept(aws_conn_id, int(time.monotonic() // _RENEWED))


@lru_cache(maxsize=_CONNECTIONS)
def _kept(aws_conn_id: str | None, _: int) -> S3:
    return S3(aws_conn_id)
