"""A local gateway for writing and testing Dags without a key and without paying.

`create_app(**settings)` is the ASGI application; `running(**settings)` serves it in a thread; `python -m
airflow_provider_qwenimage.simulator` serves it from a shell. Needs the extra `[simulator]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_qwenimage.simulator.app import create_app
    from airflow_provider_qwenimage.simulator.server import running

__all__ = ["create_app", "running"]


def __getattr__(name: str) -> Any:
    # Lazy, so that `python -m` can name the extra when Pillow or starlette are missing.
    if name == "create_app":
        from airflow_provider_qwenimage.simulator.app import create_app

        return create_app
    if name == "running":
        from airflow_provider_qwenimage.simulator.server import running

        return running
    raise AttributeError(name)
