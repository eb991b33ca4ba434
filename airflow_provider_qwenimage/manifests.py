"""What downstream tasks read of a stored set: its manifest, as a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.defaults import MANIFEST, STORES
from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError

if TYPE_CHECKING:
    from airflow_provider_qwenimage.models.manifest import Manifest

_UNFINISHED = "A set has its manifest.json once it is complete: look at the task that stores it."


def read_manifest(uri: str | Mapping[str, Any], *, aws_conn_id: str | None = "aws_default") -> Manifest:
    """
    Read the manifest of a stored set.

    :param uri: ``s3://bucket/path/manifest.json``, or in another store; the prefix it lies under (ending in ``/``), or
        the XCom key ``manifest`` (``{"uri": …}``).
    :param aws_conn_id: the AWS connection that may read it.
    :raises InvalidRequest: what lies there is no manifest that this version reads.
    :raises TransferError: nothing lies there, or it cannot be read.
    """
    # Here, so that a Dag file that only names the function pays nothing for it.
    from airflow_provider_qwenimage.hooks.qwenimage import FinalForAirflow
    from airflow_provider_qwenimage.models.manifest import Manifest
    from airflow_provider_qwenimage.storage.s3 import S3

    with FinalForAirflow(), S3(aws_conn_id) as s3:
        place = _object(uri)
        try:
            with s3.open(place) as stored:
                text = b"".join(stored.chunks())
        except TransferError as error:
            if error.final:  # there is nothing to wait for
                error.advice = f"{_UNFINISHED} {error.advice}"
            raise
        return Manifest.load(text, where=place)


def _object(uri: str | Mapping[str, Any]) -> str:
    named = uri.get("uri") if isinstance(uri, Mapping) else uri
    if not isinstance(named, str) or not named.strip().startswith(STORES):
        raise InvalidRequest(
            "uri",
            "must be s3://bucket/path/manifest.json (gs, abfs, file), or the XCom key manifest of a task",
        )
    named = named.strip()
    return f"{named}{MANIFEST}" if named.endswith("/") else named
