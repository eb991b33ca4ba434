"""What every route asks before it answers: who looks, at which task instance, and what that recorded."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, HTTPException, Query, Request  # noqa: TID253

from airflow_provider_qwenimage.plugins.records import Instance, Records
from airflow_provider_qwenimage.plugins.rest import RestApi

may_read_xcom = Depends(requires_access_dag("GET", DagAccessEntity.XCOM))
records = Records()


def instance(
    dag_id: str, run_id: str, task_id: str, map_index: Annotated[int, Query(ge=-1)] = -1
) -> Instance:
    """Return the task instance that a request names."""
    named = Instance(dag_id, run_id, task_id, map_index)
    if not named.is_one:
        raise HTTPException(404, "There is no such task instance.")
    return named


TheInstance = Annotated[Instance, Depends(instance)]


def api(request: Request) -> RestApi:
    """Return Airflow's REST API as the user whose request this is."""
    return RestApi(request.state.airflow, request.scope)
