"""What becomes of the columns of a row that are no fields of a request: words of its prompt, and labels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.options import template_parts
from airflow_provider_qwenimage.models.requests import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_qwenimage.batch.items import Row
    from airflow_provider_qwenimage.models.options import BatchOptions

FIELDS = frozenset({"operation"}.union(*(kind.model_fields for kind in KINDS.values())))


class Columns:
    """
    Fills prompts and labels from the further columns of rows.

    :param prompt_template: the prompt of a row that has none: ``Studio photo of {name} in {colour}``.
    :param as_labels: every further column is a label of the row; else one that the template does not name is left in
        it, where the request refuses it.
    """

    def __init__(self, *, prompt_template: str | None, as_labels: bool) -> None:
        self._parts = template_parts(prompt_template) if prompt_template else ()
        self._named = tuple(dict.fromkeys(name for _, name in self._parts if name is not None))
        self._as_labels = as_labels

    @classmethod
    def of(cls, options: BatchOptions) -> Columns:
        """Return what the arguments of a batch ask for."""
        return cls(prompt_template=options.prompt_template, as_labels=options.extra_columns == "labels")

    def filled(self, rows: Iterable[Row]) -> Iterator[Row]:
        """
        Yield the rows as requests without further columns; a row that cannot be filled is its error.

        :raises InvalidRequest: at the end, where the template names a column that no row has.
        """
        lacking: Counter[str] = Counter()
        count, first = 0, ""
        for where, row in rows:
            if isinstance(row, InvalidRequest):
                yield where, row
                continue
            said = {str(name): value for name, value in row.items() if value is not None}
            if needed := self._needed(said):
                count, first = count + 1, first or f"{where} has {', '.join(said) or 'nothing'}"
                lacking.update(name for name in needed if name not in said)
            try:
                yield where, self._filled(said)
            except InvalidRequest as error:
                yield where, error
        if nowhere := [f"{{{name}}}" for name in self._named if count and lacking[name] == count]:
            rule = f"names {', '.join(nowhere)}, a column that no row has; {first}"
            raise InvalidRequest("prompt_template", rule)

    def _needed(self, said: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the columns that the prompt of a row is made of; none where it has one."""
        return () if said.get("prompt") else self._named

    def _filled(self, said: dict[str, Any]) -> dict[str, Any]:
        needed = self._needed(said)
        further = {name: value for name, value in said.items() if name not in FIELDS}
        filled = {name: value for name, value in said.items() if name in FIELDS or not self._takes(name)}
        if needed:
            filled["prompt"] = "".join(
                before + ("" if name is None else _word(name, said)) for before, name in self._parts
            )
        if self._as_labels and further:
            filled["labels"] = _with(further, said.get("labels"))
        return filled

    def _takes(self, name: str) -> bool:
        return self._as_labels or name in self._named


def _word(name: str, said: Mapping[str, Any]) -> str:
    """Return what a row says for a column of the template."""
    value = said.get(name)
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    rule = (
        f"must be text, got {type(value).__name__}"
        if value
        else "is named by prompt_template and is not there"
    )
    raise InvalidRequest(name, rule)


def _with(further: Mapping[str, Any], given: Any) -> Any:
    """Return further columns as labels, the row's own on top; what is no label is left for the request to refuse."""
    try:
        own = json.loads(given) if isinstance(given, str) and given.strip() else given or {}
    except ValueError:
        return given
    return {**further, **own} if isinstance(own, Mapping) else given
