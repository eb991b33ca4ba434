"""Importing the operators costs a Dag parse next to nothing (design: cheap to load)."""

from __future__ import annotations

import ast

import pytest

SECTIONS = ("hooks", "operators", "transfers", "triggers")
DEAR = (
    "boto3",
    "botocore",
    "redis",
    "requests",
    "aiohttp",
    "fastapi",
    "PIL",
    "starlette",
    "uvicorn",
    "airflow.providers.amazon",
)

PARSE = """
import importlib, pkgutil, sys
import airflow.sdk
before = set(sys.modules)
import airflow_provider_qwenimage as package
for each in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if each.name.split(".")[1] == {section!r}:
        importlib.import_module(each.name)
print(sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize("section", SECTIONS)
def test_importing_after_airflow_adds_nothing_dear(section, in_subprocess):
    added = ast.literal_eval(in_subprocess(PARSE.format(section=section)).splitlines()[-1])
    assert any(name.startswith(f"airflow_provider_qwenimage.{section}.") for name in added)
    assert [name for name in added if name.startswith(DEAR)] == []
