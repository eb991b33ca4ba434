"""An author's own names for an image, such as ``{"sku": "A-1"}``: flat and text, for they go into names of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
)

LABELS = "labels"  # the name of the metadata of an object that tells them
_MOST = 50  # labels of an image
_LONGEST_NAME, _LONGEST = 64, 4096  # characters
_UNSAFE = re.compile(r"[^\w.-]+")
_BROKEN = re.compile("[\0\ud800-\udfff]")


def _name(name: str) -> str:
    if not 0 < len(name) <= _LONGEST_NAME:
        raise ValueError(f"must have a name of 1 to {_LONGEST_NAME} characters")
    return _whole(name)


def _text(value: object) -> object:
    """Spell a number or a truth as JSON does: a label is text."""
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if not isinstance(value, str):
        kind = "an object" if isinstance(value, Mapping) else type(value).__name__
        raise ValueError(f"must be text, got {kind}")
    if len(value) > _LONGEST:
        raise ValueError(f"must have {_LONGEST} characters at most, got {len(value)}")
    return _whole(value)


def _whole(text: str) -> str:
    if _BROKEN.search(text):
        raise ValueError("holds a NUL or half a character, which no record can keep")
    return text


# Nothing here runs for an image without labels.
Labels = Annotated[
    dict[Annotated[str, AfterValidator(_name)], Annotated[str, BeforeValidator(_text)]],
    Field(max_length=_MOST),
]


def as_header(labels: Mapping[str, str]) -> str:
    """Spell labels as the metadata of an object: JSON in ASCII, which every server keeps as it is."""
    return json.dumps(labels, separators=(",", ":"))


def of_header(text: str | None) -> dict[str, str]:
    """Read what ``as_header`` spelled; what somebody else wrote there are no labels."""
    try:
        return _LABELS.validate_json(text or "{}")
    except ValidationError:
        return {}


class NameParts:
    """Labels as a file name may hold them: ``{labels[sku]}``; one that is not there is ``none``."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = labels

    def __getitem__(self, name: str | int) -> str:
        """Return a label without what an object's name should not hold; letters of any script stay."""
        return _UNSAFE.sub("-", self._labels.get(str(name), "")).strip("-.") or "none"


_LABELS: TypeAdapter[dict[str, str]] = TypeAdapter(Labels)


class Missing(BaseModel):
    """
    An image that is not there.

    :param labels: the author's own names for it; not in a dump where there are none.
    """

    labels: Labels = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _no_labels_are_not_told(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told: dict[str, Any] = dump(self)
        if not self.labels:
            told.pop("labels", None)
        return told
