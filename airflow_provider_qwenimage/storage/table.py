"""A manifest as ``manifest.parquet``, one row an image, which warehouses read; pyarrow comes with ``[parquet]``."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any, Self

from airflow_provider_qwenimage.exceptions import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_qwenimage.models.manifest import StoredImage

TABLE = "manifest.parquet"
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
