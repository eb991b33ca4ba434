"""Stores what one request of a batch brought, and remembers that it did."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.batch.entries import Entry
from airflow_provider_qwenimage.exceptions import TransferError
from airflow_provider_qwenimage.images.formats import EXTENSIONS
from airflow_provider_qwenimage.models.manifest import Failure
from airflow_provider_qwenimage.models.results import ImageSource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from airflow_provider_qwenimage.batch.items import Item
    from airflow_provider_qwenimage.batch.journal import Journal
    from airflow_provider_qwenimage.models.manifest import StoredImage
    from airflow_provider_qwenimage.models.results import GeneratedImage, Generation
    from airflow_provider_qwenimage.storage.store import ImageStore

log = logging.getLogger(__name__)

STORES = 16  # images on their way to S3 at once; bounds the memory, too
# Of the default name, which is the place of an image in the set.
_NAME = re.compile(rf"(\d{{5,}})\.({'|'.join(EXTENSIONS.values())})")


def may_write(name: str, *, total: int) -> bool:
    """Whether a batch of ``total`` images may write an object of this name."""
    match = _NAME.fullmatch(name)
    return match is not None and int(match[1]) < total


def look_again(journal: Journal, store: ImageStore) -> None:
    """
    Take back what the journal calls done and the bucket does not hold any more; nothing is bought for it.

    What a link may still lead to is fetched again, the rest is named as missing.
    """
    for entry in [entry for entry in journal.entries.values() if entry.state == "done"]:
        images = tuple(store.as_it_lies(image) for image in entry.images)
        gone = [image for image in images if not store.prefix.holds(image)]
        if images != entry.images:
            entry = entry.model_copy(update={"images": images})  # noqa: PLW2901 - labelled by a run that died
            journal.note(entry)
        if gone:
            log.warning("%s is not in the bucket any more (%d of its request)", gone[0].uri, len(gone))
            journal.note(_without(entry, gone))


def relabel(journal: Journal, items: Sequence[Item], store: ImageStore) -> None:
    """
    Give what earlier runs stored the labels that hold now; another name buys no image.

    :raises TransferError: an object could not be given them; a retry is free.
    """
    done = ((journal.entries.get(item.position), item.request.labels) for item in items)
    stale = [
        (entry, labels)
        for entry, labels in done
        if entry and entry.state == "done" and _differ(entry, labels)
    ]
    if stale:
        log.info("%d requests are done and have other labels now: their images get them", len(stale))
        with ThreadPoolExecutor(STORES, "qwenimage-labels") as threads:
            for entry in threads.map(partial(_relabelled, store), *zip(*stale, strict=True)):
                journal.note(entry)


def _differ(entry: Entry, labels: dict[str, str]) -> bool:
    return any(image.labels != labels for image in entry.images) or any(
        failure.labels != labels for failure in entry.failures
    )


def _relabelled(store: ImageStore, entry: Entry, labels: dict[str, str]) -> Entry:
    images = tuple(store.relabelled(image, labels) for image in entry.images)
    failures = tuple(failure.model_copy(update={"labels": labels}) for failure in entry.failures)
    return entry.model_copy(update={"images": images, "failures": failures})


def _without(entry: Entry, gone: Sequence[StoredImage]) -> Entry:
    now = datetime.now(UTC)
    found = entry.generation
    if found and all(image.expires_at and image.expires_at > now for image in found.images):
        return Entry(position=entry.position, state="delivered", generation=found)
    reasons = [f"{image.uri} is gone from the bucket, and its link is dead" for image in gone]
    left = tuple(image for image in entry.images if image not in gone)
    if not left:
        return Entry(position=entry.position, state="unknown", reason=reasons[0], usage=entry.usage)
    failures = [
        Failure(index=image.index, reason=why, labels=image.labels)
        for image, why in zip(gone, reasons, strict=True)
    ]
    return entry.model_copy(update={"images": left, "failures": (*entry.failures, *failures)})


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
        storing = [
            loop.run_in_executor(self._threads, self._one, item, image, generation)
            for image in generation.images
        ]
        # All of them, before the first error is told: what can be stored is.
        await asyncio.gather(*storing, return_exceptions=True)
        entry = Entry(
            position=item.position,
            state="done",
            images=tuple(each.result() for each in storing),
            failures=tuple(
                Failure(
                    index=self._place(item, failure.index),
                    reason=failure.reason,
                    labels=item.request.labels,
                )
                for failure in generation.failures
            ),
            usage=generation.usage,
            job_id=generation.job_id,
            generation=None if any(image.data for image in generation.images) else generation,
        )
        self._journal.note(entry)
        return entry

    def _one(self, item: Item, image: GeneratedImage, generation: Generation) -> StoredImage:
        source = _named(ImageSource.of(image), item, generation)
        try:
            return self._store.store_one(source, index=self._place(item, image.index))
        except OSError as error:  # such as a full disk, which large images pass through
            what = f"The image could not be held on this worker: {error.strerror or error}"
            raise TransferError(
                what, advice="Free the worker's temporary folder; storing is free."
            ) from error

    def _place(self, item: Item, index: int) -> int:
        """Return the place of an image; each one beyond the n asked for goes behind another round of all that was."""
        beyond = index - item.request.n
        return item.first + index if beyond < 0 else item.first + self._total * (beyond + 1)


def _named(source: ImageSource, item: Item, generation: Generation) -> ImageSource:
    """Let the manifest tell which request an image answers, its labels, and its share of what that cost."""
    told: dict[str, Any] = {"request": item.position, "labels": item.request.labels}
    usage = generation.usage
    if usage.cost is not None:
        told |= {"cost": round(usage.cost / len(generation.images), 6), "currency": usage.currency}
    return dataclasses.replace(source, fields=source.fields.model_copy(update=told))
