"""Takes what templates, URIs and XComs make of a value: text for numbers, lists and nothing at all."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, NoReturn, TypeGuard, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
)

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.redaction import redact

UNSET = ("", "none")  # what Jinja makes of a value that is not there, in lower case
# What a header may be called (RFC 9110), and what is ours to say.
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_OUR_HEADERS = tuple(
    "authorization host cookie connection accept content- transfer- x-dashscope-".split()  # noqa: SIM905
)
_NO_PROMPTS = ("none", "null", "nan")  # what Python, JSON and tables make of one


def _blank_is_none(value: object) -> object:
    return None if isinstance(value, str) and value.strip().lower() in UNSET else value


def _rendered_none_is_none(value: object) -> object:
    """Keep an empty text: it is sent as it is."""
    return None if isinstance(value, str) and value.strip() == "None" else value


def _empty_is_none(value: object) -> object:
    return None if isinstance(value, (list, tuple)) and not value else value


def _whole_number(value: object) -> object:
    """Take ``2``, ``2.0`` and ``"2"``; refuse ``True``, ``10.5`` and ``"two"`` in words an author understands."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, bool) or not isinstance(value, (float, str)):
        _no_whole_number(value)
    try:
        number = float(value)
    except ValueError:
        _no_whole_number(value)
    return int(number) if number.is_integer() else _no_whole_number(value)


def _no_whole_number(value: object) -> NoReturn:
    raise ValueError(f"must be a whole number, got {value!r}")


def _several(value: object) -> object:
    """Take one image for a list of one, the list that a template rendered to text, the lists of mapped tasks."""
    if value is None or _blank_is_none(value) is None:
        return ()
    if isinstance(value, str) and value.lstrip().startswith("["):
        return _several(literal(value))
    if _is_list(value):
        return tuple(_leaves(value))
    return (_url(value),) if isinstance(value, (str, Mapping)) else value


def _leaves(items: Iterable[object]) -> Iterator[object]:
    for item in items:
        if _is_list(item):
            yield from _leaves(item)
        else:
            yield _url(item)


def _url(item: object) -> object:
    """Take an image object of the XCom key ``images`` or ``stored`` for its URL."""
    if isinstance(item, Mapping):
        return item.get("uri") or item.get("url")
    return item.strip() if isinstance(item, str) else item


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def literal(value: object) -> object:
    """Read what a template rendered to text: JSON, or Python's own spelling of an XCom."""
    if not isinstance(value, str):
        return value
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    raise ValueError(f"must be a list or an object, got {value[:80]!r}")


def object_such_as(example: str) -> BeforeValidator:
    """Return the validator that takes an object, or its JSON as a form or a template gives it."""

    def parse(value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError(f"must be a JSON object such as {example}") from None

    return BeforeValidator(parse)


def _prefix(value: Any) -> Any:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(
            "must be s3://bucket/path/ (gs, abfs, file): a batch keeps its images and its journal there"
        )
    return value.strip()


def _prompt(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    if value.strip().lower() in _NO_PROMPTS:
        raise ValueError(
            f"must say what the image shows, got {value.strip()!r}: the word for a value that is missing"
        )
    return value


def refuse_unrendered(prompt: str) -> None:
    """Refuse a prompt that still holds a template, where Airflow renders prompts or nobody would have."""
    if "{{" in prompt:
        raise InvalidRequest(
            "prompt",
            f"holds {{{{, a template that was not rendered: {redact(prompt, limit=80)!r}",
            advice="Text that is to be sent as it is can be returned by a @task.qwen_image function.",
        )


def _zulu(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


WholeNumber = BeforeValidator(_whole_number)
BlankIsNone = BeforeValidator(_blank_is_none)
RenderedNoneIsNone = BeforeValidator(_rendered_none_is_none)

Prompt = Annotated[str, AfterValidator(_prompt)]
Prefix = Annotated[str, BeforeValidator(_prefix)]  # of a batch
Images = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_several)]
Box = Annotated[tuple[int, ...], Field(min_length=4, max_length=4)]
Boxes = Annotated[
    tuple[tuple[Box, ...], ...] | None, BeforeValidator(_empty_is_none), BeforeValidator(literal), BlankIsNone
]
Count = Annotated[int, WholeNumber, Field(ge=1)]
# 0..2147483647 on every model (A-t2i, A-w26, A-w27, 2026-02)
Seed = Annotated[Annotated[int, Field(ge=0, le=2147483647)] | None, WholeNumber, BlankIsNone]
Moment = Annotated[datetime, PlainSerializer(_zulu, return_type=str, when_used="json")]

_Model = TypeVar("_Model", bound=BaseModel)

# What pydantic says of types and bounds, in an author's words.
_WORDS = {
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "too_short": "must hold at least {min_length}",
    "too_long": "must hold at most {max_length}",
    "missing": "is required",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
}


def build(kind: type[_Model], **fields: Any) -> _Model:
    """
    Build a model from what an author typed.

    :raises InvalidRequest: naming the first field that breaks a rule, and the rule.
    """
    try:
        return kind(**fields)
    except ValidationError as error:
        raise InvalidRequest(*_complaint(error, kind)) from None


def check_field(kind: type[BaseModel], name: str, value: object) -> object:
    """
    Return what a model would make of the value of one field, without building the model.

    :raises InvalidRequest: naming the field and the rule it breaks.
    """
    try:
        return _adapter(kind, name).validate_python(value)
    except ValidationError as error:
        raise InvalidRequest(name, _rule(error)) from None


@cache
def _adapter(kind: type[BaseModel], name: str) -> TypeAdapter[Any]:
    field = kind.model_fields[name]
    typed: Any = field.annotation
    return TypeAdapter(Annotated[typed, *field.metadata] if field.metadata else typed)


def _complaint(error: ValidationError, kind: type[BaseModel]) -> tuple[str, str]:
    """Put the first thing that is wrong in words: the field, and the rule it breaks."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part)[:80] for part in first["loc"]) or "request"
    if first["type"] == "extra_forbidden":
        unknown = [
            ".".join(map(str, each["loc"]))
            for each in error.errors(include_url=False)
            if each["type"] == first["type"]
        ]
        verb = "is" if len(unknown) == 1 else "are"
        named = redact(", ".join(unknown), limit=200)
        return named, f"{verb} not known; known are {', '.join(kind.model_fields)}"
    rule = _rule(error)
    if field == "request" and ": " in rule:
        field, _, rule = rule.partition(": ")
    return field, rule


def _rule(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    rule = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "value_error":
        return rule
    words = _WORDS.get(first["type"], f"{rule[:1].lower()}{rule[1:]}").format(**first.get("ctx", {}))
    return f"{words}, got {redact(repr(first['input']), limit=80)}"


def _header(value: str) -> str:
    if not _HEADER.fullmatch(value) or value.lower().startswith(_OUR_HEADERS):
        raise ValueError(f"must be the name of a header for idempotency keys, got {value[:80]!r}")
    return value


HeaderName = Annotated[str, AfterValidator(_header)]
