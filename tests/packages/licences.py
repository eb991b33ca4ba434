"""What the wheel brings along: as an SBOM (CycloneDX), and under which licences."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

PROJECT = tomllib.loads((Path(__file__).parent.parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
UV = Path(sys.executable).with_name("uv")
# Licences whose terms everything under Apache-2.0 may be installed beside; a new one is looked at before it is added.
KNOWN = re.compile(
    r"Apache|BSD|MIT|ISC|Artistic|PSF|Python-2\.0|Python Software Foundation|MPL|Mozilla|HPND|Unlicense|CC0|0BSD|Zlib|LGPL|Lesser General",
    re.IGNORECASE,
)
# What the metadata does not say, or leaves to choose; looked at in the version named.
LOOKED_AT = {
    "protobuf": "BSD-3-Clause",  # 7.36.2, its LICENSE
    "text-unidecode": "Artistic-1.0",  # 1.3, to choose beside the GPL
}


def licence_problems(python: Path, folder: Path) -> list[str]:
    """
    Write the SBOM and the table of licences of an environment, and name what has no licence we know.

    :param python: of the environment.
    :param folder: where both are written.
    """
    sbom = folder / "sbom.cdx.json"
    (cyclonedx,) = PROJECT["dependency-groups"]["sbom"]
    command = [UV, "tool", "run", "--quiet", "--from", cyclonedx, "cyclonedx-py", "environment"]
    written = ["--output-reproducible", "--of", "JSON", "--output-file", sbom]
    subprocess.run([*command, *written, python], check=True)
    components = json.loads(sbom.read_text(encoding="utf-8"))["components"]
    rows = sorted((each["name"], each["version"], licence(each)) for each in components)
    head = "| package | version | licence |\n|---|---|---|\n"
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    (folder / "licences.md").write_text(head + table, encoding="utf-8")
    return [
        f"{name} {version}: licence {told or 'unknown'}"
        for name, version, told in rows
        if not KNOWN.search(told)
    ]


def licence(component: dict[str, Any]) -> str:
    """Return under which licence a component is, as an expression or a list."""
    if component["name"] in LOOKED_AT:
        return LOOKED_AT[component["name"]]
    told = component.get("licenses", [])
    names = [
        each.get("expression") or each["license"].get("id") or each["license"].get("name", "")
        for each in told
    ]
    return ", ".join(dict.fromkeys(name.splitlines()[0] for name in names if name))
