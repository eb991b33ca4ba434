"""
Who owns which job, so that two tasks never take up the same one, nor each other's.

What a task knows by itself is its own record (``RecordClaims``): a job that is not on it may be another's, who has just
been answered. Only where every process of an account says what it is about to ask for before it does, and which job it
was answered with, is a job that nobody claims one of a request that is under way or lost (``AccountClaims``, beside the
account's other things in ``gateway.account``).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from airflow_provider_qwenimage.payment.finding import Lost


class Known(NamedTuple):
    """
    What is known of an account's jobs and requests at one moment.

    :param owners: who owns which of the jobs; those of nobody are left out.
    :param requests: those that are under way or lost, of every owner.
    :param since: of a request lost later, all are known that its job could be another one's of; ``None``: of none.
    """

    owners: Mapping[str, str]
    requests: Sequence[Lost] = ()
    since: datetime | None = None


class Claims(Protocol):
    """Who owns which job."""

    def known(self, job_ids: Collection[str]) -> Known:
        """Return what is known of these jobs, and of the requests that one of them may belong to."""

    def claim(self, job_id: str, owner: str) -> bool:
        """Make a job somebody's, at once for all; ``False`` where it is another's already."""


class RecordClaims:
    """
    What a task or a batch knows by its own record, and what was adopted in this process.

    :param owned: the owner of each job that is on record.
    """

    _adopted: dict[str, str] = {}  # noqa: RUF012 - of the process
    _lock = threading.Lock()

    def __init__(self, owned: Mapping[str, str] | None = None) -> None:
        self._owned = dict(owned or {})

    def known(self, job_ids: Collection[str]) -> Known:
        """See ``Claims``; of other requests nobody told."""
        known = {**self._adopted, **self._owned}
        return Known({job_id: known[job_id] for job_id in job_ids if job_id in known})

    def claim(self, job_id: str, owner: str) -> bool:
        """See ``Claims``."""
        with self._lock:
            return self._adopted.setdefault(job_id, self._owned.get(job_id, owner)) == owner
