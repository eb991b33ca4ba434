"""One function for each thing a row says about a request; ``rules.py`` decides what their findings mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.catalog.findings import Finding
from airflow_provider_qwenimage.catalog.parameters import complaint
from airflow_provider_qwenimage.catalog.sizes import check_size, legal_sizes, resolve_size
from airflow_provider_qwenimage.models.requests import EditRequest, SequenceRequest, Size, TranslateRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_qwenimage.catalog.models import InputRule, Mode, Model, Range
    from airflow_provider_qwenimage.models.requests import Operation, Request

# Arguments an author may also write into `parameters`; the request model has seen to it that it is not both.
_ARGUMENTS = frozenset({"n", "size", "seed", "negative_prompt"})
# A token is one Chinese character or about four of an alphabet: good enough for a warning.
_LETTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Case:
    """A request beside the row it is checked against; ``mode`` is the operation it amounts to."""

    request: Request
    row: Model
    operation: Operation
    mode: Mode

    @property
    def images(self) -> tuple[str, ...]:
        """The input images of the request."""
        images: tuple[str, ...] = getattr(self.request, "images", ())
        return images


@dataclass(frozen=True, slots=True)
class InputFacts:
    """
    What is known of an input image from its bytes.

    :param format: ``JPEG``, ``PNG``, ``WEBP`` and so on, read from the first bytes.
    :param width: in pixels.
    :param height: in pixels.
    :param bytes: the size of the file.
    """

    format: str
    width: int
    height: int
    bytes: int


def request_findings(case: Case) -> list[Finding]:
    """Return what the row has to say about a request, in the order of its fields."""
    return [finding for rule in _RULES for finding in rule(case)]


def image_findings(facts: InputFacts, limits: InputRule, *, field: str) -> Iterator[Finding]:
    """Say what is wrong with an input image."""
    kind = facts.format.upper()
    kind = "JPEG" if kind == "JPG" else kind
    low, high = limits.sides
    short, long = sorted((facts.width, facts.height))
    pixels = f"{facts.width}*{facts.height}"
    finding = partial(Finding, field, refused=limits.refuses, cited=limits.cited)
    if kind not in limits.formats:
        yield finding(f"{kind} is not one of {', '.join(limits.formats)}")
    if short < low or long > high:
        yield finding(f"{pixels} has a side outside {low} to {high}")
    if limits.limit and long > limits.limit * short:
        yield finding(f"{pixels} is narrower than the ratio 1:{limits.limit} to {limits.limit}:1")
    if facts.bytes > limits.bytes:
        yield finding(f"{facts.bytes} bytes are more than {limits.bytes}")


def _count(case: Case) -> Iterator[Finding]:
    mode, request = case.mode, case.request
    if isinstance(request, SequenceRequest) or mode.count == "n":
        if outside := _outside(mode.n, request.n):
            yield Finding("n", f"{request.n} is {outside}")
        return
    # A series switched on by hand in `parameters`: the count stands there, n itself must be 1 (A-w26).
    if request.n != 1:
        yield Finding("n", f"{request.n} is not 1 beside {mode.switch}, {mode.count} holds the count")
    if mode.count not in request.parameters:
        rule = f"is not given, up to {mode.n_default} images are made and billed"
        yield Finding(f"parameters.{mode.count}", rule, refused=False)


def _images(case: Case) -> Iterator[Finding]:
    if outside := _outside(case.mode.images, len(case.images)):
        advice = "One image a request: map the task over them, or use the batch." if case.mode.between else ""
        count = len(case.images)
        yield Finding("images", f"the number of input images, {count}, is {outside}", advice=advice)


def _outside(bounds: Range, value: int) -> str | None:
    least, most = bounds
    if least <= value <= most:
        return None
    return f"not {most}" if least == most else f"outside {least} to {most}"


def _size(case: Case) -> Iterator[Finding]:
    request, rule = case.request, case.mode.size
    written = request.size or _written_size(request.parameters.get("size"))
    if written is None:
        return
    if rule.rule == "input":
        yield Finding(
            "size", f"{written.text()} cannot be set, the output follows the input image", refused=False
        )
        return
    resolved = resolve_size(rule, written)
    if resolved is None:
        yield Finding("size", f"no size has the ratio {written.text()}; {legal_sizes(rule)}")
    elif request.size is None and resolved != written:
        yield Finding(
            "parameters.size", f"{written.text()} is no size", advice="The argument size resolves it."
        )
    else:
        yield from check_size(rule, resolved)


def _written_size(value: object) -> Size | None:
    try:
        return Size.parse(value)
    except ValueError:
        return None  # passed through untouched: the vendor may know spellings that we do not


def _prompt(case: Case) -> Iterator[Finding]:
    limit = case.row.prompt
    length = _MEASURES[limit.unit](case.request.prompt) if limit else 0
    if limit and length > limit.most:
        words = f"its {length} {limit.unit} are cut to {limit.most}"
        yield Finding("prompt", words, refused=False, cited=limit.cited)


def _negative_prompt(case: Case) -> Iterator[Finding]:
    text, most = case.request.negative_prompt, case.row.negative_prompt
    if text and not most:
        yield Finding("negative_prompt", "has no effect, there is none", refused=False)
    elif text and len(text) > most:
        yield Finding("negative_prompt", f"its {len(text)} characters are cut to {most:g}", refused=False)


def _parameters(case: Case) -> Iterator[Finding]:
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


def _languages(case: Case) -> Iterator[Finding]:
    request = case.request
    if not isinstance(request, TranslateRequest):
        return
    source, target = request.source_lang.lower(), request.target_lang.lower()
    if target == "auto":
        yield Finding("target_lang", "is auto, which only a source can be")
    elif source == target:
        yield Finding("target_lang", f"{request.target_lang} is the language of the source, too")
    elif case.mode.between and not {source, target} & {*case.mode.between, "auto"}:
        named = f"{request.source_lang} to {request.target_lang}"
        yield Finding("target_lang", f"{named} is not from or into {' or '.join(case.mode.between)}")


def _tokens(text: str) -> int:
    letters = sum(character.isascii() for character in text)
    return len(text) - letters + math.ceil(letters / _LETTERS_PER_TOKEN)


_MEASURES: dict[str, Callable[[str], int]] = {"characters": len, "tokens": _tokens}
_RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    _count,
    _images,
    _size,
    _prompt,
    _negative_prompt,
    _parameters,
    _switches,
    _boxes,
    _languages,
)
