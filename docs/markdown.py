"""Puts blocks, tables and lists together as Markdown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The star of 1328*1328 would begin an emphasis; inside backticks it would show its escape.
_STAR = re.compile(r"(`[^`]*`)|(?<=\d)\*(?=\d)")


def page(sections: Iterable[Iterable[str]]) -> str:
    """Put sections below each other; each is a row of blocks, table lines and list items."""
    return "\n\n".join(map(_section, sections)) + "\n"


def table(head: tuple[str, ...], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Return the lines of a table; an empty cell shows a dash."""
    yield _line(head)
    yield _line("---" for _ in head)
    yield from map(_line, rows)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") or "-" for cell in cells) + " |"


def _section(blocks: Iterable[str]) -> str:
    """Put a blank line between blocks, none between the lines of a table or a list."""
    text = ""
    for block in blocks:
        glued = block[:1] in "|*" and text.rpartition("\n")[2][:1] == block[:1]
        text += ("\n" if glued else "\n\n" if text else "") + block
    return _STAR.sub(lambda match: match[1] or r"\*", text)
