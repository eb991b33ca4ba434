"""Stores what one request of a batch brought, and remembers that it did."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.batch.entries import Entry
from airflow_provider_qwenimage.exceptions import TransferError
from airflow_provider_qwenimage.models.manifest import Failure
from airflow_provider_qwenimage.storage.sources import ImageSource, read_sources

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from airflow_provider_qwenimage.batch.items import Item
    from airflow_provider_qwenimage.batch.journal import Journal
    from airflow_provider_qwenimage.models.manifest import StoredImage
    from airflow_provider_qwenimage.models.results import GeneratedImage, Generation
    from airflow_provider_qwenimage.storage.store import ImageStore

STORES = 16  # images on their way to S3 at once; bounds the memory, too
# The place of an image in the set, which is fixed before the first request: a retry writes the same object.
FILENAME = "{index:05d}.{ext}"


class Storing:
    """
    Puts images where they stay.

    :param total: images the batch asks for.
    :param threads: where S3 is spoken to.
    """

    def __init__(self, store: ImageStore, journal: Journal, *, total: int, threads: Executor) -> None:
        self._store, self._journal = store, journal
        self._total, self._threads = total, threads

    async def store(self, item: Item, generation: Generation) -> Entry:
        """
        Store every image of a request and return the entry that says so.

        :raises TransferError: an image could not be stored; it is paid, and never bought again for that.
        """
        loop = asyncio.get_running_loop()
        storing = [loop.run_in_executor(self._threads, self._one, item, image) for image in generation.images]
        # All of them, before the first error is told: what can be stored is.
        await asyncio.gather(*storing, return_exceptions=True)
        entry = Entry(
            position=item.position,
            state="done",
            images=tuple(each.result() for each in storing),
            failures=tuple(
                Failure(index=self._place(item, failure.index), reason=failure.reason)
                for failure in generation.failures
            ),
            usage=generation.usage,
        )
        self._journal.note(entry)
        return entry

    def _one(self, item: Item, image: GeneratedImage) -> StoredImage:
        (source,) = read_sources(image)
        try:
            return self._store.store_one(_named(source, item), index=self._place(item, image.index))
        except OSError as error:  # such as a full disk, which large images pass through
            what = f"The image could not be held on this worker: {error.strerror or error}"
            raise TransferError(
                what, advice="Free the worker's temporary folder; storing is free."
            ) from error

    def _place(self, item: Item, index: int) -> int:
        """Return the place of an image; each one beyond the n asked for goes behind another round of all that was."""
        beyond = index - item.request.n
        return item.first + index if beyond < 0 else item.first + self._total * (beyond + 1)


def _named(source: ImageSource, item: Item) -> ImageSource:
    """Let the manifest tell which request an image answers."""
    return dataclasses.replace(source, fields=source.fields.model_copy(update={"request": item.position}))
