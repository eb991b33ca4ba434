"""
What to ask a gateway so that its refusal names its own rule, and costs nothing.

A request just outside our bound would be served, and billed, exactly where our bound is wrong. So every question is
refused twice: it breaks the rule it asks about, and besides it has a size that no model comes near, or an input image
that nobody can fetch. The vendor checks what is written before it fetches or draws, and its refusal says its bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow_provider_qwenimage.catalog.inputs import InputFacts, image_findings
from airflow_provider_qwenimage.catalog.rules import Case, request_findings
from airflow_provider_qwenimage.models.requests import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.catalog.models import Mode, Model
    from airflow_provider_qwenimage.models.requests import Operation, Request

Rule = Literal["size", "n", "images", "input", "parameter", "sync", "jobs"]

# Six times the largest size anyone was served; live services refused it with their own bounds (M-live, 2026-10-06).
BEYOND = "9999*9999"
# A name that never resolves (RFC 2606), so that an edit cannot be made whatever its other fields are.
NOWHERE = "https://image.invalid/none.png"
# One grey pixel: smaller than any model takes.
DOT = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
_DOT_FACTS = InputFacts("PNG", 1, 1, 67)
# Counts are broken by this much, so that a vendor who allows some more than the row still refuses, and says how many.
_FAR = 20
_PROMPT = "a paper boat"


class Question(NamedTuple):
    """
    One request that is refused, and what its refusal is to tell.

    :param parameter: the one asked about, where ``rule`` says so.
    :param as_job: which of the two ways it goes, where the gateway has both.
    """

    row: Model
    operation: Operation
    rule: Rule
    request: Request
    as_job: bool
    parameter: str = ""

    @property
    def mode(self) -> Mode:
        """What the row says of the operation."""
        mode = self.row.mode(self.operation)
        assert mode is not None
        return mode


def questions(row: Model) -> Iterator[Question]:
    """Yield what can be asked of a row for nothing."""
    as_job = row.jobs is not None and (row.jobs_preferred or not row.sync)
    # A translation has neither a size nor a count that could be broken beyond what anyone serves.
    operations = [operation for operation in row.operations if operation != "translate"]
    for operation in operations:
        for rule, fields, parameter in _breaches(row, operation):
            request = _request(row, operation, fields)
            question = Question(row, operation, rule, request, as_job, parameter)
            if is_refused_twice(question):
                yield question
    if operations:
        yield from _ways(row, as_job=as_job)


def is_refused_twice(question: Question) -> bool:
    """Tell whether the rule refuses the request and, besides, nobody could serve it."""
    request, row = question.request, question.row
    images: tuple[str, ...] = getattr(request, "images", ())
    written = request.size.text() if request.size else None
    if not (NOWHERE in images if images else written == BEYOND):
        return False
    if question.rule in ("sync", "jobs"):
        return True
    if question.rule == "input":
        return row.input is not None and any(image_findings(_DOT_FACTS, row.input, field="images"))
    field = f"parameters.{question.parameter}" if question.parameter else question.rule
    found = request_findings(Case(request, row, question.operation, question.mode))
    return any(finding.field == field and finding.refused for finding in found)


def _breaches(row: Model, operation: Operation) -> Iterator[tuple[Rule, dict[str, Any], str]]:
    """Yield a rule, the fields that break it, and the parameter it is about."""
    mode = row.mode(operation)
    assert mode is not None
    least, most = mode.images
    yield "size", {"size": BEYOND, "images": least}, ""
    if row.send_n:
        yield "n", {"n": mode.n[1] + _FAR, "images": least}, ""
    if most:
        yield "images", {"images": most + _FAR}, ""
    if most > 1 and row.input:
        yield "input", {"images": max(least, 2), "first": DOT}, ""
    for parameter in row.parameters:
        for value in [value for value in parameter.only if operation not in parameter.only[value]]:
            if parameter.refused:
                yield (
                    "parameter",
                    {"parameters": {parameter.name: value}, "images": least},
                    parameter.name,
                )
        if parameter.needs and operation in parameter.operations:
            broken = {parameter.name: True, parameter.needs: False}
            yield "parameter", {"parameters": broken, "images": least}, parameter.name


def _ways(row: Model, *, as_job: bool) -> Iterator[Question]:
    """Ask whether the way the other questions do not go is open: a refusal of it names no field."""
    operation = row.operations[0]
    mode = row.mode(operation)
    assert mode is not None
    request = _request(row, operation, {"size": BEYOND, "images": mode.images[0]})
    # A stream has rules of its own on the way that answers at once.
    if as_job and not mode.stream:
        yield Question(row, operation, "sync", request, as_job=False)
    elif not as_job:
        yield Question(row, operation, "jobs", request, as_job=True)


def _request(row: Model, operation: Operation, fields: dict[str, Any]) -> Request:
    given = {"prompt": _PROMPT, "model": row.name, "n": 1, **fields}
    count, first = given.pop("images", 0), given.pop("first", NOWHERE)
    if operation != "generate" and count:
        given["images"] = (first, *[NOWHERE] * (count - 1))
    else:
        given["size"] = BEYOND
    return KINDS[operation](**given)
