"""What a connection says an account may do and spend, and what is known of it where the connection is silent."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from airflow_provider_qwenimage.catalog.models import model as row_of
from airflow_provider_qwenimage.models.coercion import BlankIsNone, Count

# A vendor may count by the second or by the minute, from any moment on: requests that leave exactly as fast as it
# allows arrive, now and then, one too many within its second.
_MARGIN = 0.11  # of a second


def _no_switch(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, got {value}")
    return value


_Number = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_no_switch)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(_no_switch)]


class Limit(BaseModel):
    """
    What may be asked of a gateway.

    :param requests_per_minute: submissions; they leave evenly.
    :param concurrency: requests and jobs under way at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: Annotated[_Number | None, BlankIsNone] = None
    concurrency: Annotated[Count | None, BlankIsNone] = None

    @property
    def gap(self) -> float:
        """Seconds from one request to the next, 0 where nothing bounds them."""
        return spaced(60.0 / self.requests_per_minute) if self.requests_per_minute else 0.0


class Limits(Limit):
    """
    The extra ``limits``: of the account, and in addition of single models.

    :param polls_per_second: of all jobs together; the configuration's where omitted.
    :param models: by name, with or without its provider prefix.
    """

    polls_per_second: Annotated[_Number | None, BlankIsNone] = None
    models: dict[str, Limit] = Field(default_factory=dict)

    def of(self, model: str) -> Limit:
        """Return what holds for one model beside the account's own."""
        return self.models.get(model, self.models.get(model.rpartition("/")[2], _NONE))


class Budget(BaseModel):
    """
    The extra ``budget``, in the currency of ``price_per_image``.

    :param per_day: the account's, from midnight to midnight in ``[core] default_timezone``.
    :param per_run: of one Dag run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_day: Annotated[_Amount | None, BlankIsNone] = None
    per_run: Annotated[_Amount | None, BlankIsNone] = None


class Allowed(NamedTuple):
    """The bounds of one request: of its account, and of its model."""

    account: Limit
    model: Limit

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """As a store takes them: seconds between requests, and requests at once; 0 for none."""
        gaps = (self.account.gap, self.model.gap)
        return {"gaps": gaps, "caps": (self.account.concurrency or 0, self.model.concurrency or 0)}


_NONE = Limit()


def spaced(gap: float) -> float:
    """Return the seconds between requests that keep a limit of one in ``gap`` seconds, however it is counted."""
    return gap + _MARGIN * min(gap, 1.0)


def allowed(limits: Limits | None, model: str, *, is_job: bool) -> Allowed:
    """Return what bounds a request: the connection's limits, else the catalogue's row."""
    if limits is not None:
        return Allowed(limits, limits.of(model))
    row = row_of(model)
    if row is None or row.rate is None or row.rate.sure == "T":
        return Allowed(_NONE, _NONE)
    rate = row.rate
    per_minute = rate.requests * (60.0 if rate.per == "second" else 1.0)
    # What the vendor bounds are jobs; what it answers at once it counts by the rate alone (A-rate).
    at_once = rate.concurrent if is_job else None
    return Allowed(_NONE, Limit(requests_per_minute=per_minute, concurrency=at_once))
