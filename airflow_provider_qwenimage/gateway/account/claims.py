"""
Whose each job is, as the processes of an account tell each other where they meet.

::

    told ─► POST ─► the job it was answered with is claimed     (what turns it away takes it back)
       └── lost ──► nobody else's, until its own task finds its job and claims that

A job that nobody claims can be a lost request's only where every other request it could be of is known: the server
must have been there, the same one without a restart, since the first that could have made it, and nobody may have
sent anything while the server was away. Where that is not so, a job has to prove whose it is (``payment.finding``).
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.gateway.account.turn import Ask
from airflow_provider_qwenimage.gateway.find import longest_exchange
from airflow_provider_qwenimage.models.results import Job
from airflow_provider_qwenimage.payment.claims import Known, RecordClaims
from airflow_provider_qwenimage.payment.finding import SKEW, Lost

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_provider_qwenimage.gateway.account.turn import Steps, Store
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.requests import Request
    from airflow_provider_qwenimage.models.results import Generation

log = logging.getLogger(__name__)

KEPT = timedelta(hours=25)  # the vendor lists and shows a job for 24 h (contract 4.1, 2026-10)
_SEVERAL = "several"


def _now() -> datetime:
    return datetime.now(UTC)


class Told:
    """
    One request that makes a job, told to the others before it leaves.

    :param again: the same is asked for again under its idempotency key: what turns it away says nothing of the first.
    :param clock: of this process.
    """

    def __init__(
        self,
        settings: Settings,
        request: Request,
        *,
        again: bool = False,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._settings, self._request = settings, request
        self._again, self._clock = again, clock
        self._owner = ""

    def begun(self, owner: str, holder: str) -> Steps[None]:
        """
        Tell it; its job is ``owner``'s.

        :param holder: of the turn: what it tells twice is one request.
        :raises GatewayUnreachable: neither the server nor Airflow could be told.
        """
        now = self._clock()
        lost = Lost.of(self._request, owner=owner, since=now, until=now + longest_exchange(self._settings))
        times = {"since": lost.since.timestamp(), "until": lost.until.timestamp()}
        facts = {"model": lost.model, "prompt": lost.prompt, "images": lost.images, **times, "turn": holder}
        self._owner = owner
        yield Ask("tell", {"owner": owner, "facts": json.dumps(facts), "again": self._again, **_kept()})

    def ended(self, outcome: Generation | Job | None, *, unbilled: bool) -> Steps[None]:
        """Claim the job of its answer, or take it back where it made none; one that is lost stays."""
        owner, self._owner = self._owner, ""
        job_id = outcome.id if isinstance(outcome, Job) else outcome and outcome.job_id
        if owner and job_id:
            if (yield Ask("claim", {"owner": owner, "job": job_id, **_kept()})) is False:
                log.error(
                    "Job %s answered this request, and another task has taken it up: look at its images",
                    job_id,
                )
        elif owner and (outcome is not None or (unbilled and not self._again)):
            yield Ask("untell", {"owner": owner})


class AccountClaims:
    """
    What all processes of an account have told (``payment.claims.Claims``); while the server is away, the record alone.

    :param record: what the caller knows by itself.
    :param clock: of this process.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        record: RecordClaims,
        *,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._store, self._record, self._clock = store, record, clock
        # A request that was not told can have made a job so much later, by clocks that differ so much.
        self._reach = longest_exchange(settings) + 2 * SKEW
        self._asked = False

    def known(self, job_ids: Collection[str]) -> Known:
        """See ``Claims``."""
        alone, told = self._record.known(job_ids), self._store.perform("known", jobs=list(job_ids))
        self._asked = told is not None
        if told is None:
            return alone
        age, requests, owners, untold = told
        now = self._clock()
        since = max(now - timedelta(seconds=age), datetime.fromtimestamp(untold, UTC))
        differ = [each for each in owners if alone.owners.get(each, owners[each]) != owners[each]]
        return Known(
            {**alone.owners, **owners, **dict.fromkeys(differ, _SEVERAL)},
            [_lost(owner, json.loads(facts), now) for owner, facts in requests.items()],
            since + self._reach,
        )

    def claim(self, job_id: str, owner: str) -> bool:
        """See ``Claims``."""
        claimed = not self._asked or self._store.perform("claim", owner=owner, job=job_id, **_kept())
        return bool(claimed) and self._record.claim(job_id, owner)


def _lost(owner: str, facts: dict[str, Any], now: datetime) -> Lost:
    since, until = (datetime.fromtimestamp(facts[name], UTC) for name in ("since", "until"))
    return Lost(owner, facts["model"], facts["prompt"], facts["images"], since, max(since, min(until, now)))


def _kept() -> dict[str, float]:
    return {"kept": KEPT.total_seconds()}
