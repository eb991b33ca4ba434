"""What images cost: one function, asked before a request is sent and again when its images have come."""

from __future__ import annotations

import math
import re
from datetime import date as Date  # noqa: N812 - the lists have a field named date
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError, model_validator

from airflow_provider_qwenimage.catalog import Sure, read
from airflow_provider_qwenimage.catalog.models import model
from airflow_provider_qwenimage.models.requests import Size

if TYPE_CHECKING:
    from airflow_provider_qwenimage.catalog import PriceList
    from airflow_provider_qwenimage.models.requests import Asked
    from airflow_provider_qwenimage.models.results import Generation

# usage.output_image_type, such as "qima_output_2k" (A-t2i30, 2026-10-12)
_BILLED_AS = re.compile(r"_(\dk)$", re.IGNORECASE | re.ASCII)
_SUCH_AS = 'must be a number, or tiers such as {"1k": 0.25, "2k": 0.5, "input": 0.02}'


class Price(BaseModel):
    """
    What a model costs; the fields are explained in ``prices.toml``.

    :param image: one image whatever its size; else ``small`` up to the area of a 1k image, and ``large`` above.
    :param input: one input image.
    :param extended: the factor with ``prompt_extend``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    image: NonNegativeFloat | None = None
    small: NonNegativeFloat | None = Field(default=None, alias="1k")
    large: NonNegativeFloat | None = Field(default=None, alias="2k")
    input: NonNegativeFloat = 0
    extended: NonNegativeFloat = 1

    @model_validator(mode="before")
    @classmethod
    def _number_is_an_image(cls, value: Any) -> Any:
        return value if isinstance(value, (dict, cls)) else {"image": value}

    @model_validator(mode="after")
    def _one_or_two_tiers(self) -> Price:
        if (self.image is None) == (self.small is None) or (self.small is None) != (self.large is None):
            raise ValueError(_SUCH_AS)
        return self

    def cost(self, asked: Asked, came: Generation | None = None) -> float:
        """
        Return what a request costs.

        :param asked: what it asks for; an image whose size nobody says is charged as a large one.
        :param came: what it brought, where the gateway tells also what it bills it as; ``None`` before it is sent:
            as much as it may cost then.
        """
        sizes, inputs = [asked.size] * asked.n, asked.inputs
        if came is not None:
            usage, count = came.usage, came.usage.image_count
            billed = _BILLED_AS.search(usage.output_image_type or "")
            sizes = [billed[1] if billed else image.size for image in came.images] or [asked.size]
            sizes = [*sizes, *sizes[-1:] * (count or 0)][: len(came.images) if count is None else count]
            inputs = asked.inputs if usage.input_image_count is None else usage.input_image_count
        images = sum(map(self._one, sizes)) * (self.extended if asked.extended else 1)
        return round(images + self.input * inputs, 6)

    def _one(self, size: str | None) -> float:
        if self.image is not None:
            return self.image
        price = self.small if _is_small(size) else self.large
        assert price is not None
        return price


class ListedPrice(BaseModel):
    """A price of a list: of whom, where, since when and how sure."""

    model_config = ConfigDict(frozen=True)

    model: str
    region: str
    currency: str
    price: Price
    sure: Sure = "V"
    source: str
    date: Date

    @property
    def cited(self) -> str:
        """Source and date, as messages quote them."""
        return f"{self.source}, {self.date.isoformat()}"


def price_of(value: object) -> Price:
    """
    Read a price as a connection gives it: a number or tiers.

    :raises ValueError: it is neither; the message says how a price looks.
    """
    try:
        return Price.model_validate(value)
    except ValidationError:
        raise ValueError(_SUCH_AS) from None


@cache
def listed_prices() -> tuple[ListedPrice, ...]:
    """Return every price of every list, in the order of the file."""
    return tuple(
        ListedPrice(model=name, price=price, **{key: row[key] for key in row if key != "prices"})
        for row in read("prices.toml")["lists"]
        for name, price in row["prices"].items()
    )


def listed_price(name: str, prices: PriceList | None, *, currency: str | None = None) -> ListedPrice | None:
    """
    Return the newest price of a model, ``None`` where no list has one.

    :param name: as in a request, ``provider/name`` included.
    :param prices: the lists that hold for a gateway; ``None`` for one that has prices of its own.
    :param currency: instead of the gateway's.
    """
    row = model(name)
    if row is None or prices is None:
        return None
    wanted = (row.name, prices.region, currency or prices.currency)
    found = [one for one in listed_prices() if (one.model, one.region, one.currency) == wanted]
    return max(found, key=lambda one: one.date, default=None)


def _is_small(text: str | None) -> bool:
    try:
        size = Size.parse(text)
    except ValueError:  # "auto", or what a gateway calls its sizes
        return False
    if size and size.pixels:
        return math.prod(size.pixels) <= _largest_small()
    return size is not None and size.tier == "1K"


@cache
def _largest_small() -> int:
    return int(read("prices.toml")["area"]["1k"])
