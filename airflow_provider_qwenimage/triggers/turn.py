"""Waits in the triggerer for a task's turn in its account; sends nothing."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_qwenimage.triggers.shared import shared_hook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_SOON = 5.0  # seconds a task takes back to its worker, or more


class QwenImageTurnTrigger(BaseTrigger):
    """
    Stand in an account's line, and emit one event when the turn is near.

    It may run any number of times: the place in the line is kept, and standing there costs nothing. The turn itself is
    taken by the worker, in the moment it sends.

    :param place: in the line: holder, ticket, and how often the request was turned away.
    :param model: that is asked for.
    :param is_job: whether it will be asked for as a job.
    :param qwenimage_conn_id: the connection.
    :param not_before: epoch seconds; where no other process knows the line, all that is known of it.
    """

    def __init__(
        self,
        place: Sequence[Any],
        *,
        model: str,
        is_job: bool,
        qwenimage_conn_id: str,
        not_before: float,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.place = list(place)
        self.model = model
        self.is_job = is_job
        self.qwenimage_conn_id = qwenimage_conn_id
        self.not_before = not_before

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what another triggerer needs to go on."""
        return f"{__name__}.{type(self).__name__}", {
            "place": self.place,
            "model": self.model,
            "is_job": self.is_job,
            "qwenimage_conn_id": self.qwenimage_conn_id,
            "not_before": self.not_before,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Emit ``{"place": …}``; where the line cannot be seen from here, the worker looks for itself."""
        from airflow_provider_qwenimage.gateway.account.line import looked
        from airflow_provider_qwenimage.gateway.account.turn import Place, account, adrive

        try:
            async with shared_hook(self.qwenimage_conn_id) as hook:
                settings = await hook.asettings()
                if settings.store is None:
                    await asyncio.sleep(max(0.0, self.not_before - time.time() - _SOON))
                else:
                    steps = looked(settings, self.model, Place(*self.place), is_job=self.is_job)
                    self.place = list(await adrive(account(settings), steps))
        except Exception:
            self.log.exception("The turn cannot be waited for here; the task goes back to its worker")
        yield TriggerEvent({"place": self.place})  # type: ignore[no-untyped-call]
