"""What the pages tell a reader to type is there: targets, modules and their options, extras, connections, files."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook

ROOT = Path(__file__).parent.parent
TRACKED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
    check=True,
    cwd=ROOT,
    capture_output=True,
    text=True,
).stdout.split()
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in TRACKED if name.endswith(".md")}
OTHERS = [".ci/run", "Makefile", *(name for name in TRACKED if name.startswith(".github/workflows/"))]
TEXT = "\n".join([*PAGES.values(), *((ROOT / name).read_text(encoding="utf-8") for name in OTHERS)])
SHELL = re.compile(r"^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS = [(name, text) for name, page in PAGES.items() for text in SHELL.findall(page)]
# At the start of a line or of a span of code; elsewhere it is the English word.
MAKE = re.compile(r"(?:^[#\s]*(?:- run: )?|`)(?:\w+=\S+ )?make ([a-z.][\w./-]*)", re.MULTILINE)
MODULE = re.compile(r"python -m (airflow_provider_qwenimage[\w.]*)((?: --[\w-]+(?: [\w.…]+)?)*)")
# A file of another repository is told with its commit.
FILE = re.compile(
    r"`((?:tests|docs|example_dags|benchmarks|demo|\.ci|\.github|airflow_provider_qwenimage)/[\w./-]+)`(?! @)"
)


def settings_of(conn_id):
    with QwenImageHook(conn_id) as hook:
        return hook.settings


def test_every_target_is_one_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(VENV)", ".venv")
    targets = {
        name
        for line in re.findall(r"^([^\s#:=]+(?: [^\s:=]+)*):(?!=)", makefile, re.MULTILINE)
        for name in line.split()
    }
    named = set(MAKE.findall(TEXT))
    assert len(named) > 10
    assert named - targets == set()


def modules():
    found = {}
    for module, options in MODULE.findall(TEXT):
        found.setdefault(module, set()).update(re.findall(r"--[\w-]+", options))
    return found


@pytest.mark.parametrize(("module", "options"), modules().items())
def test_every_module_takes_the_options_that_are_told(module, options):
    ran = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        check=True,
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert {option for option in options if option not in ran.stdout} == set()


def test_every_extra_is_declared():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {
        name
        for each in re.findall(r"airflow-provider-qwenimage\[([\w,]+)\]", TEXT)
        for name in each.split(",")
    }
    assert named
    assert named <= set(declared["optional-dependencies"])


@pytest.mark.parametrize(("page", "text"), [each for each in BLOCKS if "export AIRFLOW_CONN_" in each[1]])
def test_every_connection_that_is_exported_is_one(page, text, monkeypatch):
    command = ["bash", "-c", f"{text.replace('…', 'x')}\nenv -0"]
    only_its_own = {"PATH": os.environ["PATH"]}
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=only_its_own)
    exported = [each.partition("=") for each in told.stdout.split("\0") if each.startswith("AIRFLOW_CONN_")]
    assert exported
    for name, _, connection in exported:
        monkeypatch.setenv(name, connection)
        assert settings_of(name.removeprefix("AIRFLOW_CONN_").lower()).gateway.name, page


def test_every_connection_that_is_added_by_a_command_is_one(monkeypatch):
    added = [
        shlex.split(text) for _, text in BLOCKS if re.match(r"airflow connections add|vault kv put", text)
    ]
    assert len(added) == 2
    for words in added:
        extra = next(
            word.removeprefix("extra=") for word in words if word.removeprefix("extra=").startswith("{")
        )
        added_so = {"conn_type": "qwenimage", "password": "x", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_ADDED", json.dumps(added_so))
        assert settings_of("added").gateway.name == "tokenhot"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_is_there(page):
    assert [name for name in FILE.findall(PAGES[page]) if not (ROOT / name).exists()] == []
