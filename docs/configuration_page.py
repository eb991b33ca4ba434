"""Writes ``docs/reference/configuration.md``: the options and the connection's fields, from what Airflow reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_qwenimage.get_provider_info import get_provider_info
from docs.markdown import page, table

if TYPE_CHECKING:
    from collections.abc import Iterator

GENERATED = "<!-- Written by python -m docs.generate: edit get_provider_info.py instead. -->"
_OPTIONS = "The section `[qwenimage]` of `airflow.cfg`, or `AIRFLOW__QWENIMAGE__…` in the environment."
_FIELDS = "Extras of a connection of type `qwenimage`; how to fill it in: [the connection](../connection.md)."


def configuration_page() -> str:
    """Return the text of ``docs/reference/configuration.md``."""
    info = get_provider_info()
    sections = [
        [GENERATED, "# Configuration"],
        ["## Options", _OPTIONS, *table(("Option", "Default", "Since", "What it does"), _options(info))],
        ["## The connection's extras", _FIELDS, *table(("Extra", "Type", "What it means"), _fields(info))],
    ]
    return page(sections)


def _options(info: dict) -> Iterator[tuple[str, ...]]:  # type: ignore[type-arg]
    for name, option in info["config"]["qwenimage"]["options"].items():
        yield (
            f"`{name}`",
            f"`{option['default']}`" if option["default"] else "",
            option["version_added"],
            option["description"],
        )


def _fields(info: dict) -> Iterator[tuple[str, ...]]:  # type: ignore[type-arg]
    (connection,) = info["connection-types"]
    for name, field in connection["conn-fields"].items():
        yield f"`{name}`", field["schema"]["type"][0], field["description"]
