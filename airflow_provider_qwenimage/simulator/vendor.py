"""Gateways, models and refusals of `vendor.toml` as frozen rows."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class GatewayRow:
    """How one gateway speaks; see the head of `vendor.toml`."""

    name: str
    kind: str
    accepts: tuple[str, ...]
    reply: str
    errors: str
    separators: str
    source: str
    edits: bool = False
    data_urls: bool = True
    provider_names: bool = False
    keeps: tuple[str, ...] | None = None
    keeps_flat: tuple[str, ...] | None = None


@dataclass(frozen=True)
class SizeRule:
    """Which sizes a model takes; fields that are None do not limit."""

    enum: tuple[str, ...] | None = None
    pixels: tuple[int, int] | None = None
    ratio: int | None = None
    sides: tuple[int, int] | None = None
    tiers: tuple[str, ...] = ()
    says: str | None = None


@dataclass(frozen=True)
class InputRule:
    """What input images may be: side in pixels, size in MB, aspect ratio."""

    sides: tuple[int, int]
    megabytes: int
    ratio: int | None = None


@dataclass(frozen=True)
class ModelRow:
    """What one model takes; see the head of `vendor.toml`."""

    names: tuple[str, ...]
    reply: str
    n: tuple[int, int, int]
    images: tuple[int, int]
    size: SizeRule = SizeRule()
    large: SizeRule | None = None
    edit_size: str = "taken"
    interleaved_size: SizeRule | None = None
    default_size: str | None = None
    sequential: tuple[int, int, int] | None = None
    interleave: tuple[int, int, int] | None = None
    interleaved_images: tuple[int, int] | None = None
    input: InputRule | None = None
    sync: bool = True
    job: str | None = None
    job_sync: bool = False
    thinking: bool = False
    agent: bool = False
    between: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """A no, before it takes the shape of a gateway.

    :param own: the gateway itself refuses, not its upstream.
    """

    status: int
    code: str
    message: str
    own: bool = False


class RefusedError(Exception):
    """The vendor would say no."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def _frozen(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def _model(row: dict[str, Any]) -> ModelRow:
    nested = {"size": SizeRule, "large": SizeRule, "interleaved_size": SizeRule, "input": InputRule}
    made = {key: kind(**_frozen(row[key])) for key, kind in nested.items() if key in row}
    return ModelRow(**{**_frozen(row), **made})


def changed(name: str, changes: dict[str, Any]) -> ModelRow:
    """The row of a model with some of its keys told anew.

    :raises ValueError: the model or a key is unknown.
    """
    if name not in _ROWS:
        raise ValueError(f"no row for {name}")
    try:
        return _model({**_ROWS[name], **changes})
    except TypeError as error:
        raise ValueError(str(error)) from None


_TABLE = tomllib.loads(files(__package__).joinpath("vendor.toml").read_text(encoding="utf-8"))
GATEWAYS = {name: GatewayRow(name=name, **_frozen(row)) for name, row in _TABLE["gateways"].items()}
_ROWS = {name: row for row in _TABLE["models"] for name in row["names"]}
MODELS = {name: model for model in map(_model, _TABLE["models"]) for name in model.names}


def refused(name: str, **facts: object) -> RefusedError:
    """The refusal called `name` in the vendor's words, filled with `facts`."""
    row = _TABLE["refusals"][name]
    return RefusedError(Refusal(**{**row, "message": row["message"].format(**facts)}))
