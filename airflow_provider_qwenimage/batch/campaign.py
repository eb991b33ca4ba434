"""Plans a campaign: every row is checked, and the whole cost, before anything is sent."""

from __future__ import annotations

import logging
from array import array
from contextlib import ExitStack
from math import fsum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_qwenimage.batch.allowed import AllowedInputs, default_inputs
from airflow_provider_qwenimage.batch.columns import Columns
from airflow_provider_qwenimage.batch.items import Asks, checked, rows_file, rows_of
from airflow_provider_qwenimage.batch.planning import SHARDS, Changes, PlanFolder, Spool, cut
from airflow_provider_qwenimage.defaults import BATCH_FILENAME, STORES
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.options import BY_FORM
from airflow_provider_qwenimage.models.partitions import partition_of
from airflow_provider_qwenimage.storage.s3 import S3
from airflow_provider_qwenimage.wire.links import split_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_provider_qwenimage.batch.items import Item, Row, Taking
    from airflow_provider_qwenimage.batch.planning import CampaignPlan, Shard
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.options import BatchOptions, CampaignOptions

log = logging.getLogger(__name__)


class Planned(NamedTuple):
    """
    A campaign that may be sent.

    :param batches: the arguments of a batch for each shard.
    """

    plan: CampaignPlan
    batches: list[dict[str, Any]]


def plan_campaign(
    requests: Any,
    options: BatchOptions,
    campaign: CampaignOptions,
    *,
    defaults: Mapping[str, Any],
    settings: Settings,
) -> Planned:
    """
    Check every row, cut them into shards and write what each shard is to do.

    :param options: of its batches.
    :raises InvalidRequest: naming each bad row, or the rows that are not those the campaign was begun with; or it
        asks for more images or money than its author allows.
    """
    with ExitStack() as opened:
        s3, spool = opened.enter_context(S3(options.aws_conn_id)), opened.enter_context(Spool())
        folder = PlanFolder(options.persist_to, s3, manifest_format=campaign.manifest_format)
        asks, places = Asks(), _Places(options.inputs_from, rows_file(requests))
        rows = _Followed(Columns.of(options).filled(rows_of(requests, s3.open)))
        changes, purse = Changes(folder.rows()), _Purse(options, settings)
        names = _names(options, campaign, opened)
        facts: dict[str, Any] = {"defaults": defaults, "settings": settings, "names": names}
        for item in checked(rows, asks, allowed=places.allowed, **facts):
            places.add(item)
            changes.look(item, rows.last)
            purse.add(item)
            spool.add(item, rows.last)
        changes.refuse(options.persist_to, count=asks.count)
        _allow(asks, options, settings)
        purse.refuse()
        plan = cut(folder.earlier, spool.images, shards=campaign.shards)
        folder.write(plan, spool)
    prefix = f"{options.persist_to.rstrip('/')}/{SHARDS}"
    batches = [
        {
            "requests": folder.uri(shard),
            "persist_to": f"{prefix}{shard.name}/",
            "inputs_from": places.entries,
            **purse.share(shard),
        }
        for shard in plan.shards
    ]
    log.info("%d rows in %d shards", plan.rows, len(plan.shards))
    return Planned(plan, batches)


class _Followed:
    """Rows that remember which of them was read last."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self.last: Any = None

    def __iter__(self) -> Iterator[Row]:
        for where, row in self._rows:
            self.last = row
            yield where, row


class _Places:
    """
    Where the input images of a shard may come from: its rows lie in a file of ours, and no longer say whose they are.

    :param inputs_from: the author's.
    :param file: what the rows were read from; rows at hand may name anything, so what they name is allowed.
    """

    def __init__(self, inputs_from: Iterable[str] | None, file: str | None) -> None:
        self._given = inputs_from is not None or file is not None
        given = inputs_from if inputs_from is not None else default_inputs(file) if file else ()
        self._entries = set(given)
        self.allowed = AllowedInputs(self._entries) if self._given else None

    @property
    def entries(self) -> list[str]:
        """What ``inputs_from`` of the shards is."""
        return sorted(self._entries)

    def add(self, item: Item) -> None:
        """Allow what a row at hand names."""
        if not self._given:
            self._entries.update(map(_place, getattr(item.request, "images", ())))


def _place(image: str) -> str:
    form = image.partition(":")[0].lower()
    if form in BY_FORM:
        return form
    if f"{form}://" in STORES and form != "file":
        return f"{split_object(image)[0]}/"
    return str(Path(image.removeprefix("file://")).resolve().parent)


class _Purse:
    """What the whole campaign may cost, where its author bounds it; its shards share it by what their rows cost."""

    def __init__(self, options: BatchOptions, settings: Settings) -> None:
        self._most, self._settings, self._costs = options.max_cost, settings, array("d")

    def add(self, item: Item) -> None:
        """Count a request; refuse one whose cost nobody knows."""
        if self._most is None:
            return
        from airflow_provider_qwenimage.gateway.account.money import Purse, Wallet

        purse = Purse.of(self._settings, item.request, wallet=Wallet(self._most, self._settings.currency))
        self._costs.append(purse.cost if purse else 0.0)

    def refuse(self) -> None:
        """Raise ``BudgetExceeded`` where all of it may cost more."""
        if self._most is None:
            return
        from airflow_provider_qwenimage.gateway.account.money import Wallet

        Wallet(self._most, self._settings.currency).refuse_more(fsum(self._costs))

    def share(self, shard: Shard) -> dict[str, float]:
        """Return what a shard may spend as an argument of its batch: all shares together are what the author allows."""
        if self._most is None:
            return {}
        whole, own = fsum(self._costs), fsum(self._costs[shard.first : shard.first + shard.rows])
        return {"max_cost": self._most * own / whole if whole else self._most}


class _OfPartitions:
    """Rows of which each is of a partition, beside what else is asked of them."""

    def __init__(self, label: str, names: Taking | None) -> None:
        self._label, self._names = label, names

    def take(self, item: Item) -> None:
        """Refuse a row whose images no consumer would be told of."""
        partition_of(item.request.labels, self._label)
        if self._names is not None:
            self._names.take(item)


def _names(options: BatchOptions, campaign: CampaignOptions, opened: ExitStack) -> Taking | None:
    names: Taking | None = None
    if options.filename != BATCH_FILENAME:
        from airflow_provider_qwenimage.batch.names import Names, TakenOnDisk

        taken = opened.enter_context(TakenOnDisk())
        names = Names(options.filename, prefix=options.persist_to, taken=taken)
    return _OfPartitions(campaign.partition_by, names) if campaign.partition_by else names


def _allow(asks: Asks, options: BatchOptions, settings: Settings) -> None:
    if options.max_images is not None and asks.images > options.max_images:
        rule = f"allows {options.max_images}, and the campaign asks for {asks.images} images"
        raise InvalidRequest("max_images", rule)
    whole = f", about {asks.cost:.2f} {settings.currency or ''}".rstrip() if asks.cost is not None else ""
    if whole and asks.listed:
        whole += f" (an estimate by the vendor's list, {'; '.join(sorted(asks.listed))})"
    log.info("%d requests for %d images%s in all", asks.count, asks.images, whole)
    for warning, count in asks.warnings.most_common():
        log.warning("%s (%d requests)", warning, count)
