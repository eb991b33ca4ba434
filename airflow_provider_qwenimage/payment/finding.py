"""
Which job of the gateway's list a lost request was answered with: exactly one that can be no other's, or none.

::

    lost request ── model, time, prompt, n ──► jobs that fit ── no rival, and proof ──► the one that is adopted

A job proves whose it is by the prompt its document names, by the request id of a lost answer, or by who claimed it. One
that proves nothing is adopted only where all requests of the account are known (``claims``), no other one can have made
it, and its document is shown to this key. Where requests are not known, two for the very same prompt at the same time
cannot be told apart.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_qwenimage.models.requests import ImageRequest
    from airflow_provider_qwenimage.payment.claims import Claims, Known
    from airflow_provider_qwenimage.wire.job_list import JobFacts, ListedJob

# Between the clocks of workers and gateway, and the second that a record's time is cut to.
SKEW = timedelta(seconds=30)
_COUNTED = ("generate", "edit")  # of n images; a series may end early


@dataclass(frozen=True, slots=True)
class Lost:
    """
    A request whose outcome is not known, or not known yet.

    :param owner: names it among all: the task instance, its request, and which of its intents it is.
    :param prompt: a digest of its prompt.
    :param images: how many it asked for; ``None`` where they may be fewer.
    :param since: when its intent was written.
    :param until: when it was known to be lost, or cannot be under way any more.
    :param request_id: of the lost answer, where one came that named it.
    """

    owner: str
    model: str | None
    prompt: str
    images: int | None
    since: datetime
    until: datetime
    request_id: str | None = None

    @classmethod
    def of(
        cls,
        request: ImageRequest,
        *,
        owner: str,
        since: datetime,
        until: datetime,
        request_id: str | None = None,
    ) -> Lost:
        """Describe a request by what a gateway tells of its jobs."""
        images = request.n if request.operation in _COUNTED else None
        return cls(owner, request.model, digest(request.prompt), images, since, until, request_id)

    def may_be(self, job: ListedJob) -> bool:
        """Whether a job is of the model and the time of the request."""
        return job.model == self.model and self.since - SKEW <= job.at <= self.until + SKEW


class Seen(NamedTuple):
    """A job of the list, and what its own document tells; ``None`` where nobody looked."""

    job: ListedJob
    facts: JobFacts | None = None

    def fits(self, lost: Lost) -> bool:
        """Whether nothing that is known of the job speaks against it."""
        if self.answers(lost):
            return True
        prompts = self.facts.prompts if self.facts else ()
        other_prompt = bool(prompts) and lost.prompt not in map(digest, prompts)
        count = self.facts.images if self.facts else None
        other_count = None not in (count, lost.images) and count != lost.images
        return lost.may_be(self.job) and not other_prompt and not other_count

    def answers(self, lost: Lost) -> bool:
        """Whether the lost answer named the request that submitted the job."""
        return lost.request_id is not None and lost.request_id == self.job.request_id

    def proves(self, lost: Lost) -> bool:
        """Whether its document names the prompt."""
        return self.facts is not None and lost.prompt in map(digest, self.facts.prompts)

    @property
    def shown(self) -> bool:
        """Whether its document could be read; the list may name jobs of other keys, which nobody else is shown."""
        return self.facts is not None and self.facts.shown


def adopt(lost: Sequence[Lost], seen: Sequence[Seen], *, whole: bool, claims: Claims) -> dict[str, ListedJob]:
    """
    Claim for each lost request the job that can only be its own.

    :param seen: every job that may be one of theirs.
    :param whole: whether no such job can be missing.
    :return: by owner; requests without such a job are left out.
    """
    known = claims.known([each.job.id for each in seen])
    rivals = [*lost, *known.requests]
    found: dict[str, ListedJob] = {}
    for each in lost:
        job = _only(each, seen, rivals=rivals, known=known, whole=whole)
        if job is not None and claims.claim(job.id, each.owner):
            found[each.owner] = job
    return found


def _only(
    lost: Lost, seen: Sequence[Seen], *, rivals: Sequence[Lost], known: Known, whole: bool
) -> ListedJob | None:
    owners = known.owners
    own = [each for each in seen if owners.get(each.job.id) == lost.owner or each.answers(lost)]
    own = [each for each in own if owners.get(each.job.id, lost.owner) == lost.owner]
    if own:
        return own[0].job if len(own) == 1 else None
    free = [each for each in seen if each.job.id not in owners and each.fits(lost)]
    if len(free) != 1 or not whole:
        return None
    (only,) = free
    contested = any(rival.owner != lost.owner and only.fits(rival) for rival in rivals)
    all_known = known.since is not None and lost.since >= known.since and only.shown
    return only.job if (all_known or only.proves(lost)) and not contested else None


def digest(prompt: str) -> str:
    """Return what two equal prompts have in common, and nothing that could be read."""
    return hashlib.sha256(prompt.strip().encode(errors="surrogatepass")).hexdigest()[:32]
