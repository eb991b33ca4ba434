"""Vendor facts as data: which gateway speaks which shape, which model takes which request."""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from airflow_provider_qwenimage.exceptions import InvalidRequest

RequestFormat = Literal["native", "flat"]
Checks = Literal["strict", "warn"]
# How sure a fact is: the vendor's own page or package, measured live by a third party, a third party's word.
Sure = Literal["V", "M", "T"]


class Check(BaseModel):
    """The GET that proves a key without a billed call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    lists: Literal["models", "tasks"]


class PriceList(BaseModel):
    """Which lists of ``prices.toml`` hold for a gateway."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: str
    currency: str


class Gateway(BaseModel):
    """One row of ``gateways.toml``; the fields are explained at its head."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    base_url: str | None = None
    workspace_url: str | None = None
    generations: str
    edits: str | None = None
    request_format: RequestFormat
    size_separator: Literal["*", "x"]
    url_lifetime: float
    inline_images: bool = False
    answers_inline: bool = False
    serves_images: bool = False
    reads: tuple[str, ...] = ()
    data_urls: bool = True
    jobs: bool = False
    idempotency_header: str | None = None
    stream: bool = False
    sse: bool = False
    checks: Checks = "strict"
    check: Check
    prices: PriceList | None = None
    rates: bool = False
    sure: Sure = "V"
    source: str
    date: date
    note: Annotated[str, BeforeValidator(str.strip)] = ""


def read(name: str) -> dict[str, Any]:
    """Return the tables of one of this package's TOML files."""
    return tomllib.loads(files(__name__).joinpath(name).read_text(encoding="utf-8"))


@cache
def gateways() -> dict[str, Gateway]:
    """Return every gateway by name, in the order of the file."""
    return {name: Gateway(name=name, **row) for name, row in read("gateways.toml").items()}


def gateway(name: str) -> Gateway:
    """
    Return the row of a gateway.

    :raises InvalidRequest: the name is unknown; the message lists the known ones.
    """
    try:
        return gateways()[name]
    except KeyError:
        raise InvalidRequest("gateway", f"{name!r} is not known; known are {', '.join(gateways())}") from None
