"""What the site needs beside its pages: links out of ``docs/`` into the repository, and ``llms.txt``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_OUTSIDE = re.compile(r"\]\(\.\./([^)\s]+)\)")
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
_ROOT = Path(__file__).parent.parent


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """
    Let links to files beside ``docs/`` lead to the forge.

    :raises FileNotFoundError: there is no such file.
    """

    def on_forge(link: re.Match[str]) -> str:
        if not (_ROOT / link[1].partition("#")[0]).exists():
            raise FileNotFoundError(link[1])
        return f"]({config['repo_url']}/blob/main/{link[1]})"

    return markdown if "/" in page.file.src_uri else _OUTSIDE.sub(on_forge, markdown)


def on_post_build(config: Any, **_: Any) -> None:
    """Write ``llms.txt`` (llmstxt.org): what there is to read, and where."""
    head = f"# {config['site_name']}\n\n> {config['site_description']}\n"
    parts = "".join(_part(name, entry, config) for each in config["nav"] for name, entry in each.items())
    Path(config["site_dir"], "llms.txt").write_text(head + parts, encoding="utf-8")


def _part(name: str, entry: str | list[dict[str, str]], config: Any) -> str:
    pages = [{name: entry}] if isinstance(entry, str) else entry
    lines = (line for each in pages for path in each.values() for line in _line(path, config))
    return f"\n## {name}\n\n{''.join(lines)}"


def _line(path: str, config: Any) -> Iterator[str]:
    text = Path(config["docs_dir"], path).read_text(encoding="utf-8")
    address = config["site_url"] + ("" if path == "index.md" else path.removesuffix(".md") + "/")
    yield f"- [{_TITLE.search(text)[1]}]({address})\n"  # type: ignore[index]
