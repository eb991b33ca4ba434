"""How a task stands in its account's line where it may leave its worker meanwhile, or its author bounds its cost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.gateway import calls
from airflow_provider_qwenimage.gateway.account.money import Wallet
from airflow_provider_qwenimage.gateway.account.turn import REFUSALS, Place
from airflow_provider_qwenimage.triggers.turn import QwenImageTurnTrigger

if TYPE_CHECKING:
    from airflow_provider_qwenimage.gateway.account.turn import Turn
    from airflow_provider_qwenimage.gateway.calls import Plan
    from airflow_provider_qwenimage.models.options import Options
    from airflow_provider_qwenimage.operators.base import QwenImageBaseOperator


def turn_of(operator: QwenImageBaseOperator, planned: Plan, options: Options, *, paid: bool = False) -> Turn:
    """
    Return the turn of a task's request.

    :param paid: its cost is reserved already; see ``calls.turn_of``.
    :raises InvalidRequest: its cost is bounded, and its model has no price.
    """
    settings, facts = operator.hook.settings, dict[str, Any](paid=paid)
    if options.max_cost is not None:
        facts["wallet"] = Wallet(options.max_cost, settings.currency)
    if operator.deferrable:
        place = Place(*operator.place) if operator.place else None
        facts |= {"longest": None, "most": REFUSALS, "far": _Leaving(operator, planned), "place": place}
    return calls.turn_of(settings, planned, **facts)


class _Leaving:
    """Sends a task to the triggerer until its turn is near: before it pays, so that it holds no worker."""

    def __init__(self, operator: QwenImageBaseOperator, planned: Plan) -> None:
        self._operator, self._planned = operator, planned

    def __call__(self, place: Place, seconds: float) -> None:
        operator = self._operator
        if operator.store is not None:  # the place of the images: opened again when they come
            operator.store.__exit__(None, None, None)
        operator.log.info("Its turn has not come: the task waits for it in the triggerer; nothing was sent.")
        trigger = QwenImageTurnTrigger(
            list(place),
            model=self._planned.request.model or "",
            is_job=self._planned.is_job,
            qwenimage_conn_id=operator.qwenimage_conn_id,
            not_before=time.time() + seconds,
        )
        operator.defer(trigger=trigger, method_name="execute_in_turn")
