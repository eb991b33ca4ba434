"""Reads the rows of a JSON Lines, CSV or Parquet file, in S3 or here, as a stream."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, Self

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.redaction import redact


class Pieces(Protocol):
    """What a file of rows is read from."""

    def chunks(self) -> Iterator[bytes]: ...  # noqa: D102


Open = Callable[[str], AbstractContextManager[Pieces]]

PLANNED = "planned"  # the ending of what the plan of a campaign writes for a shard
FORMS = (
    "must be a list of requests, or s3://bucket/prompts.jsonl (gs, abfs, file), .csv or .parquet, or a path"
)
_CHUNK = 1 << 18
_LONGEST_CELL = 64 * 1024 * 1024  # an input image may stand there as a data: URL; csv's own limit is 128 KiB


def rows_in(uri: str, open_object: Open) -> Iterator[tuple[str, Any]]:
    """
    Yield where each row of an object stands and what it holds, or the error of a row that cannot be read.

    :param open_object: starts to read an object.
    :raises InvalidRequest: its name ends like no file of rows.
    """
    ending = uri.rpartition(".")[2].lower()
    readers = {"jsonl": _json_lines, "ndjson": _json_lines, "csv": _csv_rows, PLANNED: _planned_rows}
    if ending not in (*readers, "parquet"):
        raise InvalidRequest("requests", f"{FORMS}, got {redact(uri, limit=120)}")
    with LocalFile(uri) if uri.startswith("/") else open_object(uri) as stored:
        if ending == "parquet":
            from airflow_provider_qwenimage.batch.parquet import parquet_rows

            yield from parquet_rows(stored.chunks())
            return
        # The byte order mark is what spreadsheets put before a CSV. A byte that is not UTF-8 is kept as a surrogate,
        # which nothing else is read as, so that its row can be named and reading goes on.
        pieces = io.BufferedReader(_Chunks(stored.chunks()))
        yield from readers[ending](
            io.TextIOWrapper(pieces, "utf-8-sig", errors="surrogateescape", newline="")
        )


def _is_utf8(text: str) -> bool:
    """Whether no byte of what was read had to be kept as a surrogate."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json_lines(text: io.TextIOWrapper) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        yield f"line {number}", _json_row(line)


def _json_row(line: str) -> Any:
    if not _is_utf8(line):
        return InvalidRequest("row", "is not UTF-8")
    try:
        return json.loads(line)
    except ValueError as error:
        return InvalidRequest("row", f"is not JSON: {error}")
    except RecursionError:
        return InvalidRequest("row", "is nested too deeply")


def _planned_rows(text: io.TextIOWrapper) -> Iterator[tuple[str, Any]]:
    """Read the rows of one shard, which keep the name of the place where their author wrote them."""
    for number, line in enumerate(text, 1):
        try:
            where, _, row = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            where, row = f"line {number}", InvalidRequest("row", "is not what the plan of a campaign writes")
        yield str(where), row


def _csv_rows(text: io.TextIOWrapper) -> Iterator[tuple[str, Any]]:
    """Read cells by the names in the first line that is not blank; an empty cell says nothing."""
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(text, strict=True)
    names: list[str] | None = None
    start = 1
    try:
        for cells in reader:
            # A quoted cell may span lines: the row is named after its first one.
            where, start = f"line {start}", reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if names is not None:
                yield where, _named(names, cells)
            elif all(map(_is_utf8, cells)):
                names = [name.strip() for name in cells]
            else:
                yield (
                    where,
                    InvalidRequest("row", "is not UTF-8, and names the cells; what follows was not read"),
                )
                return
    except csv.Error as error:
        yield f"line {start}", InvalidRequest("row", f"is not CSV: {error}; what follows was not read")


def _named(names: list[str], cells: list[str]) -> Mapping[str, Any] | InvalidRequest:
    if any(cell.strip() for cell in cells[len(names) :]):
        return InvalidRequest("row", "has more cells than the first line has names")
    for name, cell in zip(names, cells, strict=False):
        if not _is_utf8(cell):
            return InvalidRequest(name or "row", "is not UTF-8")
    return {name: cell for name, cell in zip(names, cells, strict=False) if name and cell.strip()}


class LocalFile:
    """
    A file of the worker, read like an object in S3.

    :raises InvalidRequest: it cannot be read.
    """

    def __init__(self, path: str) -> None:
        try:
            self._file = Path(path).open("rb")  # noqa: SIM115 - closed by the block that it opens
        except OSError as error:
            rule = f"{redact(path, limit=200)} cannot be read on this worker: {error.strerror}"
            raise InvalidRequest("requests", rule) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes."""
        return iter(lambda: self._file.read(_CHUNK), b"")


class _Chunks(io.RawIOBase):
    """A stream over pieces of bytes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        taken = min(len(buffer), len(self._rest))
        buffer[:taken], self._rest = self._rest[:taken], self._rest[taken:]
        return taken
