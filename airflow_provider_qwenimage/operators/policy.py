"""The retry policy of the operators: ours by default, where Airflow has one (3.3+)."""

from __future__ import annotations

from typing import Any

OUR_POLICY = "default"  # stands for QwenImageRetryPolicy, which Airflow below 3.3 does not have


def with_policy(kwargs: dict[str, Any], retry_policy: Any) -> dict[str, Any]:
    """Add the retry policy to the arguments of ``BaseOperator``, where Airflow has one (3.3+)."""
    from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

    if not AIRFLOW_V_3_3_PLUS:
        return kwargs
    if retry_policy == OUR_POLICY:
        from airflow_provider_qwenimage.retry_policy import QwenImageRetryPolicy

        retry_policy = QwenImageRetryPolicy()
    return {**kwargs, "retry_policy": retry_policy}
