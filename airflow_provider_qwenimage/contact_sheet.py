"""Stored images side by side as Markdown, for a page of Airflow on which a person looks and decides."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")  # all that Markdown lets a backslash make plain
# Airflow's pages make links of addresses, also of escaped ones: mdast-util-gfm-autolink-literal 2 looks for
# ``https?://``, ``www.`` and ``name@host`` in the text that is to be shown. A word joiner, unseen, breaks all of them.
_ADDRESS = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)", re.IGNORECASE)
_JOINER = "\u2060"
_PROMPT_LENGTH = 160


def labels(count: int) -> list[str]:
    """
    Return what images are called on a sheet, in order: ``Image 1``, ``Image 2``, …; also options to choose from.

    :param count: how many there are.
    """
    return [f"Image {number}" for number in range(1, count + 1)]


def contact_sheet(
    stored: Sequence[Mapping[str, Any]],
    *,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int = -1,
    columns: int = 2,
) -> str:
    """
    Return a Markdown table of images with their labels and prompts.

    The images are shown through Airflow itself, to whoever may read the XComs of the Dag: no link in it expires.

    :param stored: the XCom ``stored`` of the task instance that stored them, which the ids name.
    :param dag_id: of its Dag.
    :param run_id: of its run.
    :param task_id: of its task.
    :param map_index: its index, where the task is mapped.
    :param columns: images in a row.
    """
    of = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    names = labels(len(stored))
    rows: list[str] = []
    for begin in range(0, len(stored), columns):
        chunk = range(begin, min(begin + columns, len(stored)))
        empty = [""] * (columns - len(chunk))
        rows.append(_row([f"**{names[at]}**" for at in chunk] + empty))
        if begin == 0:
            rows.append(_row(["---"] * columns))
        rows.append(_row([_image(stored[at], names[at], of) for at in chunk] + empty))
        rows.append(_row([_plain(stored[at].get("prompt")) for at in chunk] + empty))
    return "\n".join(rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _image(image: Mapping[str, Any], name: str, of: Mapping[str, Any]) -> str:
    # Relative, for Airflow's pages have a base: it holds behind a path in [api] base_url too.
    return f"![{name}](qwenimage/thumbnail?{urlencode({**of, 'uri': image['uri']})})"


def _plain(text: object) -> str:
    """Return a prompt so that Markdown shows it as it was written."""
    words = " ".join(str(text or "").split())
    if len(words) > _PROMPT_LENGTH:
        words = words[:_PROMPT_LENGTH] + "…"
    return _PUNCTUATION.sub(r"\\\1", _ADDRESS.sub(_JOINER, words))
