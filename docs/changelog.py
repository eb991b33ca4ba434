"""
Writes the section of a release into CHANGELOG.md from the fragments in ``docs/changes``, by towncrier.

``python -m docs.changelog`` prints it, writes it and takes the fragments away; with ``--draft`` it only prints it.
Either refuses a fragment that is not as ``docs/changes/README.md`` says.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from airflow_provider_qwenimage import __version__

_ROOT = Path(__file__).parent.parent
_VERSION = re.compile(r"^## (\S+)(?P<unreleased> \(unreleased\))?\n", re.MULTILINE)
_EFFECT = re.compile(r"^### (.+)\n", re.MULTILINE)


class ChangelogError(Exception):
    """A fragment, or the version, is not as it should be."""


def fragments(root: Path) -> list[Path]:
    """
    Return the fragments of a repository.

    :raises ChangelogError: one of them says nothing, or is not Markdown; its name is looked at by towncrier.
    """
    found = sorted(each for each in (root / "docs" / "changes").iterdir() if each.name != "README.md")
    for each in found:
        if each.suffix != ".md":
            raise ChangelogError(f"{each.name}: a fragment's name ends in .md")
        if not each.read_text(encoding="utf-8").strip():
            raise ChangelogError(f"{each.name}: says nothing")
    return found


def drafted(root: Path, version: str) -> str:
    """
    Return what the fragments of a repository come to.

    :raises ChangelogError: a name that towncrier refuses.
    """
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", version]
    ran = subprocess.run(  # noqa: S603  our own command
        [*command, "--dir", str(root), "--config", str(root / "pyproject.toml")],
        check=False,
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        raise ChangelogError(ran.stderr.strip())
    return ran.stdout.strip() + "\n"


def coming(text: str) -> str:
    """
    Return the version that is written next: the one on top as long as it is *unreleased*, else the package's.

    :raises ChangelogError: the package's version stands there already.
    """
    told = {found[1]: bool(found["unreleased"]) for found in _VERSION.finditer(text)}
    top = next(iter(told), "")
    if told.get(top):
        return top
    if __version__ in told:
        raise ChangelogError(f"{__version__} stands in CHANGELOG.md: the next one begins with __version__")
    return __version__


def released(text: str, section: str) -> str:
    """
    Return CHANGELOG.md with the section of a release on top, each effect once.

    What was written by hand under the same version as *unreleased* comes first under its effect; towncrier itself
    refuses a version that stands there.

    :param text: CHANGELOG.md.
    :param section: of the release, from its heading on.
    """
    heading = section.partition("\n")[0]
    top = _VERSION.search(text)
    assert top is not None, "CHANGELOG.md has no version"
    title, by_hand, older = text[: top.start()], "", text[top.start() :]
    if older.startswith(f"{heading} (unreleased)\n"):
        following = _VERSION.search(older, len(heading))
        end = following.start() if following else len(older)
        by_hand, older = older[:end], older[end:]
    joined: dict[str, list[str]] = {}
    for part in (by_hand, section):
        _, *rest = _EFFECT.split(part)
        for effect, lines in zip(rest[::2], rest[1::2], strict=True):
            joined.setdefault(f"### {effect}\n", []).append(lines.strip())
    effects = ["\n".join([effect, *lines, ""]) for effect, lines in joined.items()]
    return title + "\n".join([f"{heading}\n", *effects, older])


def main(root: Path, *, write: bool) -> str:
    """
    Return the section of the coming release.

    :param root: the repository.
    :param write: also put it into CHANGELOG.md, and take the fragments away.
    """
    changelog = root / "CHANGELOG.md"
    text, found = changelog.read_text(encoding="utf-8"), fragments(root)
    section = drafted(root, coming(text))
    if write:
        changelog.write_text(released(text, section), encoding="utf-8")
        for each in found:
            each.unlink()
    return section


if __name__ == "__main__":
    try:
        sys.stdout.write(main(_ROOT, write="--draft" not in sys.argv))
    except ChangelogError as error:
        sys.exit(str(error))
