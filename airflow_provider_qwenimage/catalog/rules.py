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

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.catalog.findings import Finding, witness
from airflow_provider_qwenimage.catalog.limits import Case, InputFacts, image_findings, request_findings
from airflow_provider_qwenimage.catalog.models import Model, model, models
from airflow_provider_qwenimage.catalog.sizes import resolve_size
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.requests import TRANSLATOR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_qwenimage.catalog import Gateway
    from airflow_provider_qwenimage.models.requests import Operation, Request

__all__ = ["Checked", "InputFacts", "check", "check_image"]

_GIVE_PIXELS = 'Give pixels, such as "1328*1328".'


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
