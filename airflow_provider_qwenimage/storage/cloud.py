"""
Google Cloud Storage and Azure Blob Storage, as Airflow's object storage connects to them: ``gs://conn_id@bucket/path``.

The connection stands in the URI, as in ``ObjectStoragePath``; without one the worker's own credentials hold. Their
file systems cache listings and hide conditions, so the objects themselves are asked for: a name is taken once
(``ifGenerationMatch=0``, ``If-None-Match: *``), and what is read in pieces is one version of it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_qwenimage.exceptions import TransferError
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.storage.stored import StoredObject
from airflow_provider_qwenimage.wire.links import split_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_provider_qwenimage.storage.stored import Store

_PIECE = 8 << 20  # bytes of one request: most images are one
_INSTALLED_BY = {"gs": "gcs", "abfs": "azure", "abfss": "azure"}
_LOOKING = ("read", "list")


def store_of(uri: str) -> Store:
    """
    Return what speaks to the store that a URI is of.

    :raises TransferError: what Airflow needs for it is not installed, or its connection does not exist.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    root, _ = split_uri(uri, field="uri")
    try:
        files = ObjectStoragePath(f"{root}/").fs
    except Exception as error:  # whatever a provider makes of its connection
        raise _unreachable(root, error) from error
    if root.startswith("gs://"):
        from airflow_provider_qwenimage.storage.gs import Google

        return Google(files)
    from airflow_provider_qwenimage.storage.abfs import Azure

    return Azure(files)


class _Body:
    """The bytes of one version of an object, fetched piece by piece as they are read."""

    def __init__(self, uri: str, fetch: Callable[[int, int], bytes], first: int, end: int) -> None:
        self._uri, self._fetch, self._next, self._end = uri, fetch, first, end
        self._piece = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        if not self._piece and self._next < self._end:
            end = min(self._next + max(_PIECE, size), self._end)
            with told("read", self._uri):
                piece = self._fetch(self._next, end)
            if len(piece) != end - self._next:
                raise TransferError(f"{self._uri} came cut short", advice="A retry is free.")
            self._piece, self._next = memoryview(piece), end
        read, self._piece = bytes(self._piece[:size]), self._piece[size:]
        return read

    def close(self) -> None:
        self._piece = memoryview(b"")


class Version(NamedTuple):
    """
    One version of an object.

    :param fetch: returns its bytes from the first to before the last.
    """

    size: int
    etag: str
    metadata: Mapping[str, str]
    fetch: Callable[[int, int], bytes]


def opened(uri: str, version: Version, span: tuple[int, int] | None) -> StoredObject:
    """Return an object that is fetched as it is read."""
    first, end = span or (0, version.size)
    end = min(end, version.size)
    metadata = {name.lower(): value for name, value in version.metadata.items()}
    body = _Body(uri, version.fetch, first, end)
    return StoredObject(uri, max(end - first, 0), metadata, version.etag, body)


def pieces(body: Any, size: int) -> Iterator[Any]:
    """Yield what is to be written, as it lies in memory or ``size`` bytes of a file at a time."""
    if isinstance(body, (bytes, bytearray)):
        yield body
        return
    body.seek(0)
    while piece := body.read(size):
        yield piece


def place(uri: str) -> tuple[str, str]:
    """Return bucket or container, and key."""
    root, key = split_uri(uri, field="uri")
    return root.partition("://")[2].rpartition("@")[2], key


def _unreachable(root: str, error: Exception) -> TransferError:
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    scheme, _, bucket = root.partition("://")
    conn_id = bucket.rpartition("@")[0]
    if isinstance(error, ImportError) or "No filesystem registered" in str(error):
        refused = TransferError(
            f"{scheme}:// is not known on this worker: {redact(error)}",
            advice=f"Install airflow-provider-qwenimage[{_INSTALLED_BY[scheme]}] there.",
        )
    elif isinstance(error, AirflowNotFoundException):
        refused = TransferError(
            f"There is no connection {conn_id!r}, which {root}/ names",
            advice=f"Create it in Airflow, or name another one: {scheme}://conn_id@bucket/path/.",
        )
    else:
        return TransferError(
            f"{root}/ cannot be connected to: {type(error).__name__}: {redact(error, limit=200)}",
            advice=f"Check the connection {conn_id!r}." if conn_id else "Check the worker's own credentials.",
        )
    refused.final = True
    return refused


@contextmanager
def told(verb: str, uri: str) -> Iterator[None]:
    """
    Turn what the vendors' libraries raise, which is anything, into an error that names the object.

    What is not there to be read or listed is not there on the next try either: such an error is final.
    """
    try:
        yield
    except TransferError:
        raise
    except Exception as error:
        status = _status(error)
        said = redact(str(error).partition("\n")[0], limit=200)
        refused = TransferError(
            f"{uri.partition('://')[0]}:// did not {verb} {redact(uri, limit=300)}: {type(error).__name__}: {said}",
            status=status,
            advice="Check the bucket, and what the connection in front of the @ may do there; a retry is free.",
        )
        refused.final = verb in _LOOKING and status == 404
        raise refused from error


def _status(error: Exception) -> int | None:
    """Return the HTTP status, where the error tells it; gcsfs tells some of them by Python's own errors."""
    if isinstance(error, FileNotFoundError):
        return 404
    if isinstance(error, OSError) and str(error).startswith("Forbidden"):
        return 403
    told = getattr(error, "status_code", None) or getattr(error, "code", None)
    return told if isinstance(told, int) else None
