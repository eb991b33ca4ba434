"""Asked in an environment that has only the wheel: does Airflow list the provider, its connection type and its form?"""

from __future__ import annotations

import sys
from importlib.metadata import version
from importlib.resources import files

NAME = "airflow-provider-qwenimage"
FIELDS = [
    "gateway",
    "model",
    "request_format",
    "timeout",
    "verify",
    "allow_private_hosts",
    "checks",
    "price_per_image",
    "limits",
    "budget",
    "idempotency_header",
]


def main() -> None:
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
    from airflow.providers_manager import ProvidersManager
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    package = files("airflow_provider_qwenimage")
    assert "site-packages" in str(package), f"imported from {package}"
    assert package.joinpath("py.typed").is_file()

    assert ProvidersManager().providers[NAME].version == version(NAME)
    hook = ProvidersManagerTaskRuntime().hooks["qwenimage"]
    assert hook is not None, "the hook does not import"
    assert hook.package_name == NAME
    form = {each.connection_type: each for each in HookMetaService.hook_meta_data()}["qwenimage"]
    assert form.hook_name == "Qwen Image Gateway"
    assert list(form.extra_fields or {}) == FIELDS, f"form fields: {list(form.extra_fields or {})}"

    from airflow_provider_qwenimage import catalog
    from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
    from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator

    assert catalog.gateways()
    assert {QwenImageGenerateOperator, QwenImageToS3Operator}
    print(
        f"{NAME} {version(NAME)} on Airflow {version('apache-airflow')}: listed, with {len(FIELDS)} form fields"
    )


if __name__ == "__main__":
    sys.exit(main())
