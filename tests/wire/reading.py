"""What the tests of the wire share: reply files as replies, and a clock that stands still."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.wire.documents import documents
from airflow_provider_qwenimage.wire.flows import Conduct, Patience
from airflow_provider_qwenimage.wire.harvest import harvest
from airflow_provider_qwenimage.wire.protocol import Reply
from airflow_provider_qwenimage.wire.refusals import classify

if TYPE_CHECKING:
    from airflow_provider_qwenimage.exceptions import QwenImageError
    from airflow_provider_qwenimage.wire.harvest import Harvest

FOLDER = Path(__file__).parent.parent / "replies"
BASE = "https://gw.example/proxy"
NOW = 1_763_697_600.0  # 2025-11-21 04:00:00 UTC


def reply(name: str, **headers: str) -> Reply:
    """The reply in a file; its status is the number its name begins with."""
    path = FOLDER / name
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Reply(status=int(path.name[:3]), headers=named, body=path.read_bytes())


def refusal(name: str, **headers: str) -> QwenImageError | None:
    """What a reply file is refused as."""
    said = reply(name, **headers)
    return classify(said, documents(said), now=NOW)


def reaped(name: str, **headers: str) -> Harvest:
    """What a reply file holds; an engine serves images itself."""
    said = reply(name, **headers)
    found = documents(said)
    assert classify(said, found, now=NOW) is None
    return harvest(said, found, served_from=BASE if name.startswith("engines/") else None)


class Clock:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def conduct(*, jitter: float = 0.0, clock: Any = None, **patience: Any) -> Conduct:
    return Conduct(clock=clock or Clock(), jitter=lambda: jitter, patience=Patience(**patience))
