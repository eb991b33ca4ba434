"""Users of the test Airflow: Anna may see every Dag, Ben none but ``pictures``, Cleo of every Dag its XComs only."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

ANNA = SimpleAuthManagerUser(username="anna", role="viewer")
BEN = SimpleAuthManagerUser(username="ben", role="viewer")
CLEO = SimpleAuthManagerUser(username="cleo", role="viewer")


class PerDag(SimpleAuthManager):
    """Airflow's own simple auth manager, with permissions for single Dags."""

    def is_authorized_dag(self, *, user: SimpleAuthManagerUser, details: Any = None, **rest: Any) -> bool:
        if user.username == "ben" and getattr(details, "id", None) != "pictures":
            return False
        if user.username == "cleo" and rest.get("access_entity") is not DagAccessEntity.XCOM:
            return False
        return super().is_authorized_dag(user=user, details=details, **rest)
