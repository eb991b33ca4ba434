"""
Remembers outside of the account's server what it cannot know itself: that it forgot, and what left while it was away.

Airflow's variables hold it; whoever uses the hook outside of a task has none to ask.
"""

from __future__ import annotations

import logging
import os
import time

from airflow_provider_qwenimage.exceptions import GatewayUnreachable

log = logging.getLogger(__name__)

_LEASE, _MARGIN = 120.0, 60.0  # seconds: how far ahead a process says that it sends, and how early again


class Witness:
    """
    An Airflow variable: a task that begins after the server has lost its memory has nothing else to tell it so.

    :param account: the account's digest.
    """

    def __init__(self, account: str) -> None:
        self.name = f"qwenimage_budget_{account[:16]}"
        self._agreed: tuple[str, str] | None = None

    def agrees(self, day: str, memory: str) -> bool:
        """Whether a day's money is counted in this memory; the first to ask on a day says so for all."""
        if self._agreed == (day, memory) or not _in_task():
            return True
        from airflow.sdk import Variable

        try:
            kept = Variable.get(self.name, default=None, deserialize_json=True) or {}
            if kept.get("day") != day:
                kept = {"day": day, "memory": memory}
                Variable.set(
                    self.name, kept, description="Where the Qwen Image budget is counted", serialize_json=True
                )
        except Exception as error:  # noqa: BLE001 - Airflow's own, of whatever kind its secrets backends raise
            log.warning(
                "Airflow's variables cannot be asked where the budget is counted: %s", type(error).__name__
            )
            return True
        if kept.get("memory") != memory:
            return False
        self._agreed = (day, memory)
        return True


class Untold:
    """
    An Airflow variable that says until when requests may have left that the server, which was away, knows nothing of.

    :param account: the account's digest.
    """

    def __init__(self, account: str) -> None:
        self.name = f"qwenimage_untold_{account[:16]}"
        self._noted = 0.0

    def note(self) -> None:
        """
        Write that this process sends, now and in the next moments.

        :raises GatewayUnreachable: it could not be written.
        """
        until = time.time() + _LEASE
        if until - self._noted < _MARGIN or not _in_task():
            return
        from airflow.sdk import Variable

        said = "Until when requests left that the account's Redis server was not told of, in epoch seconds"
        try:
            Variable.set(self.name, f"{until:.0f}", description=said)
        except Exception as error:
            raise GatewayUnreachable(
                "The account's Redis server is away, and Airflow does not take a note of the request instead: "
                f"{type(error).__name__}",
                advice="Nothing was sent; a retry is free.",
            ) from error
        self._noted = until

    def until(self) -> float:
        """Return epoch seconds; far ahead where nobody can tell."""
        if not _in_task():
            return 0.0
        from airflow.sdk import Variable

        try:
            return float(Variable.get(self.name, default=0.0))
        except Exception as error:  # noqa: BLE001 - Airflow's own, of whatever kind its secrets backends raise
            log.warning("Airflow's variables cannot be asked what was sent: %s", type(error).__name__)
            return time.time()


def _in_task() -> bool:
    return bool(os.environ.get("AIRFLOW_CTX_DAG_RUN_ID"))
