"""A module imports only to its left; the order is the one drawn in docs/architecture."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_qwenimage

ROOT = Path(airflow_provider_qwenimage.__file__).parent
CHAIN = (
    ("exceptions", "redaction", "defaults", "get_provider_info", ""),
    ("contact_sheet", "documentation", "simulator", "testing"),
    ("models",),
    ("catalog", "telemetry"),
    ("wire",),
    ("transport", "payment"),
    ("images",),
    ("storage",),
    ("gateway",),
    ("hooks",),
    ("batch", "triggers", "retry_policy", "manifests"),
    ("operators",),
    ("transfers", "decorators", "plugins"),
)
LAYER = {name: level for level, names in enumerate(CHAIN) for name in names}
MOST_LINES = 300
FILES = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}


# Commands, which stand where a reader of their subject looks for them and are called by nothing: they may import all.
COMMANDS = {"catalog/verify.py"}


def area(file):
    return file.partition("/")[0].removesuffix(".py").removeprefix("__init__")


def imports(file):
    """Yield the full name of everything a file imports, inside functions and for type checking too."""
    for node in ast.walk(ast.parse(FILES[file].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES)
def test_a_module_imports_only_to_its_left(file):
    own = [name.split(".")[1] for name in imports(file) if name.startswith("airflow_provider_qwenimage.")]
    assert area(file) in LAYER, f"{file} has no place in CHAIN yet"
    rank = len(CHAIN) if file in COMMANDS else LAYER[area(file)]
    wrong = [name for name in own if LAYER.get(name, 0) > rank]
    assert wrong == []
    # The simulator is the witness of the tests: it shares no code with what it is to test, and only tests need it.
    witnesses = {"simulator", "testing"}
    assert {name for name in own if witnesses & {name, area(file)}} <= (
        witnesses if area(file) == "testing" else {area(file), "__version__"}
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_imports_a_command(command):
    name = f"airflow_provider_qwenimage.{command.removesuffix('.py').replace('/', '.')}"
    assert [file for file in FILES if any(found.startswith(name) for found in imports(file))] == []


@pytest.mark.parametrize("file", FILES)
def test_httpx_is_imported_in_one_room(file):
    assert (
        area(file) == "transport"
        or area(file) == "simulator"
        or not {n.split(".")[0] for n in imports(file)} & {"httpx"}
    )


@pytest.mark.parametrize("file", [file for file in FILES if area(file) == "wire"])
def test_the_wire_computes_and_performs_nothing(file):
    performing = {"airflow", "httpx", "time", "socket", "logging", "random", "asyncio"}
    assert {name.split(".")[0] for name in imports(file)} & performing == set()


@pytest.mark.parametrize(
    "module", ["wire.harvest", "wire.jobs", "catalog.rules", "exceptions", "payment.consequences"]
)
def test_what_is_pure_loads_no_airflow_in_a_fresh_process(module):
    code = f"import sys, airflow_provider_qwenimage.{module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert set(told.stdout.split()) & {"airflow", "sqlalchemy", "httpx", "boto3"} == set()


@pytest.mark.parametrize("file", FILES)
def test_a_module_is_one_that_is_read_in_one_go(file):
    assert len(FILES[file].read_text().splitlines()) <= MOST_LINES
