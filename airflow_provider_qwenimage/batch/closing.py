"""Closes a campaign: the manifests of its shards become one, in row order, with no more than a shard in memory."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_qwenimage.batch.planning import SHARDS
from airflow_provider_qwenimage.defaults import MANIFEST
from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.models.manifest import Manifest
from airflow_provider_qwenimage.models.results import Usage
from airflow_provider_qwenimage.storage.prefix import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_qwenimage.batch.planning import CampaignPlan, Shard
    from airflow_provider_qwenimage.models.manifest import Failure, Origin, StoredImage
    from airflow_provider_qwenimage.storage.s3 import S3

_SUMS = ("image_count", "input_tokens", "output_tokens", "total_tokens", "cost")


@dataclass
class Closed:
    """
    A campaign as its manifest tells it.

    :param uris: in row order.
    :param labels: those that all images share.
    """

    manifest: str
    uris: list[str] = field(default_factory=list)
    labels: dict[str, str] | None = None
    failures: int = 0

    def add(self, image: StoredImage) -> None:
        """Count an image."""
        self.uris.append(image.uri)
        if self.labels is None:
            self.labels = dict(image.labels)
        elif self.labels:
            same = {name for name, text in self.labels.items() if image.labels.get(name) == text}
            self.labels = {name: self.labels[name] for name in self.labels if name in same}


def close(plan: CampaignPlan, *, prefix: str, origin: Origin, s3: S3) -> Closed:
    """
    Write the manifest of a campaign whose shards are complete.

    :raises TransferError: a shard has no manifest, or it could not be written.
    """
    bucket = Bucket(prefix, s3, field="persist_to")
    closed = Closed(bucket.uri(MANIFEST))
    with tempfile.TemporaryFile(prefix="qwenimage-manifest-") as file:
        _write(file, plan, bucket, origin, closed)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        bucket.put(MANIFEST, file, content_type="application/json", sha256=digest)
    return closed


def _write(file: IO[bytes], plan: CampaignPlan, bucket: Bucket, origin: Origin, closed: Closed) -> None:
    """Spell the manifest a shard at a time: what ``Manifest.dump`` spells of all of it, an image a line."""
    head = Manifest(**origin.model_dump(), images=()).model_dump(mode="json", exclude={"images", "failures"})
    file.write(json.dumps(head, indent=2)[: -len("\n}")].encode() + b',\n  "images": [')
    failures: list[Failure] = []
    for shard in plan.shards:
        manifest = _manifest(bucket, shard)
        for image in manifest.images:
            file.write(b",\n    " if closed.uris else b"\n    ")
            moved = {"index": place(image.index, shard, plan), "request": shard.first + _request(image)}
            file.write(image.model_copy(update=moved).model_dump_json().encode())
            closed.add(image)
        failures += [
            failure.model_copy(update={"index": place(failure.index, shard, plan)})
            for failure in manifest.failures
        ]
    closed.failures = len(failures)
    told = ",".join(f"\n    {failure.model_dump_json()}" for failure in failures)
    file.write(b'\n  ],\n  "failures": [' + told.encode() + b"]\n}\n")


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


def _request(image: StoredImage) -> int:
    request = (image.model_extra or {}).get("request", 0)
    return request if isinstance(request, int) else 0


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
