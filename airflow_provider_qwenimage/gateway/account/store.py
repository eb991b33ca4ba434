"""What turns, polls and money ask a store for, and the one place where that meets ``async``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Any, NamedTuple, Protocol, TypeVar

from airflow_provider_qwenimage.wire.protocol import Pause

Value = TypeVar("Value")


class Ask(NamedTuple):
    """One operation of a store, by name."""

    name: str
    asked: dict[str, Any]


# As in wire.flows: it yields what it needs done and gets back what came of it.
Steps = Generator[Ask | Pause, Any, Value]


class Store(Protocol):
    """Where the processes of an account meet; each operation is undivided."""

    def perform(self, name: str, **asked: Any) -> Any: ...  # noqa: D102
    async def aperform(self, name: str, **asked: Any) -> Any: ...  # noqa: D102


def drive(store: Store, steps: Steps[Value]) -> Value:
    """Drive ``steps`` to their end; what breaks a step off is thrown into them, so that they can clean up."""
    answer: Any = None
    failure: BaseException | None = None
    while True:
        try:
            step = steps.send(answer) if failure is None else steps.throw(failure)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        answer = failure = None
        try:
            if isinstance(step, Pause):
                time.sleep(step.seconds)
            else:
                answer = store.perform(step.name, **step.asked)
        except BaseException as error:  # noqa: BLE001 - the steps raise it again
            failure = error


async def adrive(store: Store, steps: Steps[Value]) -> Value:
    """See ``drive``."""
    answer: Any = None
    failure: BaseException | None = None
    while True:
        try:
            step = steps.send(answer) if failure is None else steps.throw(failure)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        answer = failure = None
        try:
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                answer = await store.aperform(step.name, **step.asked)
        except BaseException as error:  # noqa: BLE001 - the steps raise it again
            failure = error
