"""Writes ``docs/errors.md``: every error with what it says and what to do, each under its own name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from docs.markdown import page, table
from docs.said import kinds, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.exceptions import QwenImageError

GENERATED = "<!-- Written by python -m docs.generate: edit docs/errors_page.py or the messages instead. -->"
_INTRO = """The last line of a failed task's log says what happened, what it cost and what to do, and ends with a link
to its place on this page. `…` stands for what only your task knows: a field, a number, the gateway's own words. How
errors hang together and what is tried again: [errors and retries](errors-and-retries.md)."""
_BILLED = {
    "no": "Nothing was billed.",
    "maybe": "**Images may have been billed**: look at the gateway's usage log before you clear the task.",
    "yes": "The images are paid for; nothing is bought again.",
}
_FINAL = "Airflow does not try again: the same request meets the same. Clear the task when the cause is gone."
_AGAIN = "Airflow tries again where the task has `retries` left."
_UNKNOWN = "`on_unknown_outcome` decides what a retry does; by default it sends nothing."
# What is final by its record or its set, and not by its class; and what is said without an advice.
_THEN = {
    "ImageUnmarked": _FINAL,
    "JobFailed": "Airflow's retry submits a new job; failed jobs are not billed.",
}
_SHORT = {
    "NoConnection": (
        "there is no connection …",
        "Create it in Airflow, or name another one; then clear the task.",
    ),
    "NotAnImage": (
        "The bytes …, The data URL …",
        "Look at what the link leads to: a page of an error, half a file. A retry fetches it again and buys nothing.",
    ),
}
_HEAD = ("It says", "Do")


def errors_page() -> str:
    """Return the text of ``docs/errors.md``."""
    sections = [[GENERATED, "# What it says and what to do", _INTRO], *map(_section, kinds())]
    return page(sections)


def _section(kind: type[QwenImageError]) -> list[str]:
    name = kind.__name__
    doc = inspect.getdoc(kind) or ""
    blocks = [f"## {name}", doc.partition("\n\n")[0].replace("\n", " ").replace("``", "`"), _cost(kind)]
    rows = [(each.what, each.advice) for each in said() if each.error == name]
    rows += [_SHORT[name]] if name in _SHORT else []
    return [*blocks, *(table(_HEAD, map(_cells, rows)) if rows else _below(kind))]


def _cost(kind: type[QwenImageError]) -> str:
    then = _FINAL if kind.final else _UNKNOWN if kind.default_billing == "maybe" else _AGAIN
    return f"{_BILLED[kind.default_billing]} {_THEN.get(kind.__name__, then)}"


def _below(kind: type[QwenImageError]) -> Iterator[str]:
    """Name the errors of a kind that is only said as one of them."""
    names = [f"[{each.__name__}](#{each.__name__.lower()})" for each in kinds(kind)]
    if names:
        yield f"It is one of {', '.join(names)}."


def _cells(row: tuple[str, str]) -> Iterator[str]:
    for cell in row:
        yield " ".join(cell.split()).replace("<", "&lt;").replace("*", "\\*").replace("[", "\\[")
