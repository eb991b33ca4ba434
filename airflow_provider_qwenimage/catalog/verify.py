"""
Ask a gateway whether the catalogue is right: ``python -m airflow_provider_qwenimage.catalog.verify --conn-id …``.

Every request is one the vendor refuses; its refusal names its own rule and costs nothing. What differs is printed as
TOML to paste into ``models.toml``.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.catalog.answers import verified
from airflow_provider_qwenimage.catalog.models import models
from airflow_provider_qwenimage.defaults import CONN_ID
from airflow_provider_qwenimage.exceptions import QwenImageError
from airflow_provider_qwenimage.gateway.verify import verify
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_qwenimage.catalog.answers import Answer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 where nothing differs, 1 where something does, 2 on an error."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_qwenimage.catalog.verify", description=__doc__
    )
    parser.add_argument("--conn-id", default=CONN_ID, help="a qwenimage connection to the vendor itself")
    parser.add_argument(
        "--model", action="append", default=[], help="ask about this row only; may be repeated"
    )
    given = parser.parse_args(arguments)
    answers: list[Answer] = []
    try:
        settings = QwenImageHook(given.conn_id).settings
        for one in verify(settings, given.model):
            answers.append(one)
            sys.stderr.write(f"{_name(one)}: {one.verdict}\n")
    except QwenImageError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for line in _report(answers, where=settings.gateway.name):
        sys.stdout.write(line)
    return 1 if any(one.verdict == "differs" for one in answers) else 0


def _report(answers: list[Answer], *, where: str) -> Iterator[str]:
    counts = Counter(one.verdict for one in answers)
    yield (
        f"# {len(answers)} rules asked at {where}: {counts['agrees']} agree, {counts['differs']} differ, "
        f"{counts['unsaid']} were not told, {counts['absent']} are of models not served there\n"
    )
    for one in answers:
        if one.verdict == "differs":
            yield f"\n# {_name(one)}: {one.sentence}\n{one.toml}"
    if dated := verified(models(), answers, today=datetime.now(UTC).date(), where=where):
        yield f"\n# Rows of which all that was told agrees\n{dated}"


def _name(one: Answer) -> str:
    question = one.question
    return f"{question.row.name} {question.operation} {question.parameter or question.rule}"


if __name__ == "__main__":
    raise SystemExit(main())
