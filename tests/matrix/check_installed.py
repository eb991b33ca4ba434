"""
Asked in an environment that has only the wheel: does Airflow list the provider, its form and its documentation?

Prints a line of JSON with what it found; what one Airflow has and another has not is a fact, anything else fails.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib.metadata import metadata, version
from importlib.resources import files
from typing import Any

NAME = "airflow-provider-qwenimage"


def form_fields() -> list[str]:
    """Return the fields of the connection form, and check what every Airflow shows of it."""
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    form = {each.connection_type: each for each in HookMetaService.hook_meta_data()}["qwenimage"]
    assert form.hook_name == "Qwen Image Gateway"
    return list(form.extra_fields or {})


def hook_package() -> str:
    """Return whose hook serves the connection type; the hook is imported for it."""
    if importlib.util.find_spec("airflow.sdk.providers_manager_runtime"):
        from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime as Hooks
    else:
        from airflow.providers_manager import ProvidersManager as Hooks
    hook = Hooks().hooks["qwenimage"]
    assert hook is not None, "the hook does not import"
    return str(hook.package_name)


def documentation() -> str | None:
    """Return where the page *Providers* leads; below 3.2 it leads to Airflow's own pages, whatever a provider says."""
    from airflow.providers_manager import ProvidersManager

    declared = dict(each.split(", ", 1) for each in metadata(NAME).get_all("Project-URL"))["Documentation"]
    shown = ProvidersManager().providers[NAME].data.get("documentation-url")
    # Airflow 3.2 leaves the blank after the comma before it, which a browser passes over.
    assert shown is None or shown.strip() == declared, f"Providers leads to {shown}"
    return shown


def main() -> None:
    from airflow.providers_manager import ProvidersManager

    package = files("airflow_provider_qwenimage")
    assert "site-packages" in str(package), f"imported from {package}"
    assert package.joinpath("py.typed").is_file()
    assert ProvidersManager().providers[NAME].version == version(NAME)
    assert hook_package() == NAME

    from airflow_provider_qwenimage import catalog
    from airflow_provider_qwenimage.get_provider_info import get_provider_info
    from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
    from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator

    assert catalog.gateways()
    assert {QwenImageGenerateOperator, QwenImageToS3Operator}
    (connection,) = get_provider_info()["connection-types"]
    fields, airflow = form_fields(), version("apache-airflow")
    assert fields == (list(connection["conn-fields"]) if airflow >= "3.2" else []), f"form fields: {fields}"
    found: dict[str, Any] = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "airflow": airflow,
        "form fields": len(fields),
        "Providers leads to the documentation": documentation() is not None,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
