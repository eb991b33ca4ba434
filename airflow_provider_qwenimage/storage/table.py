"""A manifest as ``manifest.parquet``, one row an image, which warehouses read; pyarrow comes with ``[parquet]``."""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
from typing import IO, TYPE_CHECKING, Any, Self

from airflow_provider_qwenimage.defaults import TABLE
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.storage.prefix import Prefix

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from airflow_provider_qwenimage.models.manifest import Failure, StoredImage
    from airflow_provider_qwenimage.storage.prefix import Bucket

_AT_ONCE = 1000  # rows
_TEXTS = (
    "uri",
    "content_type",
    "sha256",
    "url",
    "gateway",
    "model",
    "prompt",
    "revised_prompt",
    "size",
    "asked_size",
    "request_id",
    "created_at",
    "expires_at",
    "currency",
)
_NUMBERS = ("index", "request", "bytes", "width", "height", "seed")


def pyarrow() -> Any:
    """Return the library, or refuse what needs it where it is not there."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        advice = "Install airflow-provider-qwenimage[parquet] on the workers."
        raise InvalidRequest("manifest_format", "'parquet' needs pyarrow", advice=advice) from None
    return pa


def check_table(bucket: Bucket, names: Container[str]) -> None:
    """
    See to it that a table can be written, before anything is paid for its rows.

    :param names: what lies under the prefix.
    :raises InvalidRequest: pyarrow is not there, or somebody else's table is.
    """
    pyarrow()
    if TABLE in names and not _is_ours(bucket):
        rule = f"'parquet' would replace {bucket.uri(TABLE)}, which this provider did not write"
        raise InvalidRequest("manifest_format", rule, advice="Choose another prefix; nothing was changed.")


def drop_table(bucket: Bucket) -> None:
    """Remove the table of an earlier run, which the manifest beside it does not match any more."""
    if _is_ours(bucket):
        bucket.delete(TABLE)


def put_table(bucket: Bucket, file: IO[bytes]) -> None:
    """Write what an ``ImageTable`` made."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    bucket.put(TABLE, file, content_type="application/vnd.apache.parquet", sha256=digest)


def _is_ours(bucket: Bucket) -> bool:
    return bucket.sha256(TABLE) is not None


class TabledPrefix(Prefix):
    """A prefix whose manifest is a table, too: written before it, withdrawn before it."""

    def __init__(self, bucket: Bucket, **facts: Any) -> None:
        super().__init__(bucket, **facts)
        check_table(bucket, self._sizes)
        self._taking_back = threading.Lock()

    def withdraw(self) -> None:
        """Take the table back before what it tells may change."""
        with self._taking_back:
            if TABLE in self._sizes:
                self._bucket.delete(TABLE)
                del self._sizes[TABLE]
        super().withdraw()

    def publish(self, images: Sequence[StoredImage], failures: Sequence[Failure]) -> str:
        """Write the table, and the manifest last."""
        with tempfile.TemporaryFile(prefix="qwenimage-manifest-") as file:
            with ImageTable(file) as table:
                for first in range(0, len(images), _AT_ONCE):
                    table.add(images[first : first + _AT_ONCE])
            put_table(self._bucket, file)
        return super().publish(images, failures)


class ImageTable:
    """
    Writes images as rows; a context manager. An author's own keys are in ``manifest.json`` only.

    :param file: gets the table.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._arrow = arrow = pyarrow()
        self._schema = arrow.schema(
            [
                *((name, arrow.string()) for name in _TEXTS),
                *((name, arrow.int64()) for name in _NUMBERS),
                ("cost", arrow.float64()),
                ("labels", arrow.map_(arrow.string(), arrow.string())),
                ("origin", arrow.string()),
            ]
        )
        self._writer = arrow.parquet.ParquetWriter(file, self._schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add(self, images: Iterable[StoredImage]) -> None:
        """Write a group of rows."""
        rows = [_row(image) for image in images]
        self._writer.write_table(self._arrow.Table.from_pylist(rows, schema=self._schema))


def _row(image: StoredImage) -> dict[str, Any]:
    told = image.xcom()
    row: dict[str, Any] = {name: _of(str, told.get(name)) for name in _TEXTS}
    row |= {name: _of(int, told.get(name)) for name in _NUMBERS}
    row["cost"] = _of(float, told.get("cost"))
    row["labels"] = list(image.labels.items())
    row["origin"] = None if image.origin is None else json.dumps(image.origin)
    return row


def _of(kind: type, value: Any) -> Any:
    """Return a value of its kind, ``None`` for what somebody else's manifest may hold there."""
    if kind is float and isinstance(value, int):
        value = float(value)
    return value if isinstance(value, kind) else None
