"""What a key may do: submissions per second and minute, requests under way at once, polls per second."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.simulator.vendor import refused

if TYPE_CHECKING:
    from airflow_provider_qwenimage.simulator.jobs import Jobs
    from airflow_provider_qwenimage.simulator.settings import Settings

OF_A_MODEL = ("requests_per_second", "requests_per_minute", "concurrency")
BOUNDS = (*OF_A_MODEL, "polls_per_second")
_WINDOWS = {"requests_per_second": 1.0, "polls_per_second": 1.0, "requests_per_minute": 60.0}


def checked(limits: dict[str, Any]) -> dict[str, Any]:
    """Return the setting `limits`.

    :raises ValueError: a bound is unknown, or no number above 0.
    """
    of_models = limits.get("models", {})
    for bounds, known in (
        (limits, (*BOUNDS, "models")),
        *((each, OF_A_MODEL) for each in of_models.values()),
    ):
        for name, most in bounds.items():
            if name not in known:
                raise ValueError(f"unknown limit {name}")
            if name != "models" and not (type(most) in (int, float) and most > 0):
                raise ValueError(f"{name} must be a number above 0")
    return limits


@dataclass
class _Use:
    """What one key has done, in all or with one model: only what was let pass counts."""

    submitted: deque[float] = field(default_factory=deque)
    polled: deque[float] = field(default_factory=deque)
    running: int = 0
    jobs: list[str] = field(default_factory=list)


class Accounts:
    """Counts by key, whichever gateway and connection it comes through, and refuses as the vendor does."""

    def __init__(self, settings: Settings, jobs: Jobs) -> None:
        self._settings = settings
        self._all_jobs = jobs
        self._lock = threading.Lock()
        self._uses: dict[tuple[str, str | None], _Use] = {}
        self._refused: Counter[str] = Counter()
        self._passed: Counter[str] = Counter()
        self._most_running = 0

    def submit(self, key: str, model: str, *, at: float) -> None:
        """Let a submission pass, which then is under way.

        :param at: when it arrived, by the monotonic clock; what reading it took does not count.
        :raises RefusedError: it is one too many, in the vendor's words.
        """
        with self._lock:
            own = [(self._use(key, None), self._settings.limits), (self._use(key, model), self._of(model))]
            for use, bounds in own:
                for name in ("requests_per_second", "requests_per_minute"):
                    self._rate(use.submitted, name, bounds, at)
                if use.running + self._open(use) >= bounds.get("concurrency", float("inf")):
                    self._refused["concurrency"] += 1
                    raise refused("allocation")
            for use, _ in own:
                use.submitted.append(at)
                use.running += 1
            self._passed["requests"] += 1
            self._most_running = max(self._most_running, own[0][0].running + self._open(own[0][0]))

    def answered(self, key: str, model: str, *, job: str | None = None) -> None:
        """Say that a submission is answered; a job it became is under way until its end."""
        with self._lock:
            for use in (self._use(key, None), self._use(key, model)):
                use.running -= 1
                if job is not None:
                    use.jobs.append(job)

    def poll(self, key: str) -> None:
        """Let a poll pass.

        :raises RefusedError: it is one too many.
        """
        with self._lock:
            use, now = self._use(key, None), time.monotonic()
            self._rate(use.polled, "polls_per_second", self._settings.limits, now)
            use.polled.append(now)
            self._passed["polls"] += 1

    def snapshot(self) -> dict[str, Any]:
        """What was let pass, what was refused by which bound, and the most that were under way at once."""
        with self._lock:
            return {
                "passed": dict(self._passed),
                "refused": {name: self._refused[name] for name in BOUNDS},
                "most_running": self._most_running,
            }

    def clear(self) -> None:
        """Forget it all; the limits stay."""
        with self._lock:
            running = {key: use.running for key, use in self._uses.items() if use.running}
            self._uses = {key: _Use(running=count) for key, count in running.items()}
            self._refused.clear()
            self._passed.clear()
            self._most_running = 0

    def _use(self, key: str, model: str | None) -> _Use:
        return self._uses.setdefault((key, model), _Use())

    def _of(self, model: str) -> dict[str, Any]:
        found: dict[str, Any] = self._settings.limits.get("models", {}).get(model, {})
        return found

    def _rate(self, times: deque[float], name: str, bounds: dict[str, Any], now: float) -> None:
        """Refuse what would be one too many within any one second or minute."""
        while times and times[0] <= now - 60:
            times.popleft()
        window = sum(when > now - _WINDOWS[name] for when in times)
        if name in bounds and window >= bounds[name]:
            self._refused[name] += 1
            raise refused("throttled")

    def _open(self, use: _Use) -> int:
        use.jobs = [job for job in use.jobs if self._all_jobs.is_open(job)]
        return len(use.jobs)
