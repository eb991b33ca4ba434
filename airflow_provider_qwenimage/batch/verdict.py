"""What became of a batch: the images, what is missing, and whether a retry helps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_qwenimage.exceptions import (
    ImageUnmarked,
    InvalidRequest,
    OutcomeUnknown,
    PermanentRefusal,
    QwenImageError,
    TransferIncomplete,
)
from airflow_provider_qwenimage.models.manifest import Failure
from airflow_provider_qwenimage.models.results import Usage
from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_qwenimage.batch.entries import Entry
    from airflow_provider_qwenimage.batch.items import Item
    from airflow_provider_qwenimage.models.manifest import StoredImage
    from airflow_provider_qwenimage.models.options import BatchOptions
    from airflow_provider_qwenimage.payment.consequences import Consequence, Cost

_SHOWN = 10  # failures in one message
_PROMPT = 200  # characters of a prompt that tell whose failure it is
_WORDS: dict[Cost, str] = {"unknown": "unknown", "paid": "paid", "nothing": "refused"}
_KINDS = {  # word: what the message calls it
    "unknown": "may have been billed and did not arrive",
    "paid": "are paid and not stored yet",
    "unmarked": "are paid and lack the mark of origin that provenance asks for",
    "refused": "failed unbilled",
    "untried": "were not sent",
}


class Failed(NamedTuple):
    """A request that failed, and what follows from it."""

    error: QwenImageError
    follows: Consequence

    @property
    def word(self) -> str:
        """What it may have cost, in a word."""
        return "unmarked" if isinstance(self.error, ImageUnmarked) else _WORDS[self.follows.cost]


@dataclass(frozen=True)
class Verdict:
    """
    Every request of a batch, by what became of it.

    :param done: by position, as the journal tells them.
    :param failed: by position.
    :param stopped: why no more was begun, ``True`` where the task was told to end.
    :param paid: requests whose images came and are not stored.
    :param candidates: what the gateway tells of jobs that no row owns.
    """

    items: Sequence[Item]
    done: dict[int, Entry]
    failed: dict[int, Failed]
    stopped: QwenImageError | bool = False
    paid: tuple[Entry, ...] = ()
    candidates: str = ""

    @property
    def unknown(self) -> bool:
        """Whether a request may have been billed that brought nothing."""
        return any(failed.word == "unknown" for failed in self.failed.values())

    @property
    def untried(self) -> list[Item]:
        """The requests that were never begun."""
        return [
            item for item in self.items if item.position not in self.done and item.position not in self.failed
        ]

    @property
    def images(self) -> list[StoredImage]:
        """What is stored, in the order of the requests."""
        positions = (item.position for item in self.items if item.position in self.done)
        return [image for position in positions for image in self.done[position].images]

    def settled(self, options: BatchOptions) -> bool:
        """Whether the set is as complete as its author wants it; what is paid and can still be fetched is wanted."""
        if self.untried or any(failed.word == "paid" for failed in self.failed.values()):
            return False
        return not self.failed or (
            options.on_error == "continue" and (options.may_be_empty or bool(self.images))
        )

    def partial(self) -> list[Failure]:
        """Return the images that did not come although their request is done."""
        return [failure for entry in self.done.values() for failure in entry.failures]

    def missing(self) -> list[Failure]:
        """Return the places of all images that are not there, with the reason."""
        reasons = {position: redact(failed.error.what) for position, failed in self.failed.items()}
        return [
            Failure(
                index=item.first + number,
                reason=reasons.get(item.position, "not sent"),
                labels=item.request.labels,
            )
            for item in self.items
            if item.position not in self.done
            for number in range(item.request.n)
        ]

    def failures(self) -> list[dict[str, Any]]:
        """Return the requests that failed, for the XCom key ``failures``."""
        return [
            self._told(position, failed.word, redact(failed.error.what))
            for position, failed in sorted(self.failed.items())
        ]

    def incomplete(self) -> list[dict[str, Any]]:
        """Return the images that did not come of requests that are done, for the same key."""
        return [
            self._told(position, "partial", failure.reason)
            for position, entry in sorted(self.done.items())
            for failure in entry.failures
        ]

    def _told(self, position: int, outcome: str, reason: str) -> dict[str, Any]:
        item = self.items[position]
        facts: dict[str, Any] = {
            "request": position,
            "where": item.where,
            "prompt": redact(item.request.prompt, limit=_PROMPT),
        }
        if item.request.labels:
            facts["labels"] = item.request.labels
        return {**facts, "outcome": outcome, "reason": reason}

    def usage(self, currency: str | None) -> dict[str, Any]:
        """Return what all images that came used, in all runs together; ``None`` where no reply said it."""
        names = ("input_tokens", "output_tokens", "total_tokens", "cost")
        known = [entry.paid for entry in (*self.done.values(), *self.paid) if entry.paid]
        sums = {name: _sum(getattr(usage, name) for usage in known) for name in names}
        count = sum(len(entry.images) for entry in self.done.values())
        count += sum(len(entry.generation.images) for entry in self.paid if entry.generation)
        lists = sorted({usage.estimate for usage in known if usage.estimate})
        usage = Usage(
            image_count=count,
            currency=currency if sums["cost"] is not None else None,
            estimate="; ".join(lists) or None,
            **sums,
        )
        return usage.model_dump(mode="json")

    def error(self, options: BatchOptions) -> QwenImageError | None:
        """Return what the task fails with, ``None`` where it succeeds."""
        if self.settled(options):
            return None
        counts = Counter(failed.word for failed in self.failed.values())
        counts["untried"] = len(self.untried)
        told = ", ".join(f"{counts[word]} {text}" for word, text in _KINDS.items() if counts[word])
        what = f"{sum(counts.values())} of {len(self.items)} requests are not done: {told}{self._shown()}"
        if self._gets_on(options):
            advice = f"{self.candidates} A retry pays only for what is missing.".strip()
            return TransferIncomplete(what, failures=self.failures(), advice=advice)
        error: QwenImageError
        if counts["unknown"]:
            advice = (
                "Look at the gateway's usage log; a run with the same persist_to and "
                "on_unknown_outcome='resubmit' pays for them again, and only for them."
            )
            advice = f"{self.candidates} {advice}".strip()
            error = OutcomeUnknown(what, advice=advice)
        else:
            advice = "Correct what the reasons name, or set on_error='continue'; a new run pays for what is missing."
            if isinstance(self.stopped, QwenImageError) and self.stopped.scope == "account":
                advice = f"{self.stopped.advice} A new run pays for what is missing."
            error = TransferIncomplete(what, failures=self.failures(), advice=advice)
        error.final = True
        return error

    def _shown(self) -> str:
        lines = [f"{failure['where']}: {failure['reason']}" for failure in self.failures()[:_SHOWN]]
        more = len(self.failed) - len(lines)
        return "".join(f"\n  {line}" for line in (*lines, *([f"and {more} more"] if more else [])))

    def _gets_on(self, options: BatchOptions) -> bool:
        """Whether a retry gets on; what stopped the batch for good stops it again."""
        if isinstance(self.stopped, (PermanentRefusal, InvalidRequest, ImageUnmarked)):
            return False
        return bool(self.untried) or any(
            failed.follows.gets_on(on_unknown=options.on_unknown_outcome) for failed in self.failed.values()
        )


def _sum(values: Iterable[float | None]) -> Any:
    known = [value for value in values if value is not None]
    return round(sum(known), 6) if known else None
