"""
Remembers in S3, beside the images, how far each request of a batch has come.

An intent is in S3 before its request is sent. Everything that becomes known while one object is being written goes
into the next one together, so that the cost per request does not grow with the batch and falls with its concurrency.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.batch.entries import Entry
from airflow_provider_qwenimage.batch.segments import FOLDER, Segments, line_of
from airflow_provider_qwenimage.exceptions import InvalidRequest, QwenImageError, TransferError
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.wire.links import lies_below

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from airflow_provider_qwenimage.batch.entries import Header
    from airflow_provider_qwenimage.storage.prefix import Bucket
    from airflow_provider_qwenimage.storage.store import ImageStore

    Ours = Callable[[str], bool]  # whether a name is one that the batch may write

log = logging.getLogger(__name__)

_GATHER = 0.01  # seconds in which what happens together is written together


class Journal:
    """
    The journal of one batch.

    :param bucket: its folder.
    :param header: the batch that is to run.
    :param resume: go on with what lies there, whoever wrote it; a retry goes on anyway.
    :param before: is shown what earlier runs said, before anything is written; may refuse to go on.
    :raises InvalidRequest: it is another batch's, or no journal's.
    """

    def __init__(
        self,
        bucket: Bucket,
        *,
        header: Header,
        resume: bool = True,
        before: Callable[[Iterable[Entry]], object] = list,
    ) -> None:
        self.header = header
        self._place = bucket.uri("")
        self._segments = Segments(bucket)
        self.entries: dict[int, Entry] = {}
        found = self._segments.header()
        if found:
            self._refuse_another(found, header, self._place)
        earlier = self._segments.entries() if found else {}
        before(earlier.values())
        if found and (resume or found.same_life(header)):
            self.entries = earlier
        else:
            self._segments.begin(header)
        self._lines: list[bytes] = []
        self._waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._writer = ThreadPoolExecutor(1, "qwenimage-journal")

    @staticmethod
    def _refuse_another(found: Header, header: Header, uri: str) -> None:
        difference = found.difference(header)
        if difference is None:
            return
        origin = "/".join(
            str(part) for part in (found.origin.dag_id, found.origin.task_id, found.origin.run_id)
        )
        raise InvalidRequest(
            "persist_to",
            f"{uri} is the journal of another batch, of {origin}: {difference}",
            advice="Choose another persist_to, such as one with {{ run_id }}.",
        )

    def owner(self, entry: Entry) -> str:
        """Name the intent of an entry among all requests of the account: who owns the job that was made of it."""
        name = f"{self._place}\n{entry.position}\n{self.header.requests[entry.position]}"
        return f"{hashlib.sha256(name.encode()).hexdigest()[:32]}@{entry.began:%Y%m%d%H%M%S}"

    def note(self, entry: Entry) -> None:
        """Remember an entry; it is written as soon as may be."""
        self.entries[entry.position] = entry
        self._lines.append(line_of(entry))
        self._wake.set()

    async def commit(self, entry: Entry) -> None:
        """
        Remember an entry and return once it is written.

        :raises TransferError: it was not; then what it announces must not be done.
        """
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, written))
        self._wake.set()
        await written
        self.entries[entry.position] = entry

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write while the block runs, and at its end, whatever ended it, all that is left."""
        writer = asyncio.create_task(self._write())
        try:
            yield
        finally:
            writer.cancel()
            await asyncio.wait([writer])
            self._writer.shutdown(wait=True)
            if self._lines:
                self._segments.leave(self._lines)

    def close(self, *, complete: bool) -> None:
        """
        Leave one object; a failure to tidy up is no failure of the batch.

        :param complete: nothing is missing: what links it holds, which give the right to an image, are left out.
        """
        entries = [entry for _, entry in sorted(self.entries.items())]
        try:
            self._segments.replace(entry.without_links() if complete else entry for entry in entries)
        except QwenImageError as error:
            log.warning("The journal could not be tidied up: %s", error)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            await asyncio.sleep(_GATHER)
            self._wake.clear()
            lines, self._lines = self._lines, []
            waiting, self._waiting = self._waiting, []
            text = [*lines, *(line_of(entry) for entry, _ in waiting)]
            appended = loop.run_in_executor(self._writer, self._segments.append, text)
            try:
                await asyncio.shield(appended)
            except asyncio.CancelledError:
                if not appended.done() or appended.exception():
                    self._lines = [*lines, *self._lines]
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for it for ever
                self._lines = [*lines, *map(_unsent, waiting), *self._lines]
                problem = _unwritten(error)
                for _, written in waiting:
                    if not written.done():
                        written.set_exception(problem)
            else:
                for _, written in waiting:
                    if not written.done():
                        written.set_result(None)


def _unsent(waiting: tuple[Entry, object]) -> bytes:
    """Take an intent back that S3 may have kept although nobody heard so: its request is not sent."""
    return line_of(Entry(position=waiting[0].position, state="refused", reason="Its intent was not written"))


def _unwritten(error: Exception) -> QwenImageError:
    problem = error if isinstance(error, QwenImageError) else None
    problem = problem or TransferError(
        f"The journal could not be written: {type(error).__name__}: {redact(error)}"
    )
    problem.billing = "no"
    return problem


def folder_of(prefix: str) -> str:
    """Return the prefix of the journal beside the images under ``prefix``."""
    return f"{prefix.rstrip('/')}/{FOLDER}"


def refuse_foreign(store: ImageStore, ours: Ours, persist_to: str, earlier: Iterable[Entry]) -> None:
    """
    Refuse a journal that names objects elsewhere, and a prefix where others keep something under our names.

    A journal is no order: whoever may write it could have any object copied with the worker's rights.
    """
    earlier = list(earlier)
    for uri in (uri for entry in earlier for uri in entry.stored_uris):
        if not lies_below(uri, persist_to):
            raise InvalidRequest(
                "persist_to",
                f"the journal there names {redact(uri, limit=200)}, which does not lie below it",
                advice="Somebody else wrote that: find out who, and choose another persist_to.",
            )
    known = (image for entry in earlier for image in entry.images)
    try:
        store.prefix.refuse_foreign(ours, known=known)
    except InvalidRequest as error:
        raise InvalidRequest("persist_to", error.rule, advice=error.advice) from None
