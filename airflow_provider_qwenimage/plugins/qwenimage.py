"""
The plugin Airflow finds through the entry point ``airflow.plugins``.

Every task process imports this module and reads its attributes, only the API server needs the web application:
so that is imported when it is asked for.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_provider_qwenimage.plugins import advice

PREFIX = "/qwenimage"
_PAGE = "qwenimage/gallery?dag_id={DAG_ID}&run_id={RUN_ID}"  # relative: survives a path in [api] base_url

# As Airflow's pages name them; whoever runs a task imports this module, so they are not imported.
OPERATORS = [
    "QwenImageGenerateOperator",
    "QwenImageEditOperator",
    "QwenImageSequenceOperator",
    "QwenImageTranslateOperator",
    "QwenImageBatchOperator",
    "QwenImageCampaignPlanOperator",
    "QwenImageCampaignShardOperator",
    "QwenImageCampaignCloseOperator",
    "QwenImageToS3Operator",
    "QwenImageApprovalOperator",
    "@task.qwen_image",
]


class QwenImagePlugin(AirflowPlugin):
    """A tab *Images* on task instances and Dag runs, the application that serves it, a last line in logs."""

    name = "qwenimage"
    listeners: ClassVar[list[Any]] = [advice]  # type: ignore[misc]
    external_views: ClassVar[list[dict[str, Any]]] = [  # type: ignore[misc]
        {
            "name": "Images",
            "destination": "task_instance",
            "url_route": "qwenimage",
            "href": f"{_PAGE}&task_id={{TASK_ID}}&map_index={{MAP_INDEX}}",
            # Airflow before 3.4 does not know it, and shows the tab on every task.
            "applies_to": {"operator_name": OPERATORS},
        },
        {
            "name": "Images",
            "destination": "nav",
            "url_route": "qwenimage-library",
            "href": "qwenimage/library",
            "category": "browse",
        },
        {
            "name": "Spend",
            "destination": "nav",
            "url_route": "qwenimage-spend",
            "href": "qwenimage/spend",
            "category": "browse",
        },
        {"name": "Images", "destination": "dag_run", "url_route": "qwenimage-run", "href": _PAGE},
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The application, built when the API server asks for it."""
        from airflow_provider_qwenimage.plugins.app import app

        return [{"name": "qwenimage", "app": app, "url_prefix": PREFIX}]
