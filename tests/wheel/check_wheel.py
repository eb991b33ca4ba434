"""
Look into a built wheel, install it into a clean environment and ask Airflow there about it: ``check_wheel.py WHEEL``.

The environment is made by the Python that runs this, lies in a temporary folder and is removed at the end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = "airflow_provider_qwenimage"
METADATA = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")


def content_problems(wheel: Path) -> list[str]:
    """Say what is missing from the wheel, and what has no business in it."""
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    info = next(name for name in packed if name.endswith(".dist-info/METADATA")).partition("/")[0]
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected = sources | {f"{info}/{name}" for name in METADATA}
    return [f"missing: {name}" for name in sorted(expected - packed)] + [
        f"unexpected: {name}" for name in sorted(packed - expected)
    ]


def installed(wheel: Path, folder: Path) -> Path:
    """Install the wheel and the Airflow we develop on into a new environment; return its Python."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    what = [str(wheel.resolve()), *groups["airflow"]]
    python = folder / "bin" / "python"
    if uv := shutil.which("uv"):
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *what], check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *what], check=True)
    return python


def main() -> int:
    wheel = Path(sys.argv[1])
    if problems := content_problems(wheel):
        print(f"{wheel.name}:", *problems, sep="\n  ", file=sys.stderr)
        return 1
    print(f"{wheel.name}: holds what it should; installing it …", flush=True)
    with tempfile.TemporaryDirectory(prefix="qwenimage-wheel-") as name:
        folder = Path(name)
        python = installed(wheel, folder / "venv")
        environ = {
            key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW_", "PYTHON"))
        }
        environ["AIRFLOW_HOME"] = str(folder / "airflow")
        script = Path(__file__).with_name("check_installed.py")
        # Not in the repository: there, the sources would be imported instead of what was installed.
        return subprocess.run(
            [str(python), "-P", str(script)], cwd=folder, env=environ, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
