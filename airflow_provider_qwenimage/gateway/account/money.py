"""What may be spent: reserved before a request is sent, settled when it is known what became of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from airflow.providers.common.compat.sdk import conf

from airflow_provider_qwenimage.exceptions import BudgetExceeded, InvalidRequest
from airflow_provider_qwenimage.gateway.account.turn import Ask
from airflow_provider_qwenimage.models.results import Job

if TYPE_CHECKING:
    from airflow_provider_qwenimage.gateway.account.turn import Steps
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.requests import Request
    from airflow_provider_qwenimage.models.results import Generation

_MICROS = 1_000_000  # of a currency: what is added up is whole numbers
_DAYS = 3 * 86400.0  # seconds a day's count is kept
_RUN = 14 * 86400.0  # the same of a run's


class Wallet:
    """
    What one task may spend by its ``max_cost``; its requests may ask from one event loop or one thread.

    :param most: in the currency of the connection's prices.
    """

    def __init__(self, most: float, currency: str | None) -> None:
        self._most, self._spent = most, 0.0
        self._currency = currency or ""

    def reserve(self, cost: float) -> None:
        """Take ``cost`` out of it, or raise ``BudgetExceeded``."""
        self.refuse_more(cost)
        self._spent += cost

    def refuse_more(self, cost: float) -> None:
        """Raise ``BudgetExceeded`` where it does not hold ``cost``."""
        if self._spent + cost > self._most + 1 / _MICROS:
            allows = f"allows {self._most:g} {self._currency}".rstrip()
            spent = f", of which {self._spent:g} are spent" if self._spent else ""
            raise BudgetExceeded("max_cost", f"{allows}{spent}, and what is to be sent may cost {cost:g}")

    def settle(self, reserved: float, cost: float) -> None:
        """Put back what was not needed."""
        self._spent += cost - reserved


@dataclass(eq=False, slots=True)
class Purse:
    """
    The money of one request.

    :param cost: the most it may cost.
    :param wallet: what its task may spend.
    :param counted: whether the connection has a budget: the account's spending is counted where all its processes meet.
    """

    cost: float
    wallet: Wallet | None
    settings: Settings
    counted: bool
    _at: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, request: Request, *, wallet: Wallet | None = None) -> Purse | None:
        """
        Return the purse of a request, ``None`` where nothing bounds what it costs.

        :raises InvalidRequest: something does, and its model has no price, or there is no place to count in.
        """
        if settings.budget is None and wallet is None:
            return None
        cost = settings.cost_of(request)
        if cost is None:
            raise unpriced("budget" if settings.budget else "max_cost", request.model)
        if settings.budget is not None:
            check_place(settings)
        return cls(cost, wallet, settings, counted=settings.budget is not None)

    def reserved(self, now: float) -> Steps[None]:
        """
        Reserve the money.

        :param now: the clock all processes of the account share, epoch seconds.
        :raises BudgetExceeded: there is not enough.
        """
        if self.wallet is not None:
            self.wallet.reserve(self.cost)
        if not self.counted:
            return
        try:
            self._at = {
                "id": uuid4().hex,
                "counters": _counters(self.settings, now),
                "micros": round(self.cost * _MICROS),
            }
            self._refuse((yield Ask("reserve", {**self._at, "day": _day(now)})))
        except BaseException:
            if self.wallet is not None:
                self.wallet.settle(self.cost, 0.0)
            raise

    def _refuse(self, over: tuple[str, int] | None) -> None:
        if over is not None:
            raise self._over(*over)

    def _over(self, name: str, spent: int) -> BudgetExceeded:
        if name == "lost":
            return BudgetExceeded(
                "budget",
                "the server that counts what is spent has lost its memory: nobody knows what is left of today",
                advice="Look at the gateway's bill. The count begins anew at midnight, or for new tasks once "
                "the Airflow variable qwenimage_budget_… is deleted.",
            )
        cap = self.settings.budget.per_day if name == "per_day" else self.settings.budget.per_run  # type: ignore[union-attr]
        currency = self.settings.currency or ""
        return BudgetExceeded(
            f"budget.{name}",
            f"is {cap:g} {currency}".rstrip() + f", {spent / _MICROS:g} are spent or reserved, "
            f"and this request may cost {self.cost:g}",
            advice="Raise it in the connection, or wait for "
            + ("the next day." if name == "per_day" else "another run."),
        )

    def settled(self, outcome: Generation | Job | None, *, unbilled: bool) -> Steps[None]:
        """Put back what was not spent: what nobody knows the end of counts as spent, a job's is known at its end."""
        cost = 0.0 if unbilled else self.cost
        if outcome is not None and not isinstance(outcome, Job) and outcome.usage.cost is not None:
            cost = outcome.usage.cost
        if self.wallet is not None:
            self.wallet.settle(self.cost, cost)
        if not self.counted:
            return
        if isinstance(outcome, Job):
            yield Ask("bill", {"job": outcome.id, **self._at})
        elif cost != self.cost:
            yield Ask("settle", {**self._at, "paid": round(cost * _MICROS)})


def job_settled(job_id: str, cost: float | None) -> Ask:
    """Return what settles a job's money at its end: ``None`` for a cost that is as expected."""
    return Ask("settle_job", {"job": job_id, "paid": None if cost is None else round(cost * _MICROS)})


def check_budget(settings: Settings) -> None:
    """Refuse a budget that cannot be kept, as far as the connection alone tells."""
    if settings.budget is not None:
        check_place(settings)
        if settings.model is not None and settings.price(settings.model) is None:
            raise unpriced("budget", settings.model)


def check_place(settings: Settings) -> None:
    """Refuse a budget that no process could keep alone."""
    if settings.store is None:
        raise InvalidRequest(
            "budget",
            "needs a place where all processes count: [qwenimage] account_conn_id is not set",
            advice="Name a connection of type redis there; max_cost of an operator works without one.",
        )


def unpriced(field: str, model: str | None) -> InvalidRequest:
    """Return the refusal of a bound in money for a model whose price nobody names."""
    named = f"the model {model!r}" if model else "a request without a model"
    return InvalidRequest(
        field,
        f"cannot be kept: {named} has no price",
        advice="Add it to the connection's price_per_image.",
    )


def _counters(settings: Settings, now: float) -> list[tuple[str, str, int, float]]:
    """Return what a request counts towards: the name of the bound, its counter, the bound and how long it is kept."""
    budget = settings.budget
    assert budget is not None
    currency = settings.currency or ""
    found = []
    if budget.per_day is not None:
        found.append(("per_day", f"{_day(now)}:{currency}", round(budget.per_day * _MICROS), _DAYS))
    run = os.environ.get("AIRFLOW_CTX_DAG_RUN_ID")
    if budget.per_run is not None and run:  # whoever calls the hook outside of a task has no run
        name = f"{os.environ.get('AIRFLOW_CTX_DAG_ID', '')}:{run}:{currency}"
        found.append(("per_run", name, round(budget.per_run * _MICROS), _RUN))
    return found


def _day(now: float) -> str:
    """Return the day of a moment in the zone that Airflow's own days have."""
    zone = conf.get("core", "default_timezone", fallback="utc")
    known = None if zone.lower() == "system" else ZoneInfo("UTC" if zone.lower() == "utc" else zone)
    return f"{datetime.fromtimestamp(now, known):%Y-%m-%d}"
