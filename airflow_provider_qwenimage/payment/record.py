"""What is kept of a task instance's request across its tries, and where."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from airflow_provider_qwenimage.models.coercion import Moment
from airflow_provider_qwenimage.models.results import Generation, Job

KEY = "qwenimage"
# For which a gateway is trusted to know an idempotency key: services keep them for a day.
REMEMBERED = timedelta(hours=20)


class Store(Protocol):
    """The part of Airflow's task state store that is used."""

    def get(self, key: str) -> Any: ...  # noqa: D102
    def set(self, key: str, value: Any) -> None: ...  # noqa: D102
    def delete(self, key: str) -> None: ...  # noqa: D102


class Record(BaseModel):
    """
    What is kept.

    :param fingerprint: of everything that shapes or bills the request.
    :param life: ``ti.max_tries`` when it was written.
    :param at: when the phase began; of an intent that is asked for again, when it was first sent.
    :param lost_at: when a try learnt that the answer of its intent is lost; unknown where its worker died.
    :param request_id: of the lost request, where the gateway named it.
    :param account: a digest of host and key that the intent was sent with; see ``transport.Endpoint``.
    :param key: the idempotency key that was sent with it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    fingerprint: str
    life: int
    phase: Literal["intent", "submitted", "done"]
    at: Moment
    job: Job | None = None
    generation: Generation | None = None
    lost_at: Moment | None = None
    request_id: str | None = None
    account: str | None = None
    key: str | None = None

    @property
    def outcome(self) -> Generation | Job | None:
        """What was got; ``None`` for an intent, whose outcome nobody knows."""
        return self.generation or self.job

    def line(self) -> str:
        """Say what a retry does with it."""
        if self.generation is not None:
            return f"Replaying the {len(self.generation.images)} images an earlier try paid for."
        return f"Resuming job {self.job.id if self.job else ''} of an earlier try."


class Beside(Protocol):
    """Where an answer is kept while Airflow does not take it: beside the images."""

    def put_text(self, name: str, text: bytes) -> None: ...  # noqa: D102
    def delete(self, name: str) -> None: ...  # noqa: D102
