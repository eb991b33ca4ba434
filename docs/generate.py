"""
Writes the pages that come of data and sources: models, gateways, errors, configuration; a test compares them.

Run ``python -m docs.generate`` after changing a row or a message.
"""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.catalog import gateways
from airflow_provider_qwenimage.catalog.models import OPERATIONS, models, sources
from airflow_provider_qwenimage.catalog.prices import listed_prices
from airflow_provider_qwenimage.catalog.sizes import legal_sizes, resolve_size, squares
from airflow_provider_qwenimage.models.requests import Size
from docs.configuration_page import configuration_page
from docs.errors_page import errors_page
from docs.markdown import page, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_qwenimage.catalog import Gateway
    from airflow_provider_qwenimage.catalog.models import InputRule, Mode, Model, Parameter
    from airflow_provider_qwenimage.catalog.prices import ListedPrice

RATIOS = ("1:1", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16", "21:9")
_DOCS = Path(__file__).parent
_GENERATED = "<!-- Written by python -m docs.generate: edit {} instead. -->"


def models_page() -> str:
    """Return the text of ``docs/models.md``."""
    rows = list(models().values())
    sections = [
        [_GENERATED.format("models.toml"), "# Models", _MODELS_INTRO],
        ["## At a glance", *table(_GLANCE, map(_glance, rows))],
        ["## Operations", *table(_LIMITS, (cells for row in rows for cells in _limits(row)))],
        ["## What a ratio becomes", _RATIOS_INTRO, *table(_RATIO_HEAD, _ratio_rows(rows))],
        ["## Input images", *table(_INPUTS, map(_input, filter(_takes_images, rows)))],
        ["## Parameters", *table(_PARAMETERS, _parameter_rows(rows))],
        ["## Prices", _PRICES_INTRO, *table(_PRICES, map(_price, listed_prices()))],
        ["## Last verified", _VERIFIED_INTRO, *table(_VERIFIED, map(_verified, rows))],
        ["## Notes", *_model_notes(rows)],
        ["## Sources", *(f"* {key}: <{address}>" for key, address in sources().items())],
    ]
    return page(sections)


def gateways_page() -> str:
    """Return the text of ``docs/gateways.md``."""
    rows = list(gateways().values())
    sections = [
        [_GENERATED.format("gateways.toml"), "# Gateways", _GATEWAYS_INTRO],
        ["## At a glance", *table(_GATEWAY_HEAD, map(_gateway, rows))],
        *[[f"## `{row.name}`: {row.title}", *_gateway_details(row)] for row in rows],
    ]
    return page(sections)


def write(folder: Path = _DOCS) -> tuple[Path, ...]:
    """
    Write all of them.

    :return: where they are.
    """
    pages = {
        folder / "models.md": models_page(),
        folder / "gateways.md": gateways_page(),
        folder / "errors.md": errors_page(),
        folder / "reference" / "configuration.md": configuration_page(),
    }
    for path, text in pages.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tuple(pages)


_MODELS_INTRO = """What each model takes, and where that is known from. A request outside of it is refused
before it is sent where the vendor is known to refuse it. It warns where sources disagree, where only a third party
says so, and where the vendor changes something without a word; a model that is not here passes with a warning. With
`checks = "warn"` in the connection's extra everything is sent as it was asked, with warnings.

How sure a fact is: V the vendor's own page or package, M measured live by a third party, T a third party's word.
The names in the first column, further names of the same model, and `provider/name` are all understood, and always
sent as given.

Rates are per account and model, all keys together. A seed is 0 to 2147483647 for every model; result links live 24
hours."""
_RATIOS_INTRO = """`size="16:9"` becomes these pixels: the vendor's own where it prints some (**bold**), else
the largest pair of multiples of 16 within the rule, or within the model's default size class."""
_VERIFIED_INTRO = """When a row was last held against what the vendor's service itself says, and how. Anyone with a
DashScope connection can do it again, for nothing:

```bash
python -m airflow_provider_qwenimage.catalog.verify --conn-id qwenimage_default
```

It asks for something that each rule refuses and that nobody could serve besides (a size of 9999*9999, an input image
that does not exist); the refusal names the vendor's own bounds. What differs is printed as TOML to paste into
`models.toml`, and every row that agrees with its new date. `--model` asks about one row only."""
_PRICES_INTRO = """For one image, as published and before discounts; they change: see the date. Where a connection
names no price of its own, the list of its gateway's region and currency gives results a `cost`, which is an estimate:
`usage.estimate` names the list. A 1k image has at most 2250000 pixels. Gateways that resell have prices of their own:
they are not here."""
_GATEWAYS_INTRO = """Where requests can go. The connection's extra `gateway` names a row; its host, `request_format`
and `checks` override what stands here. How sure a row is: V the gateway's own page or package, M measured live, T a
third party's word."""

_GLANCE = ("Model", "Further names", "Operations", "Answers", "Rate", "Source, date")
_LIMITS = (
    "Model",
    "Operation",
    "Size",
    "Served all the same (warns)",
    "Size if omitted",
    "n (upstream default)",
    "Input images",
    "Prompt",
)
_RATIO_HEAD = ("Model", "Operation", *RATIOS)
_INPUTS = ("Model", "Formats", "Side, pixels", "Ratio", "File", "Note")
_PARAMETERS = ("Parameter", "Takes", "Works in", "Models", "Note")
_VERIFIED = ("Model", "On", "How")
_PRICES = ("Model", "Region", "Currency", "One image", "One input image", "Source, date")
_GATEWAY_HEAD = (
    "Gateway",
    "Base URL",
    "Request",
    "Size",
    "`data:` input images",
    "Inline results",
    "Jobs",
    "Links live",
    "Date",
)


def _modes(row: Model) -> Iterator[tuple[str, Mode]]:
    for operation in OPERATIONS:
        if mode := row.mode(operation):
            yield (f"{operation} ({mode.label})" if mode.label else operation), mode


def _glance(row: Model) -> Iterator[str]:
    yield f"`{row.name}`"
    yield ", ".join(f"`{name}`" for name in row.names)
    yield ", ".join(name for name, _ in _modes(row))
    yield _answers(row)
    yield _rate(row)
    yield f"{', '.join(row.source)}; {row.date.isoformat()}"


def _answers(row: Model) -> str:
    ways = ["at once"] if row.sync else []
    if row.jobs:
        ways.append(f"as a job ({row.jobs}{', preferred' if row.jobs_preferred else ''})")
    return " or ".join(ways)


def _verified(row: Model) -> Iterator[str]:
    yield f"`{row.name}`"
    yield row.verified.date.isoformat() if row.verified else ""
    yield row.verified.how if row.verified else f"not yet: its page was read as of {row.date.isoformat()}"


def _price(row: ListedPrice) -> Iterator[str]:
    price = row.price
    yield f"`{row.model}`"
    yield row.region
    yield row.currency
    each = f"{price.small:g} at 1k, {price.large:g} at 2k" if price.image is None else f"{price.image:g}"
    yield each if price.extended == 1 else f"{each}, with prompt_extend x{price.extended:g}"
    yield f"{price.input:g}" if price.input else ""
    yield f"{row.cited} ({row.sure})"


def _rate(row: Model) -> str:
    if row.rate is None:
        return ""
    jobs = f", {row.rate.concurrent} jobs at a time" if row.rate.concurrent else ""
    return f"{row.rate.requests} a {row.rate.per}{jobs}"


def _limits(row: Model) -> Iterator[tuple[str, ...]]:
    for name, mode in _modes(row):
        count = _span(mode.n) + f" ({mode.n_default})" + ("" if row.send_n else ", not sent")
        images = _span(mode.images) if mode.images[1] else ""
        prompt = f"{row.prompt.most} {row.prompt.unit}" if row.prompt else ""
        default = mode.size.default or ""
        yield f"`{row.name}`", name, legal_sizes(mode.size), _served(mode), default, count, images, prompt


def _served(mode: Mode) -> str:
    served = mode.size.served
    if served is None:
        return ""
    bounds = squares(served.pixels) if served.pixels else "every size"
    return f"{bounds} ({served.sure}, {served.cited})"


def _span(bounds: tuple[int, int]) -> str:
    return str(bounds[0]) if bounds[0] == bounds[1] else f"{bounds[0]} to {bounds[1]}"


def _ratio_rows(rows: Iterable[Model]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        for name, mode in _modes(row):
            if mode.size.rule != "input":
                yield f"`{row.name}`", name, *(_ratio(mode, ratio) for ratio in RATIOS)


def _ratio(mode: Mode, ratio: str) -> str:
    wanted = Size.parse(ratio)
    size = resolve_size(mode.size, wanted) if wanted else None
    if size is None:
        return ""
    return f"**{size.text()}**" if ratio in mode.size.ratios else size.text()


def _takes_images(row: Model) -> bool:
    return row.input is not None


def _input(row: Model) -> Iterator[str]:
    limits: InputRule | None = row.input
    if limits is None:
        return
    yield f"`{row.name}`"
    yield ", ".join(limits.formats)
    yield _span(limits.sides)
    yield f"1:{limits.limit} to {limits.limit}:1" if limits.limit else ""
    yield f"at most {limits.bytes >> 20} MiB"
    yield limits.note


def _parameter_rows(rows: list[Model]) -> Iterator[tuple[str, ...]]:
    takers: dict[str, list[str]] = {}
    known: dict[str, Parameter] = {}
    for row in rows:
        for parameter in row.parameters:
            key = parameter.model_dump_json()
            known[key] = parameter
            takers.setdefault(key, []).append(f"`{row.name}`")
    without = [f"`{row.name}`" for row in rows if not row.negative_prompt]
    unbounded = [f"`{row.name}`" for row in rows if row.negative_prompt == inf]
    note = f"An argument. No limit is stated for {', '.join(unbounded)}."
    yield "`negative_prompt`", "up to 500 characters", "", f"all but {', '.join(without)}", note
    for key, parameter in known.items():
        takes = ", ".join(parameter.choices) or _TAKES[parameter.kind].format(parameter)
        where = ", ".join(parameter.operations)
        yield f"`{parameter.name}`", takes, where, ", ".join(takers[key]), parameter.note


_TAKES = {
    "flag": "true or false",
    "integer": "{0.least} to {0.most}",
    "boxes": "lists of boxes",
    "palette": "{0.least} to {0.most} colours",
    "texts": "up to {0.most} texts",
    "object": "an object",
    "choice": "",
}


def _model_notes(rows: Iterable[Model]) -> Iterator[str]:
    sizes: dict[str, list[str]] = {}
    for row in rows:
        said = [row.note] if row.note else []
        if not row.refuses:
            said.append("Only third parties' word: its limits warn and do not refuse.")
        if said:
            yield f"* `{row.name}`: {' '.join(said)}"
        for name, mode in _modes(row):
            if mode.size.note:
                sizes.setdefault(mode.size.note, []).append(f"`{row.name}` {name}")
    for note, users in sizes.items():
        yield f"* Sizes of {', '.join(users)}: {note}"


def _gateway(row: Gateway) -> tuple[str, ...]:
    return (
        f"`{row.name}`",
        row.base_url or ("the workspace's host" if row.workspace_url else "the connection's host"),
        row.request_format,
        f"`1328{row.size_separator}1328`",
        "yes" if row.data_urls else "no, links only",
        "yes" if row.inline_images else "",
        "yes" if row.jobs else "",
        f"{row.url_lifetime:g} h",
        row.date.isoformat(),
    )


def _gateway_details(row: Gateway) -> Iterator[str]:
    yield f"* Generates at `{row.generations}`" + (
        f", edits at `{row.edits}` (multipart)." if row.edits else "."
    )
    yield f"* Test connection: `GET {row.check.path}`, which lists {row.check.lists}; never a billed call."
    if row.sse:
        yield "* Interleaved replies come as a stream (header `X-DashScope-SSE`)."
    elif row.stream:
        yield "* Interleaved output is asked for with `stream: true`."
    if row.prices:
        yield f"* Prices: the lists of {row.prices.region} in {row.prices.currency} ([models.md](models.md#prices))."
    if row.workspace_url:
        yield f"* A workspace id as the connection's host leads to `{row.workspace_url}`."
    if row.checks == "warn":
        yield "* Checks only warn: its limits are its own."
    if row.note:
        yield f"* {row.note}"
    yield f"* Source: {row.source}, {row.date.isoformat()} ({row.sure})."


if __name__ == "__main__":
    write()
