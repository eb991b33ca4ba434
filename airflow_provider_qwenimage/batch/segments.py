"""
The journal's objects in S3, which has no append: numbered segments, merged as they become many.

::

    journal/batch.json                       whose journal it is, written before the first request
    journal/00000001-00000100.jsonl          a hundred segments in one
    journal/00000101.jsonl                   what became known in one moment
    journal/00000102.5f0c1d2e.jsonl          the last words of a run that found another one here

Read in the order of their last numbers, a later line about a request counts. A merge is written before what it
merges is deleted, so dying between the two leaves the same lines twice, which says the same. An object that S3 kept
although the answer was lost is of an earlier number than whatever was written after it, and cannot take it back.
"""

from __future__ import annotations

import hashlib
import logging
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pydantic import ValidationError

from airflow_provider_qwenimage.batch.entries import Entry, Header
from airflow_provider_qwenimage.exceptions import InvalidRequest, QwenImageError, TransferError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_qwenimage.storage.prefix import Bucket

log = logging.getLogger(__name__)

FOLDER = "journal/"
HEADER = "batch.json"
_SEGMENT = re.compile(r"(\d{8})(?:-(\d{8}))?(?:\.[0-9a-f]{8})?\.jsonl")
_MERGED = 100  # segments in one merge: a batch of 10,000 leaves some hundred objects at most
_READERS = 16


class AnotherRun(TransferError):
    """Another run writes into the same journal: this one must begin nothing more."""


class Segments:
    """
    The objects of one journal; used by one thread at a time.

    :param bucket: the journal's folder.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._listed = tuple(bucket.names())
        self._names = sorted((name for name in self._listed if _SEGMENT.fullmatch(name)), key=_order)
        self._last = max((int(_numbers(name)[-1]) for name in self._names), default=0)
        self._open: list[tuple[str, bytes]] = []
        self._lost: AnotherRun | None = None

    def header(self) -> Header | None:
        """
        Return whose journal it is, ``None`` where there is none.

        :raises InvalidRequest: something else lies there.
        """
        uri = self._bucket.uri(HEADER)
        self._refuse_strangers()
        if HEADER not in self._listed:
            return None
        try:
            return Header.model_validate_json(self._read(HEADER))
        except ValidationError:
            advice = "Choose another persist_to, or update airflow-provider-qwenimage to read it."
            raise InvalidRequest(
                "persist_to", f"{uri} is no journal this version reads", advice=advice
            ) from None

    def _refuse_strangers(self) -> None:
        """Refuse a folder that holds what no journal of this provider writes: a bucket is shared."""
        # Consoles make a folder by an empty object of its name.
        others = [name for name in self._listed if name not in ("", HEADER, *self._names)]
        owner = HEADER in self._listed
        strange = others or ([] if owner else self._names)
        if not strange:
            return
        what = "is no journal's" if others else f"is of a journal without its {HEADER}"
        raise InvalidRequest(
            "persist_to",
            f"{self._bucket.uri(strange[0])} {what}, and the journal of this batch would lie there",
            advice="Choose another persist_to; nothing there was changed.",
        )

    def begin(self, header: Header) -> None:
        """Write whose journal it is; the segments that lay there before are deleted, and nothing else."""
        for name in (*self._names, *(name for name in self._listed if name == HEADER)):
            self._bucket.delete(name)
        self._names, self._last, self._open = [], 0, []
        if not self._put(HEADER, header.model_dump_json().encode() + b"\n"):
            raise self._contested()

    def entries(self) -> dict[int, Entry]:
        """
        Return the last entry of each request.

        :raises InvalidRequest: a line cannot be read; it is no "nothing was paid".
        """
        found: dict[int, Entry] = {}
        with ThreadPoolExecutor(_READERS, "qwenimage-journal") as readers:
            for name, text in zip(self._names, readers.map(self._read, self._names), strict=True):
                for line in text.splitlines():
                    entry = self._entry(line, name)
                    found[entry.position] = entry
        return found

    def append(self, lines: Iterable[bytes]) -> None:
        """
        Write a segment.

        :raises AnotherRun: another run writes here too, now or at an earlier call.
        :raises TransferError: it could not be written.
        """
        if self._lost:
            raise self._lost
        self._last += 1
        name, text = f"{self._last:08d}.jsonl", b"".join(lines)
        # The number is taken once: of two runs at one prefix the second one notices, where the server can tell.
        if not self._put(name, text):
            self._lost = self._contested()
            raise self._lost
        self._open.append((name, text))
        self._names.append(name)
        if len(self._open) >= _MERGED:
            try:
                self._merge()
            # The segment is written, which is what counts; the next one merges.
            except QwenImageError as error:
                log.warning("The journal could not be merged: %s", error)

    def leave(self, lines: Iterable[bytes]) -> None:
        """Write what is left to say, beside another run where there is one."""
        if not self._lost:
            self.append(lines)
            return
        name = f"{self._last:08d}.{uuid.uuid4().hex[:8]}.jsonl"
        self._put(name, b"".join(lines), exclusive=False)

    def replace(self, entries: Iterable[Entry]) -> None:
        """Write all that is known as one segment, and delete the others; not where another run said something."""
        if self._lost or {name for name in self._bucket.names() if _SEGMENT.fullmatch(name)} - set(
            self._names
        ):
            return
        self._write_over(self._names, b"".join(line_of(entry) for entry in entries), first=1)

    def _merge(self) -> None:
        names, texts = zip(*self._open, strict=True)
        lines: dict[bytes, bytes] = {}
        for line in b"".join(texts).splitlines(keepends=True):
            position = line[: line.index(b",")]  # Entry begins with its position
            lines.pop(position, None)
            lines[position] = line
        self._write_over(list(names), b"".join(lines.values()), first=int(_numbers(names[0])[0]))

    def _write_over(self, names: list[str], text: bytes, *, first: int) -> None:
        merged = f"{first:08d}-{self._last:08d}.jsonl"
        if names == [merged] or not names:
            return
        self._put(merged, text, exclusive=False)
        for name in names:
            if name != merged:
                self._bucket.delete(name)
        gone = set(names)
        self._names = sorted({merged, *(name for name in self._names if name not in gone)}, key=_order)
        self._open = [(name, text) for name, text in self._open if name not in gone]

    def _put(self, name: str, text: bytes, *, exclusive: bool = True) -> bool:
        digest = hashlib.sha256(text).hexdigest()
        written = self._bucket.put(
            name, text, content_type="application/x-ndjson", sha256=digest, exclusive=exclusive
        )
        # There already: ours where the answer to our own request was lost.
        return written or self._read(name) == text

    def _read(self, name: str) -> bytes:
        with self._bucket.open(name) as stored:
            return b"".join(stored.chunks())

    def _entry(self, line: bytes, name: str) -> Entry:
        try:
            return Entry.model_validate_json(line)
        except ValidationError:
            uri = self._bucket.uri(name)
            advice = "Look at the gateway's usage log; another persist_to begins a new journal."
            raise InvalidRequest(
                "persist_to", f"a line of the journal {uri} cannot be read", advice=advice
            ) from None

    def _contested(self) -> AnotherRun:
        return AnotherRun(
            f"Another run writes into the journal {self._bucket.uri('')}",
            billing="no",
            advice="Let one run at a time use a persist_to; what that run pays for is not paid again by the next.",
        )


def _order(name: str) -> tuple[int, str]:
    return int(_numbers(name)[-1]), name


def _numbers(name: str) -> list[str]:
    match = _SEGMENT.fullmatch(name)
    return [number for number in match.groups() if number] if match else ["0"]


def segments_after(names: Iterable[str], number: int) -> list[tuple[int, str]]:
    """Return number and name of the segments that were written after one, in order: for who looks on."""
    segments = sorted((name for name in names if _SEGMENT.fullmatch(name)), key=_order)
    numbered = ((_order(name)[0], name) for name in segments)
    return [(last, name) for last, name in numbered if last > number]


def line_of(entry: Entry) -> bytes:
    """Spell an entry as one line of JSON."""
    return entry.model_dump_json(exclude_defaults=True).encode() + b"\n"
