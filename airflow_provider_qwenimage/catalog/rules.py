"""
Checks before money: what the vendor would refuse is refused here, what it changes without a word is said.

``check`` is pure. It reads the model's row, lets each limit look at the request, and returns the request as
it is to be sent: a ratio has become pixels, and what the model has not is left out with a warning.

Whether a finding refuses or warns depends on three things: whether the vendor is known to refuse it
(``Finding.refused``), how sure the row is (a third party's word only warns), and what the gateway's row or the
connection says of ``checks``: an engine of one's own has other limits than the vendor, and a paying user may know
better than the catalogue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.catalog.findings import Finding, witness
from airflow_provider_qwenimage.catalog.inputs import InputFacts, image_findings
from airflow_provider_qwenimage.catalog.models import Model, model, models
from airflow_provider_qwenimage.catalog.parameters import parameter_findings
from airflow_provider_qwenimage.catalog.sizes import resolve_size, size_findings
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.requests import TRANSLATOR, SequenceRequest, TranslateRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_provider_qwenimage.catalog import Gateway
    from airflow_provider_qwenimage.catalog.models import Mode, Range
    from airflow_provider_qwenimage.models.requests import Operation, Request

__all__ = ["Checked", "InputFacts", "check", "check_image"]

# A token is one Chinese character or about four of an alphabet: good enough for a warning.
_LETTERS_PER_TOKEN = 4
_GIVE_PIXELS = 'Give pixels, such as "1328*1328".'


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
class Checked:
    """
    A request that may be sent.

    :param request: as it is to be sent; a ratio is resolved to pixels.
    :param model: the row it was checked against, ``None`` where the catalogue has none.
    :param warnings: one sentence each.
    """

    request: Request
    model: Model | None
    warnings: tuple[str, ...] = ()


def check(request: Request, *, gateway: Gateway) -> Checked:
    """
    Check a request against the catalogue; nothing is sent.

    :param gateway: where it will go; with ``checks = "warn"`` all is sent as it was asked, with warnings.
    :raises InvalidRequest: what the vendor would refuse: the field, the rule, the model and its source.
    """
    if request.model is None:
        raise InvalidRequest("model", "is not set", advice="Name one, or set a default on the connection.")
    row = model(request.model)
    if request.operation == "translate":
        _is_translatable(request, row, gateway)
    if row is None:
        unknown = f"model: {request.model!r} is not in the catalogue, the request is sent unchecked"
        return Checked(_with_pixels(request), None, (unknown,))
    strict = row.refuses and gateway.checks == "strict"
    operation = _operation(request, row)
    mode = row.mode(operation)
    if mode is None:
        warnings = _settle([_unsupported(operation)], row, strict=strict)
        return Checked(_with_pixels(request), row, warnings)
    case = Case(request, row, operation, mode)
    warnings = _settle(request_findings(case), row, strict=strict)
    return Checked(_as_sent(case, strict=strict), row, warnings)


def _is_translatable(request: Request, row: Model | None, gateway: Gateway) -> None:
    """Refuse a translation that could not even be spelled: it is always a job, of a model that has them."""
    if not gateway.jobs:
        advice = "Use a connection to DashScope for it."
        raise InvalidRequest(
            "gateway", f"{gateway.title} has no jobs, and a translation is one", advice=advice
        )
    if row is None or row.jobs is None:
        advice = f"Use {TRANSLATOR}."
        raise InvalidRequest("model", f"{request.model!r} is not known to translate", advice=advice)


def check_image(
    facts: InputFacts, row: Model | None, *, gateway: Gateway | None = None, index: int | None = None
) -> tuple[str, ...]:
    """
    Check an input image against the model's limits.

    :param row: ``None`` where the catalogue has no such model: nothing is checked.
    :param gateway: where it will go, see ``check``.
    :param index: its place among the images, for the message.
    :return: warnings, one sentence each.
    :raises InvalidRequest: the format, a side, the bytes or the ratio is outside what the model takes.
    """
    if row is None or row.input is None:
        return ()
    strict = row.refuses and (gateway is None or gateway.checks == "strict")
    field = "images" if index is None else f"images.{index}"
    return _settle(image_findings(facts, row.input, field=field), row, strict=strict)


def _operation(request: Request, row: Model) -> Operation:
    """Return what the request amounts to: a series may be switched on through ``parameters`` too."""
    switch = row.sequence.switch if row.sequence else None
    return "sequence" if switch and request.parameters.get(switch) is True else request.operation


def _unsupported(operation: Operation) -> Finding:
    able = ", ".join(row.name for row in models().values() if row.mode(operation))
    return Finding("model", f"{operation} is not supported", advice=f"Models that {operation}: {able}.")


def _settle(findings: Iterable[Finding], row: Model, *, strict: bool) -> tuple[str, ...]:
    """Raise the first finding that refuses; return the others as warnings, each once."""
    warnings: dict[str, None] = {}
    for finding in findings:
        rule = f"{finding.rule} for {row.name} ({witness(finding.cited or row.cited)})"
        if strict and finding.refused:
            raise InvalidRequest(finding.field, rule, advice=finding.advice)
        warnings[f"{finding.field}: {rule}"] = None
    return tuple(warnings)


def _as_sent(case: Case, *, strict: bool) -> Request:
    """Resolve the size, and leave out what the model has not; ``checks = "warn"`` sends all that was asked."""
    request, rule = case.request, case.mode.size
    changes: dict[str, Any] = {}
    if request.size is not None:
        changes["size"] = resolve_size(rule, request.size)
    if strict and rule.rule == "input":
        changes["size"] = None
    elif request.size is not None and changes["size"] is None:
        return _with_pixels(request)
    if strict and not case.row.negative_prompt:
        changes["negative_prompt"] = None
    changes = {name: value for name, value in changes.items() if value != getattr(request, name)}
    return request.model_copy(update=changes) if changes else request


def _with_pixels(request: Request) -> Request:
    """Return the request where its size needs no row; no gateway takes a ratio."""
    if request.size is not None and request.size.ratio:
        raise InvalidRequest(
            "size", f"{request.size.text()} has no pixels known for {request.model}", advice=_GIVE_PIXELS
        )
    return request


def request_findings(case: Case) -> Iterator[Finding]:
    """Say what the row has to say about a request; what the request leaves out is not looked for."""
    request = case.request
    yield from _count(case)
    yield from _images(case)
    if request.size is not None or "size" in request.parameters:
        yield from size_findings(case)
    yield from _prompt(case)
    yield from _negative_prompt(case)
    if request.parameters or getattr(request, "boxes", None) is not None:
        yield from parameter_findings(case)
    yield from _languages(case)


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
