"""
Who owns which job, so that two tasks never take up the same one, nor each other's.

What a task knows by itself is its own record (``RecordClaims``): a job that is not on it may be another's, who has just
been answered. Only where every process of an account says what it is about to ask for before it does, and which job it
was answered with, is a job that nobody claims one of a request that is under way or lost (``Claims.shared``).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow_provider_qwenimage.payment.finding import Lost


class Claims(Protocol):
    """
    Who owns which job.

    :ivar shared: whether every request of the account is known here, whichever process sends it.
    """

    @property
    def shared(self) -> bool: ...  # noqa: D102

    def others(self, lost: Lost) -> Sequence[Lost]:
        """Return the requests of other owners that are under way or lost."""

    def owners(self, job_ids: Collection[str]) -> Mapping[str, str]:
        """Return who owns which of the jobs; those of nobody are left out."""

    def claim(self, job_id: str, owner: str) -> bool:
        """Make a job somebody's, at once for all; ``False`` where it is another's already."""


class RecordClaims:
    """
    What a task or a batch knows by its own record, and what was adopted in this process.

    :param owned: the owner of each job that is on record.
    """

    shared = False
    _adopted: dict[str, str] = {}  # noqa: RUF012 - of the process
    _lock = threading.Lock()

    def __init__(self, owned: Mapping[str, str] | None = None) -> None:
        self._owned = dict(owned or {})

    def others(self, lost: Lost) -> Sequence[Lost]:  # noqa: ARG002
        """Return none: nobody told."""
        return ()

    def owners(self, job_ids: Collection[str]) -> Mapping[str, str]:
        """See ``Claims``."""
        known = {**self._adopted, **self._owned}
        return {job_id: known[job_id] for job_id in job_ids if job_id in known}

    def claim(self, job_id: str, owner: str) -> bool:
        """See ``Claims``."""
        with self._lock:
            return self._adopted.setdefault(job_id, self._owned.get(job_id, owner)) == owner
