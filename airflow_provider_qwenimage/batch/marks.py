"""Gives what an earlier run of a batch stored the marks of origin that this run asks for; nothing is bought for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.batch.storing import STORES
from airflow_provider_qwenimage.batch.verdict import Failed
from airflow_provider_qwenimage.exceptions import TransferError
from airflow_provider_qwenimage.payment.consequences import consequence
from airflow_provider_qwenimage.storage.sources import read_sources

if TYPE_CHECKING:
    from airflow_provider_qwenimage.batch.entries import Entry
    from airflow_provider_qwenimage.batch.journal import Journal
    from airflow_provider_qwenimage.storage.store import ImageStore


def mark_again(journal: Journal, store: ImageStore) -> dict[int, Failed]:
    """
    Mark what lacks a mark, and return by request why that cannot be; what cannot stays stored as it is.

    A labelled image takes the place of the image it is made of, and its metadata says of which: a run that dies
    before the journal knows leaves that to ``storing.look_again``.
    """
    failed: dict[int, Failed] = {}
    done = (entry for entry in journal.entries.values() if entry.state == "done")
    lacking = [entry for entry in done if not all(map(store.accepts, entry.images))]
    with ThreadPoolExecutor(STORES, "qwenimage-marks") as threads:
        for entry, marking in [(entry, threads.submit(_marked, entry, store)) for entry in lacking]:
            try:
                journal.note(marking.result())
            except TransferError as error:
                failed[entry.position] = Failed(error, consequence(error, state="done"))
    return failed


def _marked(entry: Entry, store: ImageStore) -> Entry:
    sources = read_sources([image.xcom() for image in entry.images])
    places = [image.index for image in entry.images]
    images = [store.store_one(source, index=index) for source, index in zip(sources, places, strict=True)]
    return entry.model_copy(update={"images": tuple(images)})
