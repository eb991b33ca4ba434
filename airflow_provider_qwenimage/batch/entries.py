"""What the journal of a batch says: whose it is, and how far each request has come."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from airflow_provider_qwenimage.models.coercion import Moment
from airflow_provider_qwenimage.models.manifest import Failure, Origin, StoredImage
from airflow_provider_qwenimage.models.results import Generation, Job, Usage
from airflow_provider_qwenimage.payment.consequences import State


class Entry(BaseModel):
    """
    How far a request has come; the last entry of a request counts.

    :param position: of the request in the batch.
    :param state: see ``payment.consequences``.
    :param failures: of its n images those that did not come, by their place in the set.
        :param reason: why it is ``refused``, ``unknown``, or ``done`` without images: they lacked a mark of origin.
        :param sent: when a request was sent first whose outcome is unknown since.
    :param request_id: of its lost answer, where one came that named it.
    :param key: the header for idempotency keys and the key that it was sent with, as ``Header=key``.
    :param account: a digest of host and key that it was sent with then.
    :param job_id: of the images, which is kept when their links are not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    position: int
    state: State
    at: Moment = Field(default_factory=partial(datetime.now, UTC))
    job: Job | None = None
    generation: Generation | None = None
    images: tuple[StoredImage, ...] = ()
    failures: tuple[Failure, ...] = ()
    usage: Usage | None = None
    reason: str | None = None
    sent: Moment | None = None
    request_id: str | None = None
    key: str | None = None
    account: str | None = None
    job_id: str | None = None

    @property
    def sending(self) -> State:
        """The state of the request while it is sent: one that is asked for again stays of unknown outcome."""
        return "unknown" if self.state == "intent" and self.sent else self.state

    @property
    def began(self) -> datetime | None:
        """When a request was first sent that may be of unknown outcome; ``None`` where it is not, or was answered."""
        return self.sent or (self.at if self.state == "intent" else None)

    @property
    def known_job(self) -> str | None:
        """The id of its job, whatever became of it."""
        if self.job:
            return self.job.id
        return self.generation.job_id if self.generation else self.job_id

    def lost(self, reason: str, *, request_id: str | None = None) -> Entry:
        """Return the entry that says that nobody knows what became of the request."""
        kept = self.model_dump(include={"position", "sent", "request_id", "key", "account"})
        kept["sent"] = self.began
        kept["request_id"] = request_id or self.request_id
        kept["job_id"] = self.known_job
        return Entry(**kept, state="unknown", reason=reason)

    def without_links(self) -> Entry:
        """Return it without what the gateway delivered, where all of that is stored."""
        return self.model_copy(update={"generation": None}) if self.state == "done" else self

    @property
    def paid(self) -> Usage | None:
        """What it used, whether or not its images are stored; ``None`` where that is not known."""
        return self.usage or (self.generation.usage if self.generation else None)

    @property
    def stored_uris(self) -> list[str]:
        """Every stored object that it names."""
        delivered = self.generation.stored_uris if self.generation else []
        return [*(image.uri for image in self.images), *delivered]


class Header(BaseModel):
    """
    Whose journal it is.

    :param requests: the fingerprint of each request.
    :param life: ``ti.max_tries`` of the task that began it, which stays on a retry and changes on a clear.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    requests: Annotated[tuple[str, ...], Field(min_length=1)]
    origin: Origin = Origin()
    life: int = 0
    created_at: Moment = Field(default_factory=partial(datetime.now, UTC))

    def difference(self, other: Header) -> str | None:
        """Say how the requests of ``other`` differ, ``None`` when they are the same."""
        if self.requests == other.requests:
            return None
        mine, others = len(self.requests), len(other.requests)
        pairs = zip(self.requests, other.requests, strict=False)
        changed = [position for position, (one, two) in enumerate(pairs) if one != two]
        told = [f"it has {mine} requests and this batch {others}"] if mine != others else []
        if changed:
            named = ", ".join(str(position) for position in changed[:5])
            more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
            told.append(f"they differ at {named}{more} (counted from 0)")
        return "; ".join(told)

    def same_life(self, other: Header) -> bool:
        """Whether both are of one task instance between two clears: the other is a retry."""
        return (self.origin, self.life) == (other.origin, other.life)
