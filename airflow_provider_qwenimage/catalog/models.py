"""The rows of ``models.toml``: what each model takes, as frozen values."""

from __future__ import annotations

from datetime import date as Date  # noqa: N812 - the rows have a field named date
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from airflow_provider_qwenimage.catalog import Sure, read
from airflow_provider_qwenimage.models.requests import Operation

Pixels = tuple[int, int]
Range = tuple[int, int]
JobEndpoint = Literal["text2image", "image2image", "image-generation"]
Note = Annotated[str, BeforeValidator(str.strip)]

MAKING: tuple[Operation, ...] = ("generate", "edit", "sequence")
OPERATIONS: tuple[Operation, ...] = (*MAKING, "translate")


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Known(_Row):
    sure: Sure = "V"

    @property
    def refuses(self) -> bool:
        """Whether a request outside of it is refused; a third party's word alone warns."""
        return self.sure != "T"


class _Fact(_Known):
    """What may be known from elsewhere than the rest of its row."""

    source: str | None = None
    date: Date | None = None

    @property
    def cited(self) -> str:
        """Its own source and date, as messages quote them; nothing where they are the row's."""
        return f"{self.source}, {self.date.isoformat()}" if self.source and self.date else ""


class Served(_Fact):
    """
    Sizes that were served although the rule says otherwise: they warn.

    :param pixels: the least and the largest product; ``None`` for every size.
    """

    pixels: Range | None = None
    sure: Sure
    source: str
    date: Date


class SizeRule(_Fact):
    """Which sizes one operation of a model takes; the fields are explained in ``models.toml``."""

    name: str = ""
    rule: Literal["listed", "sides", "pixels", "input"]
    default: str | None = None
    sides: Range = (0, 0)
    pixels: Range = (0, 0)
    limit: int | None = None
    multiple: int | None = None
    ratios: dict[str, Pixels] = Field(default_factory=dict)
    also: tuple[Pixels, ...] = ()
    served: Served | None = None
    ratio_pixels: int | None = None
    tiers: dict[str, str] = Field(default_factory=dict)
    note: Note = ""

    @property
    def listed(self) -> tuple[Pixels, ...]:
        """The sizes the vendor prints; they pass whatever the rule says."""
        return (*self.ratios.values(), *self.also)


class InputRule(_Fact):
    """What an input image may be: its format, the pixels of a side, the bytes of the file, its ratio."""

    name: str = ""
    formats: tuple[str, ...]
    sides: Range
    bytes: int
    limit: int | None = None
    note: Note = ""


class Parameter(_Fact):
    """A vendor parameter: what it takes, and where it works."""

    name: str
    kind: Literal["flag", "integer", "choice", "boxes", "palette", "texts", "object"]
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = 0
    operations: tuple[Operation, ...] = MAKING
    only: dict[str, tuple[Operation, ...]] = Field(default_factory=dict)
    refused: bool = False
    needs: str | None = None
    note: Note = ""

    def works_in(self, value: object) -> tuple[Operation, ...]:
        """Return the operations in which the parameter has an effect with this value."""
        return self.only.get(value, self.operations) if isinstance(value, str) else self.operations


class Mode(_Row):
    """One operation of a model: its sizes, counts and input images, and the parameters that turn it on."""

    size: SizeRule
    n: Range
    n_default: int
    images: Range = (0, 0)
    switch: str | None = None
    count: str = "n"
    stream: bool = False
    label: str | None = None
    between: tuple[str, ...] = ()


class PromptLimit(_Fact):
    """Where a prompt is cut."""

    most: int
    unit: Literal["characters", "tokens"]


class Rate(_Row):
    """How many requests one account may submit, and how many jobs it may have at a time."""

    requests: int
    per: Literal["second", "minute"]
    concurrent: int | None = None
    sure: Sure = "V"


class Verified(_Row):
    """When a row was last held against what a gateway says, and how."""

    date: Date
    how: Note


class Model(_Known):
    """One row of ``models.toml``; the fields are explained at its head."""

    name: str
    names: tuple[str, ...] = ()
    generate: Mode | None = None
    edit: Mode | None = None
    sequence: Mode | None = None
    translate: Mode | None = None
    prompt: PromptLimit | None = None
    negative_prompt: float = 500
    parameters: tuple[Parameter, ...] = ()
    input: InputRule | None = None
    links_only: bool = False
    send_n: bool = True
    sync: bool = True
    jobs: JobEndpoint | None = None
    jobs_preferred: bool = False
    rate: Rate | None = None
    source: tuple[str, ...] = Field(min_length=1)
    date: Date
    verified: Verified | None = None
    note: Note = ""

    def mode(self, operation: Operation) -> Mode | None:
        """Return how the model does ``operation``, ``None`` where it does not."""
        modes: dict[Operation, Mode | None] = {
            "generate": self.generate,
            "edit": self.edit,
            "sequence": self.sequence,
            "translate": self.translate,
        }
        return modes[operation]

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What the model can do."""
        return tuple(operation for operation in OPERATIONS if self.mode(operation))

    @property
    def cited(self) -> str:
        """The row's source and date, as messages quote it."""
        return f"{self.source[0]}, {self.date.isoformat()}"

    def parameter(self, name: str) -> Parameter | None:
        """Return what the row says about a parameter, ``None`` where it says nothing."""
        return next((known for known in self.parameters if known.name == name), None)


def _resolve(row: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """Put what a row calls by name in its place."""
    resolved = dict(row)
    for operation in OPERATIONS:
        if operation in row:
            name = row[operation]["size"]
            resolved[operation] = {**row[operation], "size": {"name": name, **shared["sizes"][name]}}
    if "input" in row:
        resolved["input"] = {"name": row["input"], **shared["inputs"][row["input"]]}
    resolved["parameters"] = [{"name": key, **shared["parameters"][key]} for key in row.get("parameters", ())]
    return resolved


@cache
def models() -> dict[str, Model]:
    """Return every model by its name, in the order of the file."""
    tables = read("models.toml")
    return {name: Model(name=name, **_resolve(row, tables)) for name, row in tables["models"].items()}


@cache
def sources() -> dict[str, str]:
    """Return the address behind every source the rows cite."""
    return dict(read("models.toml")["sources"])


@cache
def _by_name() -> dict[str, Model]:
    return {name: row for row in models().values() for name in (row.name, *row.names)}


def model(name: str) -> Model | None:
    """
    Return the row of a model, ``None`` where the catalogue has none.

    :param name: its name, a dated name, another region's name, or ``provider/name``.
    """
    return _by_name().get(name.strip().rpartition("/")[2])
