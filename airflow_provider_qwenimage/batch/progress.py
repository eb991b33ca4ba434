"""What a person sees of a running batch: one line now and then, and the task state."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_qwenimage.models.results import Usage

log = logging.getLogger(__name__)

INTERVAL = 10.0  # seconds between two lines
KEY = "qwenimage_batch"


@dataclass
class Progress:
    """
    Counts of one run of a batch.

    :param total: requests of the batch.
    :param earlier: of them done by earlier runs.
    :param unknown: of them left unknown by earlier runs, and not sent again.
    :param currency: of ``spent``, which is an estimate from the connection's prices.
    :param tell: keeps the counts where the UI shows them; called beside the event loop.
    """

    total: int
    earlier: int = 0
    unknown: int = 0
    currency: str | None = None
    tell: Callable[[dict[str, Any]], object] | None = None
    done: int = 0
    failed: int = field(default=0, init=False)
    images: int = 0
    spent: float | None = None
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.failed = self.unknown

    def add(self, images: int) -> None:
        """Count a request whose images are stored."""
        self.done += 1
        self.images += images

    def spend(self, usage: Usage) -> None:
        """Count what a request cost whose images came."""
        if usage.cost is not None:
            self.spent = round((self.spent or 0.0) + usage.cost, 6)

    def counts(self, in_flight: int) -> dict[str, Any]:
        """Return all of it as plain JSON."""
        passed = max(time.monotonic() - self.began, 1e-9)
        left = self.total - self.earlier - self.done - self.failed
        ended = self.done + self.failed - self.unknown
        return {
            "requests": self.total,
            "done": self.earlier + self.done,
            "failed": self.failed,
            "in_flight": in_flight,
            "images": self.images,
            "images_per_minute": round(self.images / passed * 60, 1),
            "spent": self.spent,
            "currency": self.currency,
            "seconds_left": round(passed / ended * left) if ended else None,
        }

    def line(self, in_flight: int) -> str:
        """Return the line for the log."""
        counts = self.counts(in_flight)
        said = [
            f"{counts['done']} of {self.total} requests done",
            f"{self.failed} failed",
            f"{in_flight} in flight",
            f"{counts['images_per_minute']:g} images/min",
        ]
        if self.spent is not None:
            said.append(f"{self.spent:.2f} {self.currency or ''} spent".replace("  ", " "))
        left = counts["seconds_left"]
        return ", ".join(said) + (f"; about {clock(left)} left" if left else "")

    async def watch(self, in_flight: Callable[[], int], *, interval: float = INTERVAL) -> None:
        """Log a line every ``interval`` seconds in which something happened, until cancelled."""
        last = ""
        while True:
            await asyncio.sleep(interval)
            line = self.line(in_flight())
            if line.partition(";")[0] != last:
                log.info("%s", line)
                last = line.partition(";")[0]
                await asyncio.to_thread(self.show, in_flight())

    def show(self, in_flight: int = 0) -> None:
        """Put the counts where the UI shows them; what fails here fails nothing."""
        if self.tell is None:
            return
        try:
            self.tell(self.counts(in_flight))
        except Exception as error:  # noqa: BLE001 - a batch is not stopped by its own display
            log.debug("The task state could not be written: %s", error)
            self.tell = None


def clock(seconds: float) -> str:
    """Spell seconds as ``1:02:03`` or ``2:03`` min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h" if hours else f"{minutes}:{rest:02d} min"
