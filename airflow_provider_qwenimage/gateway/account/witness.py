"""Remembers, outside of the server that counts it, in which of its memories a day's money is counted."""

from __future__ import annotations

import logging
import os

log = logging.getLogger(__name__)


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
        # Whoever uses the hook outside of a task has no variables to ask.
        if self._agreed == (day, memory) or not os.environ.get("AIRFLOW_CTX_DAG_RUN_ID"):
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
