"""What the simulator saw and billed. Safe to read from other threads."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.simulator.account import Accounts
from airflow_provider_qwenimage.simulator.faults import FaultQueue
from airflow_provider_qwenimage.simulator.gallery import Gallery
from airflow_provider_qwenimage.simulator.jobs import Jobs
from airflow_provider_qwenimage.simulator.sockets import Sockets
from airflow_provider_qwenimage.simulator.uploads import Uploads

if TYPE_CHECKING:
    from airflow_provider_qwenimage.simulator.settings import Settings

COUNTS = ("billed", "generations", "posts", "polls", "cancels", "checks", "files", "authorization_on_files")


@dataclass(frozen=True)
class Seen:
    """One request as it arrived, without the key."""

    gateway: str
    kind: str
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    at: float = field(default_factory=time.time)


class State:
    """Counters, remembered requests, armed faults, files and jobs of one simulator."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.gallery = Gallery(settings)
        self.faults = FaultQueue()
        self.jobs = Jobs(settings)
        self.uploads = Uploads()
        self.accounts = Accounts(settings, self.jobs)
        self.sockets = Sockets(self.faults, self.count)
        self.replies: dict[tuple[str, str] | None, dict[str, Any]] = {}  # by gateway and idempotency key
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._requests: deque[Seen] = deque(maxlen=settings.keep_requests)
        self._polls: deque[float] = deque()
        self._fastest = 0

    def count(self, gateway: str, what: str, by: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[gateway, what] += by

    def remember(self, seen: Seen) -> None:
        """Keep a request for `/_state`."""
        with self._lock:
            self._requests.append(seen)

    def poll(self, gateway: str) -> int:
        """Count a poll.

        :return: polls of all gateways within the last second, this one included.
        """
        now = time.monotonic()
        with self._lock:
            self._counts[gateway, "polls"] += 1
            self._polls.append(now)
            while self._polls[0] <= now - 1:
                self._polls.popleft()
            self._fastest = max(self._fastest, len(self._polls))
            return len(self._polls)

    def total(self, what: str, gateway: str | None = None) -> int:
        """One counter, of one gateway or of all. Images of jobs are billed when the job succeeds."""
        with self._lock:
            found = sum(
                n for (name, key), n in self._counts.items() if key == what and gateway in (None, name)
            )
        return found + (self.jobs.billed(gateway) if what == "billed" else 0)

    @property
    def billed(self) -> int:
        """Images somebody would have to pay for."""
        return self.total("billed")

    @property
    def posts(self) -> int:
        """Generation requests that arrived, refused ones included."""
        return self.total("posts")

    @property
    def polls(self) -> int:
        """Status requests that arrived."""
        return self.total("polls")

    @property
    def cancels(self) -> int:
        """Cancel requests that arrived."""
        return self.total("cancels")

    @property
    def max_polls_per_second(self) -> int:
        """The most polls within any one second."""
        return self._fastest

    @property
    def requests(self) -> tuple[Seen, ...]:
        """The last requests, oldest first."""
        with self._lock:
            return tuple(self._requests)

    @property
    def bodies(self) -> tuple[Any, ...]:
        """Bodies of the last generation requests, oldest first."""
        return tuple(seen.body for seen in self.requests if seen.kind == "generate")

    def snapshot(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        names = sorted({name for name, _ in self._counts} | self.jobs.gateways())
        return {
            **{what: self.total(what) for what in COUNTS},
            "max_polls_per_second": self.max_polls_per_second,
            "dropped_on_accept": self.total("dropped_on_accept"),
            "gateways": {name: {what: self.total(what, name) for what in COUNTS} for name in names if name},
            "account": self.accounts.snapshot(),
            "jobs": self.jobs.statuses(),
            "faults": {"served": self.faults.served(), "waiting": self.faults.waiting()},
            "requests": [asdict(seen) for seen in self.requests],
        }

    def reset(self) -> None:
        """Forget counters, requests, faults, files and jobs; settings stay."""
        with self._lock:
            self._counts.clear()
            self._requests = deque(maxlen=self.settings.keep_requests)
            self._polls.clear()
            self._fastest = 0
        self.replies.clear()
        self.faults.clear()
        self.gallery.clear()
        self.accounts.clear()
        self.jobs.clear()
        self.uploads.clear()
