"""Rows of a Parquet file, which is what warehouses export; pyarrow comes with the extra ``[parquet]``."""

from __future__ import annotations

import math
import tempfile
from datetime import date, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_AT_ONCE = 1000  # rows


def parquet_rows(pieces: Iterator[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """
    Yield where each row stands (``row 1``) and its columns; nulls and NaN say nothing, dates and decimals are text.

    :param pieces: of the file. Its table of contents stands at its end, so it is kept on disk while it is read.
    :raises InvalidRequest: it is no Parquet, or pyarrow is not there.
    """
    parquet = _pyarrow()
    with tempfile.TemporaryFile(prefix="qwenimage-rows-") as file:
        for piece in pieces:
            file.write(piece)
        file.seek(0)
        yield from _rows(parquet, file)


def _pyarrow() -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        advice = "Install airflow-provider-qwenimage[parquet] on the workers, or give JSON Lines or CSV."
        raise InvalidRequest("requests", "is Parquet, which needs pyarrow", advice=advice) from None
    return parquet


def _rows(parquet: Any, file: BinaryIO) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from pyarrow.lib import ArrowException

    number = 0
    try:
        with parquet.ParquetFile(file) as table:
            for some in table.iter_batches(_AT_ONCE):
                for row in some.to_pylist(maps_as_pydicts="strict"):
                    number += 1
                    yield f"row {number}", {name: plain(value) for name, value in row.items()}
    except (ArrowException, OSError) as error:
        rule = f"is no Parquet that can be read: {redact(error, limit=200)}"
        raise InvalidRequest("requests", rule) from None


def plain(value: Any) -> Any:
    """Return a cell as JSON and CSV would hold it."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
