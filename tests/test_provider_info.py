"""What Airflow reads about the provider is what ships."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import airflow
import jsonschema
import pytest
import yaml
from airflow.providers_manager import ProvidersManager
from airflow.sdk import BaseHook, BaseOperator
from airflow.sdk._shared.secrets_masker import DEFAULT_SENSITIVE_FIELDS
from airflow.triggers.base import BaseTrigger

import airflow_provider_qwenimage as package
from airflow_provider_qwenimage import catalog
from airflow_provider_qwenimage.defaults import DOCUMENTATION
from airflow_provider_qwenimage.gateway.connection import Extras
from airflow_provider_qwenimage.get_provider_info import get_provider_info
from packages.contents import broken_links

ROOT = Path(__file__).parent.parent
KINDS = {"hooks": BaseHook, "operators": BaseOperator, "triggers": BaseTrigger, "transfers": BaseOperator}
INFO = get_provider_info()
(CONNECTION,) = INFO["connection-types"]


def listed(section):
    for entry in INFO[section]:
        yield from entry.get("python-modules") or [entry["python-module"]]


def classes(module, kind):
    """The classes of this kind that a module defines and users name: bases are for subclassing."""
    found = inspect.getmembers(importlib.import_module(module), inspect.isclass)
    return [
        f"{module}.{name}"
        for name, c in found
        if issubclass(c, kind) and c.__module__ == module and "Base" not in name and not name.startswith("_")
    ]


@pytest.mark.parametrize("section", KINDS)
def test_provider_info_lists_exactly_what_ships(section):
    modules = {each.name for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")}
    there = {name for name in modules if name.startswith(f"{package.__name__}.{section}.")}
    assert set(listed(section)) == {name for name in there if classes(name, KINDS[section])}


def test_the_registry_is_told_exactly_what_ships():
    told = yaml.safe_load((ROOT / ".astro-registry.yaml").read_text(encoding="utf-8"))
    assert (told["package-name"], told["display-name"]) == (INFO["package-name"], INFO["name"])
    assert told["docs-url"] == DOCUMENTATION
    for section in ("hooks", "operators", "transfers"):
        shown = {each["module"] for each in told[section]}
        assert shown == {name for module in listed(section) for name in classes(module, KINDS[section])}
    assert [each["module"] for each in told["decorators"]] == [
        each["class-name"] for each in INFO["task-decorators"]
    ]


def test_the_connection_type_agrees_with_its_hook():
    hook = pkgutil.resolve_name(CONNECTION["hook-class-name"])
    assert (hook.conn_type, hook.hook_name) == (CONNECTION["connection-type"], CONNECTION["hook-name"])


def test_the_form_has_a_field_for_every_extra_and_no_other():
    assert set(CONNECTION["conn-fields"]) == set(Extras.model_fields)


def test_the_form_offers_the_gateways_of_the_catalogue():
    assert CONNECTION["conn-fields"]["gateway"]["schema"]["enum"] == list(catalog.gateways())


def test_no_field_of_the_form_is_hidden_by_the_secrets_masker():
    hidden = [
        f for f in CONNECTION["conn-fields"] if any(word in f.lower() for word in DEFAULT_SENSITIVE_FIELDS)
    ]
    assert hidden == []


def test_every_section_follows_airflows_strict_schema():
    path = Path(airflow.__file__).parent / "provider.yaml.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    sections = schema["properties"]
    assert set(INFO) <= set(sections)
    for section, value in INFO.items():
        jsonschema.validate(value, {**sections[section], "definitions": schema["definitions"]})
    known = sections["connection-types"]["items"]["properties"]
    assert set(CONNECTION) <= set(known), "Airflow ignores keys it does not know, without a word"
    for field in CONNECTION["conn-fields"].values():
        assert set(field) <= set(known["conn-fields"]["additionalProperties"]["properties"])


def test_all_of_it_follows_the_schema_that_airflow_checks_installed_providers_with():
    path = Path(airflow.__file__).parent / "provider_info.schema.json"
    jsonschema.validate(INFO, json.loads(path.read_text(encoding="utf-8")))


def test_every_guide_is_a_page_of_the_repository():
    (integration,) = INFO["integrations"]
    guides = [*integration["how-to-guide"], *(transfer["how-to-guide"] for transfer in INFO["transfers"])]
    assert [guide for guide in guides if not (ROOT / guide.lstrip("/")).is_file()] == []


def test_the_documentation_is_at_one_address():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    site = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506  tags of the site's icons are only text
    urls = project["project"]["urls"]
    told = INFO["config"]["qwenimage"]["options"]["documentation_url"]["default"]
    assert {told, urls["Documentation"], site["site_url"]} == {DOCUMENTATION}
    assert site["repo_url"] == urls["Repository"]


def test_every_link_of_the_readme_leads_somewhere_from_a_package_index():
    # As the build hook does it, which tests/packages looks at in the built wheel.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for rule in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"].replace("$HFPR_VERSION", "1.0"), text)
    assert broken_links(text, project["project"]["urls"]["Repository"], "1.0") == []
    assert len(re.findall(r"\]\(https://github\.com/[^)]+/docs/", text)) > 10


def test_the_package_name_is_the_distributions():
    # Anything else breaks provider discovery for the whole deployment.
    assert INFO["package-name"] == distribution(INFO["package-name"]).metadata["Name"]


def test_airflow_lists_the_provider_and_its_form_without_importing_the_hook(in_subprocess):
    printed = in_subprocess("""
import json, sys
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
form = {hook.connection_type: hook for hook in HookMetaService.hook_meta_data()}["qwenimage"]
assert "airflow_provider_qwenimage.hooks" not in sys.modules
print(form.model_dump_json())
""")
    form = json.loads(printed.splitlines()[-1])
    assert form["hook_name"] == "Qwen Image Gateway"
    assert list(form["extra_fields"]) == list(CONNECTION["conn-fields"])
    assert form["extra_fields"]["gateway"]["schema"]["enum"] == list(catalog.gateways())
    assert form["standard_fields"]["password"]["title"] == "API Key"
    assert form["standard_fields"]["login"]["hidden"] is True


def test_airflow_lists_the_provider_with_its_version():
    listed_as = ProvidersManager().providers[INFO["package-name"]]
    assert listed_as.version == package.__version__
