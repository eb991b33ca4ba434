"""What a batch does about rows of unknown outcome: the gateway is asked once for all of them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_qwenimage import telemetry
from airflow_provider_qwenimage.batch.entries import Entry
from airflow_provider_qwenimage.exceptions import InvalidRequest, QwenImageError
from airflow_provider_qwenimage.gateway import find
from airflow_provider_qwenimage.payment.consequences import NEXT
from airflow_provider_qwenimage.payment.finding import Lost, adopt
from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_qwenimage.batch.items import Item
    from airflow_provider_qwenimage.batch.journal import Journal
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.options import BatchOptions
    from airflow_provider_qwenimage.wire.job_list import ListedJob

log = logging.getLogger(__name__)


class UnknownRows:
    """
    The rows of a batch that may have been billed and brought nothing.

    :param items: all rows.
    :param journal: says which; what is found is noted there.
    """

    def __init__(
        self, items: Sequence[Item], journal: Journal, settings: Settings, options: BatchOptions
    ) -> None:
        self._items, self._journal = items, journal
        self._settings, self._options = settings, options
        known = ((entry.known_job, entry) for entry in journal.entries.values())
        self._owned = {job_id: f"row {entry.position}" for job_id, entry in known if job_id}

    def find(self) -> str:
        """
        Adopt for each row the job that can only be its own; say which jobs may be those of the others.

        :raises InvalidRequest: there is a row that could not be found, now or later.
        """
        refuse_unfindable(self._items, self._settings)
        rows, options = self._lost(), self._options
        lost = list(rows.values())
        if not lost:
            return ""
        try:
            with self._settings.endpoint.client() as client:
                search = find.find(
                    client,
                    lost,
                    owned=self._owned,
                    interval=options.poll_interval,
                    seconds=options.job_timeout,
                )
        except QwenImageError as error:
            return f"Their jobs could not be looked for: {redact(error.what)}."
        claims = find.claims(self._settings, self._owned)
        found = adopt(lost, search.seen, whole=search.whole, claims=claims)
        for position, each in rows.items():
            if each.owner in found:
                self._adopt(self._items[position], found[each.owner])
        left = [each for each in lost if each.owner not in found]
        log.info("%d of %d rows of unknown outcome were found at the gateway.", len(found), len(lost))
        if not left:
            return ""
        may_be = find.candidates(self._settings, self._items[0].request, left, search, claims=claims)
        return find.told_of(may_be)

    def _adopt(self, item: Item, listed: ListedJob) -> None:
        job = find.job_of(self._settings, item.request, listed)
        self._journal.note(Entry(position=item.position, state="submitted", job=job))
        telemetry.count_found(job)
        log.warning(
            "%s: its answer was lost; the gateway lists its job, which is adopted: %s", item.where, job.id
        )

    def told(self) -> str:
        """Say which jobs may be theirs, empty where the gateway does not tell."""
        lost = list(self._lost().values())
        return find.briefly(self._settings, self._items[0].request, lost, owned=self._owned) if lost else ""

    def _lost(self) -> dict[int, Lost]:
        """Return, by position, the rows whose time is known and that the gateway makes jobs of."""
        now, longest = datetime.now(UTC), find.longest_exchange(self._settings)
        lost = {}
        for item in self._items:
            entry = self._journal.entries.get(item.position)
            if (
                entry is None
                or NEXT[entry.state] != "ask"
                or not find.can_be_asked(self._settings, item.request)
            ):
                continue
            since = entry.began
            if since is None:  # its images were known, and are gone: no job brings them back
                continue
            until = entry.at if entry.state == "unknown" else min(now, since + longest)
            lost[item.position] = Lost.of(
                item.request,
                owner=self._journal.owner(entry),
                since=since,
                until=until,
                request_id=entry.request_id,
            )
        return lost


def refuse_unfindable(items: Sequence[Item], settings: Settings) -> None:
    """
    Refuse ``find`` for a batch with a row that could not be found.

    :raises InvalidRequest: naming the row, and what can be asked.
    """
    kinds: set[tuple[object, ...]] = set()
    for item in items:
        request = item.request
        kind = (request.operation, request.model, request.parameters.get("stream") is True)
        if kind in kinds:
            continue
        kinds.add(kind)
        try:
            find.refuse_unfindable(settings, request)
        except InvalidRequest as error:
            raise InvalidRequest(error.field, f"{item.where}: {error.rule}", advice=error.advice) from None
