"""Reads the vendor's rule out of its refusal, holds it against the row, and spells the difference as TOML to paste."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from datetime import date

    from airflow_provider_qwenimage.catalog.models import Mode, Model, Pixels, Range, SizeRule
    from airflow_provider_qwenimage.catalog.questions import Question

# agrees, differs; unsaid: the refusal was about something else; absent: the gateway does not serve the model.
Verdict = Literal["agrees", "differs", "unsaid", "absent"]


class Answer(NamedTuple):
    """
    What a refusal says of a rule.

    :param sentence: the vendor's.
    :param toml: lines to paste where it differs.
    """

    question: Question
    verdict: Verdict
    sentence: str
    toml: str = ""


class _Said(NamedTuple):
    kind: Literal["pixels", "sides", "listed", "count"]
    bounds: Range = (0, 0)
    listed: tuple[Pixels, ...] = ()


# As live services wrote them between August and October 2026 (M-live), and as the vendor's pages quote them.
_AREA = re.compile(r"(?:pixels|area)\D*.*?between (\d+)(?: \(\d+x\d+\))? and (\d+)", re.IGNORECASE)
_SQUARES = re.compile(r"out of range \[(\d+)\*(\d+), (\d+)\*(\d+)\]", re.IGNORECASE)
_SIDES = re.compile(r"(?:width|height)\D*between (\d+) and (\d+)", re.IGNORECASE)
_LISTED = re.compile(r"allowed size\D{0,10}((?:\d+\*\d+\D{0,4})+)", re.IGNORECASE)
_ONE = re.compile(r"(?:num_images_per_prompt|\bn\b|max_images) must be (\d+)\b", re.IGNORECASE)
_COUNT = re.compile(
    r"(?:num_images_per_prompt|\bn\b|max_images|number of images)\D*?(\d+)\D{1,6}(\d+)", re.IGNORECASE
)
_INPUT = re.compile(r"length and width\D*(\d+)\D{1,4}(\d+)", re.IGNORECASE)
_NO_WAY = re.compile(r"not support (a?synchronous) calls|url error", re.IGNORECASE)
_ABSENT = re.compile(
    r"model.{0,80}(not exist|not found|not supported)|not serve this model|no available", re.IGNORECASE
)


def answer(question: Question, sentence: str, *, today: date) -> Answer:
    """
    Judge a row by the refusal of a question.

    :param today: what a pasted fact is dated with.
    """
    if question.rule in ("sync", "jobs"):
        return _way(question, sentence)
    if _ABSENT.search(sentence):
        return Answer(question, "absent", sentence)
    if question.rule == "parameter":
        agrees = question.parameter in sentence
        return Answer(question, "agrees" if agrees else "unsaid", sentence)
    said = _said(question, sentence)
    if said is None:
        return Answer(question, "unsaid", sentence)
    if _is_known(question, said):
        return Answer(question, "agrees", sentence)
    return Answer(question, "differs", sentence, _toml(question, said, today=today))


def _way(question: Question, sentence: str) -> Answer:
    """Judge whether a way is open: a refusal that has read the fields has let the request in."""
    known = question.row.sync if question.rule == "sync" else question.row.jobs is not None
    if closed := _NO_WAY.search(sentence):
        is_open = False
    elif _said_of_size(sentence) or _said_of_count(sentence) or "download" in sentence.lower():
        is_open = True
    else:
        return Answer(question, "absent" if _ABSENT.search(sentence) else "unsaid", sentence)
    if is_open == known:
        return Answer(question, "agrees", sentence)
    line = "sync = false" if closed else "sync = true"
    if question.rule == "jobs":
        line = "# delete jobs and jobs_preferred" if closed else 'jobs = "image-generation"'
    return Answer(question, "differs", sentence, f'[models."{question.row.name}"]\n{line}\n')


def _said(question: Question, sentence: str) -> _Said | None:
    if question.rule == "size":
        return _said_of_size(sentence)
    if question.rule == "input":
        found = _INPUT.search(sentence)
        return _Said("sides", (int(found[1]), int(found[2]))) if found else None
    wants_images = question.rule == "images"
    return _said_of_count(sentence) if wants_images == ("number of images" in sentence.lower()) else None


def _said_of_size(sentence: str) -> _Said | None:
    if found := _SQUARES.search(sentence):
        a, b, c, d = map(int, found.groups())
        return _Said("pixels", (a * b, c * d))
    if found := _LISTED.search(sentence):
        pairs = re.findall(r"(\d+)\*(\d+)", found[1])
        return _Said("listed", listed=tuple((int(across), int(down)) for across, down in pairs))
    if found := _AREA.search(sentence):
        return _Said("pixels", (int(found[1]), int(found[2])))
    if (found := _SIDES.search(sentence)) and not _INPUT.search(sentence):
        return _Said("sides", (int(found[1]), int(found[2])))
    return None


def _said_of_count(sentence: str) -> _Said | None:
    if found := _COUNT.search(sentence):
        return _Said("count", (int(found[1]), int(found[2])))
    found = _ONE.search(sentence)
    return _Said("count", (int(found[1]), int(found[1]))) if found else None


def _is_known(question: Question, said: _Said) -> bool:
    mode, row = question.mode, question.row
    if question.rule == "n":
        return said.bounds == mode.n
    if question.rule == "images":  # a model that also generates takes none, which its edits do not say
        return said.bounds[1] == mode.images[1]
    if question.rule == "input":
        return row.input is not None and said.bounds == row.input.sides
    return _is_known_size(mode.size, said)


def _is_known_size(rule: SizeRule, said: _Said) -> bool:
    if said.kind == "listed":
        return rule.rule == "listed" and set(said.listed) == set(rule.listed)
    if said.kind == "sides":
        return rule.rule == "sides" and said.bounds == rule.sides
    served = rule.served.pixels if rule.served else None
    return said.bounds == (served or (rule.pixels if rule.rule == "pixels" else None))


def _toml(question: Question, said: _Said, *, today: date) -> str:
    row, mode = question.row, question.mode
    if question.rule == "input":
        assert row.input is not None
        return f"[inputs.{row.input.name}]\nsides = {_list(said.bounds)}\n{_measured(today)}"
    if question.rule == "size":
        return f"[sizes.{mode.size.name}]\n{_size_lines(mode.size, said, today=today)}"
    changed: dict[str, Range] = {
        question.rule: (mode.images[0] if question.rule == "images" else said.bounds[0], said.bounds[1])
    }
    return f'[models."{row.name}"]\n{question.operation} = {_mode(mode, changed)}\n'


def _size_lines(rule: SizeRule, said: _Said, *, today: date) -> str:
    if said.kind == "listed":
        kept = {name: pair for name, pair in rule.ratios.items() if pair in said.listed}
        ratios = ", ".join(f'"{name}" = {_list(pair)}' for name, pair in kept.items())
        more = [pair for pair in said.listed if pair not in kept.values()]
        also = f"also = [{', '.join(map(_list, more))}]\n" if more else ""
        return f'rule = "listed"\nratios = {{ {ratios} }}\n{also}{_measured(today)}'
    if said.kind == "sides":
        return f'rule = "sides"\nsides = {_list(said.bounds)}\n{_measured(today)}'
    low, high = rule.pixels if rule.rule == "pixels" else (math.inf, 0)
    if rule.rule != "sides" and said.bounds[0] <= low and high <= said.bounds[1]:
        source = f'sure = "M", source = "M-live", date = {today.isoformat()}'
        return f"served = {{ pixels = {_list(said.bounds)}, {source} }}\n"
    return f'rule = "pixels"\npixels = {_list(said.bounds)}\n{_measured(today)}'


def _mode(mode: Mode, changed: dict[str, Range]) -> str:
    """Spell an operation of a row as it stands there, with what is new."""
    fields = {**mode.model_dump(exclude_defaults=True), "size": mode.size.name, **changed}
    return "{ " + ", ".join(f"{name} = {_value(value)}" for name, value in fields.items()) + " }"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return _list(value)
    return f'"{value}"' if isinstance(value, str) else str(value)


def _list(values: tuple[int, ...] | list[int]) -> str:
    return f"[{', '.join(map(str, values))}]"


def _measured(today: date) -> str:
    return f'sure = "M"\nsource = "M-live"\ndate = {today.isoformat()}\n'


def verified(rows: dict[str, Model], answers: list[Answer], *, today: date, where: str) -> str:
    """Spell, for every row of which all that was said agrees, that it was verified today."""
    lines = []
    for name in rows:
        said = [one for one in answers if one.question.row.name == name and one.verdict != "unsaid"]
        if said and all(one.verdict == "agrees" for one in said):
            rules = ", ".join(dict.fromkeys(one.question.rule for one in said))
            how = f"refusals at {where}: {rules}"
            lines.append(f'[models."{name}"]\nverified = {{ date = {today.isoformat()}, how = "{how}" }}\n')
    return "\n".join(lines)
