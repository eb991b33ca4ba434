"""Faults: the table of `faults.toml`, and which one strikes which request."""

from __future__ import annotations

import re
import threading
import tomllib
from collections import Counter
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

from airflow_provider_qwenimage.simulator.vendor import Refusal

_IN_PROMPT = re.compile(r"\[fault:([a-z0-9_]+)(?:\*(\d+))?\]")


@dataclass(frozen=True)
class Fault:
    """One row of `faults.toml`.

    :param on: where it strikes unless armed for elsewhere: generate, poll, file, check or accept.
    :param works: the work is done and billed before the fault.
    :param refusal: answered in the gateway's own error shape.
    :param shape: forces an error shape instead.
    :param raw: answered as it stands.
    :param connection: close or reset.
    :param before: the connection ends before the request is read.
    """

    name: str
    title: str
    concludes: str
    billed: str
    on: str = "generate"
    works: bool = False
    refusal: Refusal | None = None
    shape: str | None = None
    raw: tuple[tuple[str, str], ...] | None = None
    status: int = 200
    retry_after: str | None = None
    connection: str | None = None
    before: bool = False

    @property
    def early(self) -> bool:
        """Whether it strikes before any work is done."""
        return not self.works


def _fault(name: str, row: dict[str, Any]) -> Fault:
    fields = dict(row)
    if "refusal" in fields:
        fields["refusal"] = Refusal(**fields["refusal"])
        fields["status"] = fields["refusal"].status
    if "raw" in fields:
        fields["raw"] = tuple(fields["raw"].items())
    return Fault(name=name, **fields)


FAULTS = {
    name: _fault(name, row)
    for name, row in tomllib.loads(
        files(__package__).joinpath("faults.toml").read_text(encoding="utf-8")
    ).items()
}


def table() -> str:
    """The faults as a Markdown table, for `docs/simulator.md`."""
    head = (
        "| fault | strikes | what happens | what a client should conclude | billed |\n|---|---|---|---|---|\n"
    )
    return head + "".join(
        f"| `{row.name}` | {row.on} | {row.title} | {row.concludes} | {row.billed} |\n"
        for row in FAULTS.values()
    )


@dataclass
class Armed:
    """A fault that waits for a request.

    :param match: only prompts (or paths, for faults before the request is read) that hold this text.
    :param seconds: how long, for faults that take a number of seconds.
    """

    fault: str
    times: int = 1
    gateway: str | None = None
    match: str | None = None
    on: str | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"unknown fault {self.fault!r}; there are {', '.join(FAULTS)}")

    @property
    def row(self) -> Fault:
        """The row of the table."""
        return FAULTS[self.fault]

    def fits(self, *, gateway: str, on: str, text: str) -> bool:
        """Whether this request is the one."""
        meant = self.on or self.row.on
        return meant == on and self.gateway in (None, gateway) and (self.match is None or self.match in text)


class FaultQueue:
    """Armed faults, first come first served, and how often each struck."""

    def __init__(self) -> None:
        self._armed: list[Armed] = []
        self._served: Counter[str] = Counter()
        self._in_prompts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def arm(self, **spec: Any) -> None:
        """Arm a fault; fields as in `Armed`.

        :raises ValueError: no such fault.
        :raises TypeError: no such field.
        """
        armed = Armed(**spec)
        with self._lock:
            self._armed.append(armed)

    def pick(self, *, gateway: str, on: str, text: str = "", header: str | None = None) -> Armed | None:
        """The fault for this request: the header's, the prompt's, or the first armed one that fits."""
        armed = self._asked(on, text, header) or self._take(gateway=gateway, on=on, text=text, unread=False)
        if armed:
            with self._lock:
                self._served[armed.fault] += 1
        return armed

    def pick_unread(self, *, gateway: str, on: str, path: str) -> Armed | None:
        """The first armed fault that ends the connection before the request is read."""
        armed = self._take(gateway=gateway, on=on, text=path, unread=True)
        if armed:
            with self._lock:
                self._served[armed.fault] += 1
        return armed

    def served(self) -> dict[str, int]:
        """How often each fault struck."""
        with self._lock:
            return dict(self._served)

    def waiting(self) -> list[dict[str, Any]]:
        """What is still armed."""
        with self._lock:
            return [asdict(armed) for armed in self._armed]

    def clear(self) -> None:
        """Disarm everything."""
        with self._lock:
            self._armed.clear()
            self._served.clear()
            self._in_prompts.clear()

    def _take(self, *, gateway: str, on: str, text: str, unread: bool) -> Armed | None:
        with self._lock:
            for armed in self._armed:
                if armed.row.before is unread and armed.fits(gateway=gateway, on=on, text=text):
                    armed.times -= 1
                    if armed.times <= 0:
                        self._armed.remove(armed)
                    return armed
        return None

    def _asked(self, on: str, text: str, header: str | None) -> Armed | None:
        if header in FAULTS:
            return Armed(header)
        for name, times in _IN_PROMPT.findall(text) if on == "generate" else ():
            with self._lock:
                self._in_prompts[name, text] += 1
                struck = self._in_prompts[name, text]
            if name in FAULTS and (not times or struck <= int(times)):
                return Armed(name)
        return None
