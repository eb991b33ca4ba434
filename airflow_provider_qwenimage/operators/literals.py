"""
What can be known to be wrong while a Dag is parsed: a value that its author typed, and no template.

The rules are those of the run, and they lie where they lie for it: in the field types of the models, in
``split_prefix`` and ``Filename``. Left alone are templates, XComArgs, and what a mapped task gets only when it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.defaults import FILENAME
from airflow_provider_qwenimage.exceptions import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

_TEMPLATES = ("{{", "{%", "{#")
# Not one value but many, which are checked together when the task runs.
_WHOLES = ("parameters", "labels", "extra_args", "images", "boxes")


def refuse_mistakes(arguments: Mapping[str, Any], *models: type[BaseModel]) -> None:
    """
    Check what was typed against the fields of models that the task will build of it.

    :param arguments: of an operator, by name; further ones are passed over.
    :raises InvalidRequest: naming the argument, the rule it breaks and the task.
    """
    from airflow_provider_qwenimage.models.coercion import check_field

    try:
        for kind in models:
            for name, field in kind.model_fields.items():
                value = arguments.get(name)
                is_default = type(value) is type(field.default) and value == field.default
                if name not in _WHOLES and not is_default and _is_literal(value):
                    _check_place(name, check_field(kind, name, value))
    except InvalidRequest as error:
        where = f"Correct it in the task {arguments.get('task_id')!r}."
        raise InvalidRequest(error.field, error.rule, advice=f"{error.advice} {where}".strip()) from None


def _is_literal(value: object) -> bool:
    if isinstance(value, str):
        return not any(sign in value for sign in _TEMPLATES)
    if isinstance(value, (list, tuple)):
        return all(map(_is_literal, value))
    return isinstance(value, (int, float))


def _check_place(name: str, value: Any) -> None:
    if name in ("persist_to", "s3_prefix") and value is not None:
        from airflow_provider_qwenimage.wire.links import split_prefix

        split_prefix(value, field=name)
    elif name == "filename" and value != FILENAME:
        from airflow_provider_qwenimage.storage.objects import Filename

        Filename(value)
