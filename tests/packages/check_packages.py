"""
Build the source distribution and the wheel twice into ``dist`` and look at everything an index will show of them.

The same bytes twice; nothing missing, nothing foreign; metadata that an index takes; links that lead somewhere from
there; a wheel that Airflow lists when it is installed alone; of what it brings along an SBOM (``dist/sbom.cdx.json``)
and the licences (``dist/licences.md``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from packages.contents import link_problems, sdist_problems, wheel_problems
from packages.licences import licence_problems

ROOT = Path(__file__).parent.parent.parent
UV = Path(sys.executable).with_name("uv")
DIST = ROOT / "dist"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EPOCH = "1735689600"  # 2025-01-01, for every release: who builds it again needs to know nothing


def built(folder: Path, *, umask: int) -> list[Path]:
    """Build both; the wheel is made of the source distribution, as whoever has only that would."""
    environ = {"SOURCE_DATE_EPOCH": EPOCH, **os.environ}
    environ["PATH"] = f"{UV.parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "build", "--installer", "uv", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL, umask=umask)
    return sorted(folder.iterdir())


def reproducible_problems(folder: Path) -> list[str]:
    """Build once more, with other permissions of new files and into another folder, and name what differs."""
    again = {path.name: path.read_bytes() for path in built(folder, umask=0o077)}
    return [
        f"{path.name}: not the same bytes twice"
        for path in packages()
        if again[path.name] != path.read_bytes()
    ]


def packages() -> list[Path]:
    return sorted([*DIST.glob("*.tar.gz"), *DIST.glob("*.whl")])


def installed(wheel: Path, folder: Path) -> Path:
    """Install the wheel and the Airflow we develop on into a new environment; return its Python."""
    what = [str(wheel.resolve()), *PROJECT["dependency-groups"]["airflow"]]
    python = folder / "bin" / "python"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, *what], check=True)
    return python


def listed(python: Path, folder: Path) -> int:
    """Ask Airflow about the installed wheel; not in the repository, where the sources would be imported instead."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW_", "PYTHON"))}
    environ["AIRFLOW_HOME"] = str(folder / "airflow")
    script = ROOT / "tests" / "matrix" / "check_installed.py"
    return subprocess.run([str(python), "-P", str(script)], cwd=folder, env=environ, check=False).returncode


def main() -> int:
    shutil.rmtree(DIST, ignore_errors=True)
    sdist, wheel = sorted(built(DIST, umask=0o022), key=lambda path: path.suffix == ".whl")
    with tempfile.TemporaryDirectory(prefix="qwenimage-packages-") as name:
        folder = Path(name)
        problems = [*wheel_problems(wheel), *sdist_problems(sdist), *link_problems(wheel)]
        problems += reproducible_problems(folder / "again")
        subprocess.run([sys.executable, "-m", "twine", "check", "--strict", sdist, wheel], check=True)
        print(f"{wheel.name}: installing it …", flush=True)
        python = installed(wheel, folder / "venv")
        problems += licence_problems(python, DIST)
        told = "as they should be, the same bytes twice" if not problems else "\n".join(problems)
        print(f"{sdist.name}, {wheel.name}: {told}", flush=True)
        return listed(python, folder) or int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
