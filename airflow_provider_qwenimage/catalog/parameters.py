"""Vendor parameters: what a row says of those of a request, and what each kind of them takes."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.catalog.findings import Finding
from airflow_provider_qwenimage.models.requests import EditRequest, SequenceRequest
from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_qwenimage.catalog.models import Parameter
    from airflow_provider_qwenimage.catalog.rules import Case


_HEX = re.compile(r"#?[0-9a-fA-F]{6}")
_WHOLE = Decimal(100)
_CORNERS = 4
# Arguments an author may also write into `parameters`; the request model has seen to it that it is not both.
_ARGUMENTS = frozenset({"n", "size", "seed", "negative_prompt"})


def parameter_findings(case: Case) -> Iterator[Finding]:
    """Say what is wrong with the parameters of a request, its boxes among them."""
    yield from _named(case)
    yield from _switches(case)
    yield from _boxes(case)


def _named(case: Case) -> Iterator[Finding]:
    for name, value in case.request.parameters.items():
        if name not in _ARGUMENTS:
            yield from _parameter(case, name, value)


def _parameter(case: Case, name: str, value: object) -> Iterator[Finding]:
    field = f"parameters.{name}"
    known = case.row.parameter(name)
    if known is None:
        yield Finding(field, "is not known and sent as it is", refused=False)
    elif wrong := complaint(known, value, images=len(case.images)):
        yield Finding(field, wrong, refused=known.refuses, cited=known.cited)
    elif value is False:
        return
    elif case.operation not in known.works_in(value):
        where = " and ".join(known.works_in(value))
        words, refused = f"works only in {where}, not in {case.operation}", known.refused and known.refuses
        yield Finding(field, words, refused=refused, cited=known.cited)
    elif known.needs and case.request.parameters.get(known.needs) is False:
        yield Finding(field, f"needs {known.needs}, which is false", refused=known.refuses, cited=known.cited)


def _switches(case: Case) -> Iterator[Finding]:
    """See that ``parameters`` does not undo what the operation is."""
    mode, given = case.mode, case.request.parameters
    if not isinstance(case.request, SequenceRequest):
        return
    if mode.switch in given and given[mode.switch] is not True:
        yield Finding(f"parameters.{mode.switch}", "is what makes a sequence", advice="Use generate or edit.")
    if mode.count in given:
        yield Finding(f"parameters.{mode.count}", "is said twice, n holds the count")


def _boxes(case: Case) -> Iterator[Finding]:
    boxes = case.request.boxes if isinstance(case.request, EditRequest) else None
    if boxes is None:
        return
    known = case.row.parameter("bbox_list")
    if known is None:
        advice = "Name the place in the prompt; parameters={'bbox_list': …} sends them anyway."
        yield Finding("boxes", "are not supported", advice=advice)
    elif wrong := complaint(known, boxes, images=len(case.images)):
        yield Finding("boxes", wrong)


def complaint(parameter: Parameter, value: object, *, images: int) -> str | None:
    """
    Say what is wrong with a parameter's value, ``None`` for nothing.

    :param images: how many input images the request has.
    """
    wrong = _KINDS[parameter.kind](parameter, value, images)
    return f"{redact(repr(value), limit=80)} {wrong}" if wrong else None


def _flag(_parameter: Parameter, value: object, _images: int) -> str | None:
    return None if isinstance(value, bool) else "is not true or false"


def _integer(parameter: Parameter, value: Any, _images: int) -> str | None:
    if _is_whole(value) and parameter.least <= value <= parameter.most:
        return None
    return f"is not a whole number from {parameter.least} to {parameter.most}"


def _choice(parameter: Parameter, value: object, _images: int) -> str | None:
    return None if value in parameter.choices else f"is not one of {', '.join(parameter.choices)}"


def _box_lists(parameter: Parameter, value: object, images: int) -> str | None:
    if not isinstance(value, (list, tuple)) or len(value) != images:
        return f"is not one list of boxes for each of the {images} input images, an empty one for none"
    for boxes in value:
        if not isinstance(boxes, (list, tuple)) or len(boxes) > parameter.most:
            return f"has more than {parameter.most} boxes for one image"
        if not all(_is_box(box) for box in boxes):
            return "has a box that is not [x1, y1, x2, y2] in whole pixels with x1 < x2 and y1 < y2"
    return None


def _palette(parameter: Parameter, value: object, _images: int) -> str | None:
    if not isinstance(value, (list, tuple)) or not parameter.least <= len(value) <= parameter.most:
        return f"is not {parameter.least} to {parameter.most} colours"
    shares = [_share(colour) for colour in value]
    if None in shares:
        return 'has a colour unlike {"hex": "#C2D1E6", "ratio": "25.00%"}'
    if sum((share for share in shares if share is not None), Decimal()) != _WHOLE:
        return "has ratios that do not add up to 100.00%"
    return None


def _texts(parameter: Parameter, value: object, _images: int) -> str | None:
    if not isinstance(value, (list, tuple)) or len(value) > parameter.most:
        return f"is not a list of at most {parameter.most} texts"
    return None if all(isinstance(text, str) and text for text in value) else "holds what is no text"


def _object(_parameter: Parameter, value: object, _images: int) -> str | None:
    return None if isinstance(value, dict) else "is not an object"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_box(box: Any) -> bool:
    if not isinstance(box, (list, tuple)) or len(box) != _CORNERS:
        return False
    if not all(_is_whole(side) and side >= 0 for side in box):
        return False
    return bool(box[0] < box[2] and box[1] < box[3])


def _share(colour: Any) -> Decimal | None:
    if not isinstance(colour, dict) or not _HEX.fullmatch(str(colour.get("hex", ""))):
        return None
    text = str(colour.get("ratio", ""))
    try:
        share = Decimal(text.removesuffix("%")) if text.endswith("%") else None
    except InvalidOperation:
        return None
    return share if share is not None and share.is_finite() else None


_KINDS: dict[str, Callable[[Parameter, Any, int], str | None]] = {
    "flag": _flag,
    "integer": _integer,
    "choice": _choice,
    "boxes": _box_lists,
    "palette": _palette,
    "texts": _texts,
    "object": _object,
}
