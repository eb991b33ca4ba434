"""
Install the wheel on each row of ``rows.toml`` and run what Airflow has there: ``run_rows.py WHEEL [ROW ...]``.

A row is two questions: does Airflow list the wheel alone, and do the operators keep their promises. What a row has
is written as a table into ``dist/matrix.md``, and with all rows into docs/compatibility.md; so is that a row was
skipped, for lack of its Python. Where all of them were, nothing was tried, and that is a failure.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ROWS = tomllib.loads((HERE / "rows.toml").read_text(encoding="utf-8"))
UV = Path(sys.executable).with_name("uv")
PAGE = ROOT / "docs" / "compatibility.md"
TABLE = "<!-- written by make matrix -->\n"
NAME = "airflow-provider-qwenimage"


class RowError(Exception):
    """A row is not as it should be."""


def found_python(wanted: str) -> str | None:
    """Return a Python of this version: on PATH, kept by pyenv, or one that uv can fetch."""
    told = "import sys; print('%d.%d' % sys.version_info[:2])"
    kept = (Path.home() / ".pyenv" / "versions").glob(f"{wanted}.*/bin/python")
    for candidate in (shutil.which(f"python{wanted}"), *sorted(map(str, kept))):
        # A version manager's shim may be on PATH without a Python behind it.
        if candidate and answered(candidate, "-c", told) == wanted:
            return candidate
    if not (there := answered(UV, "python", "find", wanted)):
        answered(UV, "python", "install", "--quiet", wanted)
        there = answered(UV, "python", "find", wanted)
    return there or None


def answered(*command: object) -> str:
    """Return what a command printed, nothing where it failed."""
    ran = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    return "" if ran.returncode else ran.stdout.strip()


def install(python: Path, *what: object) -> None:
    subprocess.run(
        [UV, "pip", "install", "--quiet", "--python", python, *map(str, what)], check=True, cwd=ROOT
    )


def asked(python: Path, script: str, home: Path) -> dict[str, Any]:
    """Run a script on a row, outside of the repository, and return the JSON of its last line."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith(("AIRFLOW_", "PYTHON"))}
    environ["AIRFLOW_HOME"] = str(home)
    environ["PATH"] = f"{python.parent}{os.pathsep}{environ['PATH']}"
    ran = subprocess.run(
        [python, "-P", HERE / script], cwd=home, env=environ, stdout=subprocess.PIPE, text=True, check=False
    )
    print(ran.stdout, end="", flush=True)
    if ran.returncode:
        raise RowError(f"{script} failed")
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def resolvable(wheel: Path, told: dict[str, Any]) -> bool:
    """Whether all that a row needs has wheels for its Python, which need not be here for that."""
    what = (f"{NAME}[redis,simulator] @ {wheel.as_uri()}", told["airflow"], *told.get("beside", ()))
    command = [
        UV,
        "pip",
        "compile",
        "--quiet",
        "--python-version",
        told["python"],
        "--only-binary",
        ":all:",
        "-",
    ]
    ran = subprocess.run(command, input="\n".join(what), text=True, stdout=subprocess.DEVNULL, check=False)
    return ran.returncode == 0


def row(name: str, wheel: Path, folder: Path) -> dict[str, Any]:
    """Make a row and ask it, or say that its Python is not to be had."""
    told = ROWS[name]
    source = found_python(told["python"])
    if source is None:
        if "airflow" in told and not resolvable(wheel, told):
            raise RowError(f"not all that it needs has wheels for Python {told['python']}")
        return {"python": told["python"], "skipped": "SKIPPED: no such Python where this was written"}
    started = time.monotonic()
    subprocess.run([UV, "venv", "--quiet", "--python", source, folder / "venv"], check=True)
    python, home = folder / "venv" / "bin" / "python", folder / "home"
    home.mkdir()
    if told.get("lowest"):
        ends = (
            "--resolution",
            "lowest-direct",
            "--requirement",
            "pyproject.toml",
            "--constraint",
            HERE / "floor.txt",
        )
        install(python, *ends)
        install(python, "--no-deps", wheel)
        extras = (*ends, "--extra", "redis", "--extra", "simulator")
    else:
        beside = (told["airflow"], *told.get("beside", ()))
        install(python, wheel, *beside)
        extras = (f"{wheel}[redis,simulator]", *beside)
    facts = asked(python, "check_installed.py", home)
    install(python, *extras)
    install(python, "moto[server]>=5.1")
    facts |= asked(python, "check_row.py", home)
    print(f"row {name}: {time.monotonic() - started:.0f} s", flush=True)
    return facts


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Return what each row has, and what it has not, as Markdown."""
    some = next((facts for facts in rows.values() if "skipped" not in facts), {"python": ""})
    heads = [head for head in some if head not in ("Dags", "faults", "wrong")]
    lines = [["row", *heads, "tried"], ["---"] * (len(heads) + 2)]
    for name, facts in rows.items():
        told = [str(facts.get(head, "–")) for head in heads]
        tried = facts.get("skipped") or f"{facts['Dags']} Dags, {facts['faults']} faults"
        lines.append([name, *({"True": "yes", "False": "no"}.get(cell, cell) for cell in told), tried])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def result(rows: dict[str, dict[str, Any]], failed: list[str]) -> int:
    """Say last what failed and what was not tried; where nothing was, that is a failure."""
    left = [name for name, facts in rows.items() if "skipped" in facts]
    print(*failed, *(f"row {name}: SKIPPED, nothing was tried" for name in left), sep="\n", file=sys.stderr)
    return int(bool(failed) or len(left) == len(rows))


def main() -> int:
    wheel, names = Path(sys.argv[1]).resolve(), sys.argv[2:] or list(ROWS)
    rows, failed = {}, []
    for name in names:
        with tempfile.TemporaryDirectory(prefix=f"qwenimage-{name}-") as folder:
            try:
                rows[name] = row(name, wheel, Path(folder))
            except (RowError, subprocess.CalledProcessError) as error:
                failed.append(f"row {name}: {error}")
    written = table(rows) if rows else ""
    print(written)
    (ROOT / "dist" / "matrix.md").write_text(written, encoding="utf-8")
    if not (sys.argv[2:] or failed):
        head, _, _ = PAGE.read_text(encoding="utf-8").partition(TABLE)
        PAGE.write_text(f"{head}{TABLE}{written}", encoding="utf-8")
    return result(rows, failed)


if __name__ == "__main__":
    sys.exit(main())
