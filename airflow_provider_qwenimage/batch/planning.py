"""
The plan of a campaign: its rows checked, and cut into shards that stay what they are.

::

    plan/campaign.json      which rows each shard has, written last
    plan/00000.planned      the rows of the first shard: where each stands, its fingerprint, and what it says
    shards/00000/           its images, manifest and journal: an ordinary batch

A shard is cut by position and never again: rows that are added at the end become shards of their own. So a shard's
journal is of the same requests in every run, whatever becomes of the others, and nothing that is paid is paid again.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from array import array
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from airflow_provider_qwenimage.batch.rows import PLANNED
from airflow_provider_qwenimage.defaults import MANIFEST
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.storage.prefix import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_qwenimage.batch.items import Item
    from airflow_provider_qwenimage.defaults import ManifestFormat
    from airflow_provider_qwenimage.storage.s3 import S3

FOLDER, SHARDS = "plan/", "shards/"
_PLAN = "campaign.json"
_ROWS = re.compile(rf"\d{{5}}\.{PLANNED}")
_OUR_MANIFEST = re.compile(rb'\s*\{\s*"version":\s*1,\s*"dag_id":')
_SHOWN = 10  # changed rows in one message
_SPELLED = json.JSONEncoder(ensure_ascii=False, default=str)
_ADVICE = "Rows may be added at the end of a campaign; for others choose another persist_to. Nothing there was changed."


class Shard(BaseModel):
    """
    One part of a campaign.

    :param first: the position of its first row in the campaign.
    :param first_image: the place of its first image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    first: int
    rows: int
    first_image: int
    images: int


class CampaignPlan(BaseModel):
    """Which rows each shard has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    shards: tuple[Shard, ...] = ()

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(shard.rows for shard in self.shards)

    @property
    def images(self) -> int:
        """How many images they ask for."""
        return sum(shard.images for shard in self.shards)


class PlanFolder:
    """
    What lies under ``plan/``.

    :param prefix: of the campaign.
    :param manifest_format: of the manifest that will lie beside it.
    :raises InvalidRequest: somebody else keeps something there, or a manifest that is not ours beside it, or no table
        can be written.
    """

    def __init__(self, prefix: str, s3: S3, *, manifest_format: ManifestFormat = "json") -> None:
        self._bucket = Bucket(f"{prefix.rstrip('/')}/{FOLDER}", s3, field="persist_to")
        names = self._bucket.names()
        strange = [name for name in names if name not in ("", _PLAN) and not _ROWS.fullmatch(name)]
        if strange:
            rule = (
                f"{self._bucket.uri(strange[0])} is no plan's, and the plan of this campaign would lie there"
            )
            raise InvalidRequest(
                "persist_to", rule, advice="Choose another persist_to; nothing there was changed."
            )
        whole = Bucket(prefix, s3, field="persist_to")
        beside = whole.names()
        if MANIFEST in beside:
            _refuse_foreign_manifest(whole)
        if manifest_format == "parquet":
            from airflow_provider_qwenimage.storage.table import check_table

            check_table(whole, beside)
        self.earlier = self._read() if _PLAN in names else CampaignPlan()

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the fingerprint of each row that was planned, and what it said."""
        for shard in self.earlier.shards:
            with self._bucket.open(f"{shard.name}.{PLANNED}") as stored:
                for line in b"".join(stored.chunks()).splitlines():
                    _, fingerprint, row = json.loads(line)
                    yield fingerprint, row

    def write(self, plan: CampaignPlan, spool: Spool) -> None:
        """Write the rows of every shard, and the plan last."""
        for shard, text in zip(plan.shards, spool.cut(plan), strict=True):
            digest = hashlib.sha256(text).hexdigest()
            kind = "application/x-ndjson"
            self._bucket.put(f"{shard.name}.{PLANNED}", text, content_type=kind, sha256=digest)
        self._bucket.put_text(_PLAN, plan.model_dump_json(indent=1).encode() + b"\n")

    def uri(self, shard: Shard) -> str:
        """Return where the rows of a shard lie."""
        return self._bucket.uri(f"{shard.name}.{PLANNED}")

    def _read(self) -> CampaignPlan:
        with self._bucket.open(_PLAN) as stored:
            text = b"".join(stored.chunks())
        try:
            return CampaignPlan.model_validate_json(text)
        except ValidationError:
            rule = f"{self._bucket.uri(_PLAN)} is no plan that this version reads"
            raise InvalidRequest("persist_to", rule, advice=_ADVICE) from None


def _refuse_foreign_manifest(bucket: Bucket) -> None:
    with bucket.open(MANIFEST) as stored:
        if not _OUR_MANIFEST.match(stored.head(200)):
            rule = f"{bucket.uri(MANIFEST)} is not a manifest of this provider, and would be replaced"
            raise InvalidRequest("persist_to", rule, advice="Choose another persist_to.")


class Spool:
    """
    The rows of a campaign on the worker's disk, until all of them are known to be right; a context manager.

    :ivar images: how many images each row asks for.
    """

    def __init__(self) -> None:
        self.images = array("L")
        self._file = tempfile.TemporaryFile(prefix="qwenimage-plan-")  # noqa: SIM115 - closed by the block it opens
        self._ends = array("Q", [0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, item: Item, row: Any) -> None:
        """Keep a row."""
        line = _SPELLED.encode([item.where, item.fingerprint, row]).encode() + b"\n"
        self._file.write(line)
        self.images.append(item.request.n)
        self._ends.append(self._ends[-1] + len(line))

    def cut(self, plan: CampaignPlan) -> Iterator[bytes]:
        """Yield the lines of each shard."""
        for shard in plan.shards:
            begin, end = self._ends[shard.first], self._ends[shard.first + shard.rows]
            self._file.seek(begin)
            yield self._file.read(end - begin)


class Changes:
    """
    The rows that are not what the campaign was begun with.

    :param earlier: fingerprint and row of each that was planned.
    """

    def __init__(self, earlier: Iterable[tuple[str, dict[str, Any]]]) -> None:
        self._earlier = iter(earlier)
        self._shown: list[str] = []
        self._count = 0

    def look(self, item: Item, row: dict[str, Any]) -> None:
        """Compare a row with the one that was planned in its place, where there is one."""
        planned = next(self._earlier, None)
        if planned is None or planned[0] == item.fingerprint:
            return
        self._count += 1
        if self._count <= _SHOWN:
            # What JSON makes of a row is what was kept of it.
            now, before = json.loads(json.dumps(row, default=str)), planned[1]
            differ = sorted(name for name in {*now, *before} if now.get(name) != before.get(name))
            by = ", ".join(differ) or "an argument of the campaign, or the model of the connection"
            self._shown.append(f"{item.where}: {by}")

    def refuse(self, uri: str, *, count: int) -> None:
        """
        Refuse a campaign that is not the planned one with rows at its end.

        :param count: of the rows there are now.
        """
        gone = sum(1 for _ in self._earlier)
        if gone:
            self._shown.append(f"{gone} rows at the end are gone: {count} are left of {count + gone}")
        if not self._shown:
            return
        more = f"\n  and {self._count - _SHOWN} more" if self._count > _SHOWN else ""
        told = "".join(f"\n  {line}" for line in self._shown)
        rule = f"differ from those that the campaign at {uri} was begun with:{told}{more}"
        raise InvalidRequest("requests", rule, advice=_ADVICE)


def cut(earlier: CampaignPlan, images: array[int], *, shards: int) -> CampaignPlan:
    """
    Cut rows into shards; those that are there stay, and what is new becomes at most ``shards`` more.

    :param images: how many images each row asks for.
    """
    made, first = list(earlier.shards), earlier.rows
    new = len(images) - first
    usual = max((shard.rows for shard in made), default=0)
    count = min(shards, -(-new // usual) if usual else new)
    for number in range(count):
        begin, end = first + new * number // count, first + new * (number + 1) // count
        before = made[-1].first_image + made[-1].images if made else 0
        asked = sum(images[begin:end])
        name = f"{len(made):05d}"
        made.append(Shard(name=name, first=begin, rows=end - begin, first_image=before, images=asked))
    return CampaignPlan(shards=tuple(made))
