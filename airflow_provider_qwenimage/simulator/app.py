"""The ASGI application: one base path per gateway, files, control."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount, Route

from airflow_provider_qwenimage.simulator.control import Control
from airflow_provider_qwenimage.simulator.dashscope import DashScope
from airflow_provider_qwenimage.simulator.files import Files
from airflow_provider_qwenimage.simulator.gateway import Gateway
from airflow_provider_qwenimage.simulator.settings import Settings
from airflow_provider_qwenimage.simulator.state import State
from airflow_provider_qwenimage.simulator.vendor import GATEWAYS


def create_app(**settings: Any) -> Starlette:
    """Build the application.

    Faults that end a connection need `running()` or `python -m`: other servers do not hand out sockets.

    :param settings: fields of `Settings`.
    """
    chosen = Settings()
    chosen.change(settings)
    state = State(chosen)
    kinds = {"dashscope": DashScope}
    gateways = [
        Mount(f"/{name}", routes=kinds.get(row.kind, Gateway)(row, state).routes())
        for name, row in GATEWAYS.items()
    ]
    files = Route("/files/{gateway}/{name}", Files(state).get)
    app = Starlette(routes=[*Control(state).routes(), files, *gateways])
    app.state.simulator = state
    return app
