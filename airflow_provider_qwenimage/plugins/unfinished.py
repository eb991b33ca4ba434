"""
What a batch has stored so far, as the journal beside its images tells: its manifest is written last.

Where that journal lies is Airflow's own word: the rendered ``persist_to`` of the task instance, which whoever may write
XCom cannot change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from airflow_provider_qwenimage.batch.entries import Entry, Header
from airflow_provider_qwenimage.batch.journal import folder_of
from airflow_provider_qwenimage.batch.segments import HEADER, segments_after
from airflow_provider_qwenimage.plugins import serving
from airflow_provider_qwenimage.plugins.listing import Digests
from airflow_provider_qwenimage.storage.prefix import Bucket
from airflow_provider_qwenimage.wire.links import lies_below

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_qwenimage.plugins.records import Instance

_MOST_HEADER = 8 << 20  # bytes; it has a fingerprint of each request
_MOST_READ = 16 << 20  # bytes of the journal in one part, beyond the first segment
_MOST_SEGMENT = 64 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """
    A part of what a journal tells.

    :param after: the number of the last segment it was read from.
    :param more: there are further segments.
    """

    images: list[dict[str, Any]]
    after: int
    more: bool


@dataclass(slots=True)
class Unfinished:
    """
    The images of a batch without a manifest.

    :param prefix: its ``persist_to``.
    :param after: the number of the last segment that was read.
    """

    prefix: str
    aws_conn_id: str | None
    digests: Digests = field(default_factory=Digests)
    after: int = 0

    def read(self, owner: Instance) -> None:
        """Read on to the end of what is there."""
        more = True
        while more:
            part = self.part(self.after, owner)
            for image in part.images:
                self.digests.add(image["uri"], image["sha256"])
            more, self.after = part.more and part.after > self.after, part.after

    def part(self, after: int, owner: Instance) -> Part:
        """Read what was stored after a segment of the journal."""
        return further(self.prefix, after, owner=owner, aws_conn_id=self.aws_conn_id)


def further(prefix: str, after: int, *, owner: Instance, aws_conn_id: str | None) -> Part:
    """
    Read what a batch stored after segment ``after`` of its journal; nothing where it has none.

    :raises NotServed: it cannot be read, or is of another task.
    """
    with serving.told(prefix):
        bucket = Bucket(folder_of(prefix), serving.client(aws_conn_id), field="persist_to")
        sizes = bucket.names()
        if HEADER not in sizes:
            return Part([], after, more=False)
        _refuse_another(bucket, owner)
        images: list[dict[str, Any]] = []
        read = 0
        for number, name in segments_after(sizes, after):
            read += sizes[name]
            if images and read > _MOST_READ:
                return Part(images, after, more=True)
            images += _images(bucket, name, prefix)
            after = number
        return Part(images, after, more=False)


def _refuse_another(bucket: Bucket, owner: Instance) -> None:
    """Refuse the journal of another task: its run may be another one, for a later run goes on with it."""
    try:
        origin = Header.model_validate_json(_text(bucket, HEADER, _MOST_HEADER)).origin
    except ValidationError:
        raise serving.NotServed(bucket.uri(HEADER), "it is no journal's") from None
    if (origin.dag_id, origin.task_id, origin.map_index) != (owner.dag_id, owner.task_id, owner.map_index):
        raise serving.NotServed(bucket.uri(HEADER), f"it is of another task: {origin}")


def _images(bucket: Bucket, name: str, prefix: str) -> Iterator[dict[str, Any]]:
    for line in _text(bucket, name, _MOST_SEGMENT).splitlines():
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError:
            raise serving.NotServed(bucket.uri(name), "a line of it cannot be read") from None
        price = _price(entry)
        yield from ({**image.xcom(), **price} for image in entry.images if lies_below(image.uri, prefix))


def _price(entry: Entry) -> Mapping[str, Any]:
    """Return what each image of a request cost."""
    paid = entry.paid
    if paid is None or paid.cost is None or not entry.images:
        return {}
    return {"cost": paid.cost / len(entry.images), "currency": paid.currency, "estimate": paid.estimate}


def _text(bucket: Bucket, name: str, most: int) -> bytes:
    with bucket.open(name) as stored:
        if stored.size > most:
            raise serving.NotServed(bucket.uri(name), f"it has {stored.size} bytes")
        return b"".join(stored.chunks())
