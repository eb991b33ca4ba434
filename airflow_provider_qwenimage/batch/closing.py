"""Closes a campaign: the manifests of its shards become one, in row order, with no more than a shard in memory."""

from __future__ import annotations

import hashlib
import json
import tempfile
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_qwenimage.batch.planning import SHARDS
from airflow_provider_qwenimage.defaults import MANIFEST, TABLE
from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError, TransferIncomplete
from airflow_provider_qwenimage.models.manifest import Manifest
from airflow_provider_qwenimage.models.partitions import Partitions
from airflow_provider_qwenimage.models.results import Usage
from airflow_provider_qwenimage.storage.prefix import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_qwenimage.batch.planning import CampaignPlan, Shard
    from airflow_provider_qwenimage.models.manifest import Failure, Origin, StoredImage
    from airflow_provider_qwenimage.models.options import CampaignOptions
    from airflow_provider_qwenimage.storage.s3 import S3
    from airflow_provider_qwenimage.storage.table import ImageTable

_SUMS = ("image_count", "input_tokens", "output_tokens", "total_tokens", "cost")


@dataclass
class Closed:
    """
    A campaign as its manifest tells it.

    :param uris: in row order.
    :param labels: those that all images share.
    :param partitions: those that consumers are told of, where they are told apart.
    """

    manifest: str
    uris: list[str] = field(default_factory=list)
    labels: dict[str, str] | None = None
    failures: int = 0
    partitions: Partitions | None = None

    def add(self, image: StoredImage) -> None:
        """Count an image."""
        self.uris.append(image.uri)
        if self.partitions is not None:
            self.partitions.add(image.labels)
        if self.labels is None:
            self.labels = dict(image.labels)
        elif self.labels:
            same = {name for name, text in self.labels.items() if image.labels.get(name) == text}
            self.labels = {name: self.labels[name] for name in self.labels if name in same}


def close(plan: CampaignPlan, options: CampaignOptions, *, origin: Origin, s3: S3) -> Closed:
    """
    Write the manifest of a campaign whose shards are complete.

    :raises TransferError: a shard has no manifest, none has an image, or it could not be written.
    """
    bucket = Bucket(options.persist_to, s3, field="persist_to")
    partitions = Partitions(options.partition_by) if options.partition_by else None
    closed = Closed(bucket.uri(MANIFEST), partitions=partitions)
    with ExitStack() as files:
        text = files.enter_context(_file())
        rows = files.enter_context(_file()) if options.manifest_format == "parquet" else None
        _write(plan, bucket, origin, closed, text=text, rows=rows)
        if not closed.uris:
            what = f"None of the {plan.images} images of the campaign came"
            raise TransferIncomplete(what, failures=[], advice="The tasks of its shards say why.")
        _put_table(bucket, rows)
        text.seek(0)
        digest = hashlib.file_digest(text, "sha256").hexdigest()  # type: ignore[arg-type]
        # Last: where it is, the set is complete.
        bucket.put(MANIFEST, text, content_type="application/json", sha256=digest)
    return closed


def _file() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="qwenimage-manifest-")  # closed by whoever opens it


def _put_table(bucket: Bucket, rows: IO[bytes] | None) -> None:
    """Write the table, or remove one that an earlier run left and this one does not renew."""
    if rows is None and TABLE not in bucket.names():
        return
    from airflow_provider_qwenimage.storage.table import drop_table, put_table

    if rows is None:
        drop_table(bucket)
    else:
        put_table(bucket, rows)


def _write(
    plan: CampaignPlan,
    bucket: Bucket,
    origin: Origin,
    closed: Closed,
    *,
    text: IO[bytes],
    rows: IO[bytes] | None,
) -> None:
    """Spell the manifest a shard at a time: what ``Manifest.dump`` spells of all of it, an image a line."""
    head = Manifest(**origin.model_dump(), images=()).model_dump(mode="json", exclude={"images", "failures"})
    text.write(json.dumps(head, indent=2)[: -len("\n}")].encode() + b',\n  "images": [')
    failures: list[Failure] = []
    with _table(rows) as table:
        for shard in plan.shards:
            manifest = _manifest(bucket, shard)
            images = [_moved(image, shard, plan) for image in manifest.images]
            for image in images:
                text.write((b",\n    " if closed.uris else b"\n    ") + image.model_dump_json().encode())
                closed.add(image)
            if table is not None:
                table.add(images)
            failures += [
                failure.model_copy(update={"index": place(failure.index, shard, plan)})
                for failure in manifest.failures
            ]
    closed.failures = len(failures)
    told = ",".join(f"\n    {failure.model_dump_json()}" for failure in failures)
    text.write(b'\n  ],\n  "failures": [' + told.encode() + b"]\n}\n")


def _table(file: IO[bytes] | None) -> AbstractContextManager[ImageTable | None]:
    if file is None:
        return nullcontext()
    from airflow_provider_qwenimage.storage.table import ImageTable

    return ImageTable(file)


def _moved(image: StoredImage, shard: Shard, plan: CampaignPlan) -> StoredImage:
    """Return an image at its place in the campaign."""
    request = (image.model_extra or {}).get("request")
    moved: dict[str, Any] = {"index": place(image.index, shard, plan)}
    if isinstance(request, int):
        moved["request"] = shard.first + request
    return image.model_copy(update=moved)


def _manifest(bucket: Bucket, shard: Shard) -> Manifest:
    name = f"{SHARDS}{shard.name}/{MANIFEST}"
    try:
        with bucket.open(name) as stored:
            manifest = Manifest.load(b"".join(stored.chunks()), where=bucket.uri(name))
    except TransferError as error:
        if error.final:
            error.advice = (
                f"Shard {shard.name} is not complete: clear its task, which pays for what is missing only."
            )
        raise
    folder = bucket.uri(f"{SHARDS}{shard.name}/")
    if foreign := [image.uri for image in manifest.images if not image.uri.startswith(folder)]:
        rule = f"lists {foreign[0]}, which is no image of its shard"
        raise InvalidRequest(bucket.uri(name), rule, advice="Somebody else wrote that: find out who.")
    return manifest


def place(index: int, shard: Shard, plan: CampaignPlan) -> int:
    """Return the place of an image in the campaign; one beyond those asked for goes behind another round of all."""
    rounds, rest = divmod(index, shard.images)
    return plan.images * rounds + shard.first_image + rest


def summed(usages: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Add up what the shards used; what none of them knows is unknown."""
    known = [Usage(**usage) for usage in usages if usage]
    sums: dict[str, Any] = {}
    for name in _SUMS:
        told = [value for value in (getattr(usage, name) for usage in known) if value is not None]
        sums[name] = round(sum(told), 6) if told else None
    currencies = sorted({usage.currency for usage in known if usage.currency})
    estimates = sorted({usage.estimate for usage in known if usage.estimate})
    usage = Usage(**sums, currency=", ".join(currencies) or None, estimate="; ".join(estimates) or None)
    return usage.model_dump(mode="json")
