"""The site's blocks of code run, and every public name that its reference shows says what it takes."""

from __future__ import annotations

import configparser
import inspect
import json
import pkgutil
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from airflow.sdk import DAG, Asset, task
from pydantic import BaseModel

from airflow_provider_qwenimage.gateway import calls
from harness import InMemoryAirflow

DOCS = Path(__file__).parent.parent / "docs"
ROOT = DOCS.parent
PAGES = sorted([*DOCS.glob("*.md"), *ROOT.glob("*.md"), ROOT / "benchmarks" / "README.md"])
RUN_ELSEWHERE = {"testing", "CONTRIBUTING"}  # as files: tests/test_testing.py; with a gateway: below
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
SHOWN = [
    line.removeprefix("::: ").strip()
    for page in sorted((DOCS / "reference").glob("*.md"))
    for line in page.read_text(encoding="utf-8").splitlines()
    if line.startswith("::: ")
]
PACKAGE = "airflow_provider_qwenimage"


def blocks(page, *kinds):
    for indent, kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind in kinds:
            yield "\n".join(line.removeprefix(indent) for line in text.splitlines()) + "\n"


def having(*kinds):
    """The pages with such blocks of these kinds; what is not run is marked as text."""
    pages = [page for page in PAGES if page.stem not in RUN_ELSEWHERE and any(blocks(page, *kinds))]
    return [pytest.param(page, id=page.stem) for page in pages]


def surroundings():
    """The names that a page takes as imported by the pages before it."""
    from airflow_provider_qwenimage.operators import batch, qwenimage
    from airflow_provider_qwenimage.transfers import qwenimage_to_s3

    modules = (batch, qwenimage, qwenimage_to_s3)
    ours = {
        name: each for module in modules for name, each in vars(module).items() if name.startswith("Qwen")
    }
    return {**ours, "DAG": DAG, "Asset": Asset, "task": task, "timedelta": timedelta}


def tasks_before():
    """The tasks that a block goes on from."""
    from airflow_provider_qwenimage.operators.approval import QwenImageApprovalOperator
    from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
    from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator

    @task
    def products():
        return [{"name": "mug", "claim": "warm"}]

    @task
    def report(manifest):
        return manifest

    draw = QwenImageGenerateOperator(task_id="drawn_before", prompt="a mug", model="qwen-image-plus")
    store = QwenImageToS3Operator(
        task_id="stored_before", images=draw.output, s3_prefix="s3://bucket/before/"
    )
    pick = QwenImageApprovalOperator(task_id="picked_before", subject="Which?", images=store.output["stored"])
    return {"draw": draw, "store": store, "pick": pick, "products": products, "report": report}


@pytest.mark.parametrize("page", having("python"))
def test_the_python_of_a_page_runs_as_it_stands(page):
    for number, text in enumerate(blocks(page, "python")):
        with DAG(f"of_the_page_{number}", schedule=None):
            names = surroundings() | tasks_before()
            exec(compile(text, f"{page.name}, block {number}", "exec"), names)  # noqa: S102


def test_the_example_for_contributors_runs(qwenimage_connection):
    qwenimage_connection(model="qwen-image-plus")
    (text,) = blocks(ROOT / "CONTRIBUTING.md", "python")
    exec(text, surroundings() | {"InMemoryAirflow": InMemoryAirflow})  # noqa: S102


@pytest.mark.parametrize("page", having("json"))
def test_the_json_of_a_page_is_json(page):
    for text in blocks(page, "json"):
        try:
            json.loads(text)
        except ValueError:
            [json.loads(line) for line in text.splitlines()]  # JSON Lines


@pytest.mark.parametrize("page", having("bash"))
def test_the_commands_of_a_page_are_commands(page):
    for text in blocks(page, "bash"):
        subprocess.run(["bash", "-n"], input=text.replace("…", "x"), text=True, check=True)


@pytest.mark.parametrize("page", having("ini", "yaml"))
def test_the_settings_of_a_page_are_read(page):
    for text in blocks(page, "ini"):
        configparser.ConfigParser().read_string(text)
    for text in blocks(page, "yaml"):
        yaml.safe_load(text)


def public(name):
    """The classes and functions behind a line of the reference."""
    found = pkgutil.resolve_name(f"{PACKAGE}.{name.removeprefix(PACKAGE).lstrip('.')}")
    if not inspect.ismodule(found):
        return [found]
    return [
        each
        for key, each in vars(found).items()
        if not key.startswith("_") and getattr(each, "__module__", "") == found.__name__ and callable(each)
    ]


def documented(kind):
    """The names that a class, what it is made of and what it refers to says something about."""
    from airflow_provider_qwenimage.operators.base import QwenImageBaseOperator

    bases = inspect.getmro(kind) if inspect.isclass(kind) else (kind,)
    shared = [QwenImageBaseOperator] if "BaseOperator" in {base.__name__ for base in bases} else []
    said = " ".join(each.__doc__ or "" for each in (*bases, *shared) if each.__module__.startswith(PACKAGE))
    return set(re.findall(r":(?:param|ivar) (\w+):", said))


def takes_its_own(kind):
    """Whether its arguments are not Airflow's, and not the fields of a model, which are shown with their types."""
    own = getattr(kind.__init__, "__module__", "").startswith(PACKAGE)
    return own and not issubclass(kind, BaseModel)


@pytest.mark.parametrize("name", SHOWN)
def test_what_the_reference_shows_says_what_it_takes(name):
    for each in public(name):
        assert each.__doc__, f"{each.__name__} has no docstring"
        if name.endswith("testing.plugin") or (inspect.isclass(each) and not takes_its_own(each)):
            continue  # what a fixture takes are fixtures
        kinds = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
        takes = {p.name for p in inspect.signature(each).parameters.values() if p.kind in kinds}
        assert takes - documented(each) == set(), each.__name__


def test_whatever_users_import_is_in_the_reference():
    shown = {each.__name__ for name in SHOWN for each in public(name)}
    from airflow_provider_qwenimage.get_provider_info import get_provider_info

    info = get_provider_info()
    modules = [
        m for section in ("hooks", "operators") for entry in info[section] for m in entry["python-modules"]
    ]
    modules += [entry["python-module"] for entry in info["transfers"]]
    modules += [
        f"{PACKAGE}.{name}" for name in ("contact_sheet", "manifests", "retry_policy", "testing.plugin")
    ]
    modules += [entry["class-name"].rpartition(".")[0] for entry in info["task-decorators"]]
    offered = {each.__name__ for module in modules for each in public(module)}
    assert offered - {"FinalForAirflow"} <= shown  # which is the hook's own


def told_by_methods(kind):
    """The arguments that a hook's methods say something about; a method may leave that to the one it names."""
    own = [each for base in inspect.getmro(kind) for each in vars(base).values() if callable(each)]
    texts = [inspect.unwrap(each).__doc__ or "" for each in own]
    texts += [
        getattr(calls, name).__doc__ for text in texts for name in re.findall(r"see ``calls\.(\w+)``", text)
    ]
    return set(re.findall(r":param (\w+):", " ".join(texts)))


@pytest.mark.parametrize("name", [name for name in SHOWN if ".hooks." in name])
def test_what_a_hook_is_asked_for_says_what_it_takes(name):
    (hook,) = public(name)
    methods = {
        key: each
        for key, each in inspect.getmembers(hook, inspect.isfunction)
        if not key.startswith("_") and each.__module__.startswith(PACKAGE)
    }
    takes = {key: set(inspect.signature(each).parameters) - {"self"} for key, each in methods.items()}
    untold = {key: names - told_by_methods(hook) for key, names in takes.items()}
    assert {key: names for key, names in untold.items() if names} == {}
