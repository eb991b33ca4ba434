"""What is in the packages, and where their description leads."""

from __future__ import annotations

import re
import subprocess
import tarfile
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = "airflow_provider_qwenimage"
METADATA = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def wheel_problems(wheel: Path) -> list[str]:
    """Say what is missing from the wheel, and what has no business in it."""
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    info = next(name for name in packed if name.endswith(".dist-info/METADATA")).partition("/")[0]
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    sources |= {f"{PACKAGE}/{path.relative_to(ROOT)}" for path in (ROOT / "example_dags").glob("*.py")}
    return _differences(wheel, packed, sources | {f"{info}/{name}" for name in METADATA})


def sdist_problems(sdist: Path) -> list[str]:
    """Say what is missing from the source distribution: it has all files under version control that it names."""
    with tarfile.open(sdist) as archive:
        packed = {each.name.partition("/")[2] for each in archive.getmembers() if each.isfile()}
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    include = told["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *include],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    own = {"PKG-INFO", "pyproject.toml", ".gitignore"}
    return _differences(
        sdist, packed, own | {name for name in tracked.stdout.split() if (ROOT / name).exists()}
    )


def _differences(package: Path, packed: set[str], expected: set[str]) -> list[str]:
    missing = [f"{package.name}: missing: {name}" for name in sorted(expected - packed)]
    return missing + [f"{package.name}: unexpected: {name}" for name in sorted(packed - expected)]


def link_problems(wheel: Path) -> list[str]:
    """Name the links of the description that lead nowhere from a package index."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_string(archive.read(name).decode())
    urls = dict(each.split(", ", 1) for each in metadata.get_all("Project-URL", []))
    return broken_links(metadata.get_payload(), urls["Repository"], metadata["Version"])


def broken_links(text: str, repository: str, version: str) -> list[str]:
    """
    Return the links that are relative, or lead to a file the repository has not.

    :param repository: its address on the forge.
    :param version: of the release, whose tag the links lead to.
    """
    raw = repository.replace("https://github.com/", "https://raw.githubusercontent.com/")
    ours = re.compile(rf"(?:{re.escape(repository)}/blob|{re.escape(raw)})/v{re.escape(version)}/([^#]+)")
    problems = []
    for link in LINK.findall(text):
        if not link.startswith(("https://", "http://", "#")):
            problems.append(f"link is relative: {link}")
        elif link.startswith((repository, raw)):
            found = ours.match(link)
            if not (found and (ROOT / found[1]).exists()):
                problems.append(f"link leads nowhere: {link}")
    return problems
