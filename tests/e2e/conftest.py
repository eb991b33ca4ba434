"""One Airflow for the whole suite, and what it leads to: the simulator and an S3 server."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_qwenimage.simulator import running
from e2e.airflow_cluster import running_airflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.local_s3 import LocalS3
    from e2e.airflow_cluster import Airflow

DAGS = Path(__file__).parent / "dags"
SIMULATOR_KEY = "sk-simulator-key"


def pytest_configure() -> None:
    """Let a terminated run unwind, so that what it started is stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests to ``make test-e2e``, which names the folder: they start an Airflow and take minutes."""
    named = any("e2e" in argument for argument in config.args)
    return None if named else True


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that tests and Dags share."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def simulator() -> Iterator[Any]:
    """The gateway Airflow's connections lead to, for as long as Airflow runs."""
    with running(key=SIMULATOR_KEY) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def airflow(
    simulator: Any, rclone_s3: LocalS3, scratch: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Airflow]:
    """The running Airflow; its connections ``tokenhot``, ``impatient``, ``dashscope`` and ``s3`` lead to servers here."""
    rclone_s3.client().create_bucket(Bucket="images")
    connections = {
        "tokenhot": _connection(simulator, "tokenhot"),
        "impatient": _connection(simulator, "tokenhot", timeout=5),
        "dashscope": _connection(simulator, "dashscope"),
        "s3": json.loads(rclone_s3.connection),
        # What the example Dags name.
        "qwenimage_default": _connection(simulator, "tokenhot", model="qwen-image-plus"),
        "aws_default": json.loads(rclone_s3.connection),
    }
    home = tmp_path_factory.mktemp("airflow")
    environ = {"E2E_SCRATCH": str(scratch)}
    with running_airflow(dags=DAGS, home=home, connections=connections, environ=environ) as started:
        yield started


@pytest.fixture
def gateway(simulator: Any) -> Iterator[Any]:
    """The simulator as if newly started; ``gateway.state.settings`` may be changed."""
    settings = asdict(simulator.state.settings)
    simulator.state.reset()
    yield simulator
    simulator.state.settings.change(settings)


def _connection(simulator: Any, gateway: str, **extra: Any) -> dict[str, Any]:
    extra = {"gateway": gateway, "allow_private_hosts": True, **extra}
    host = simulator.base(gateway)
    return {"conn_type": "qwenimage", "host": host, "password": SIMULATOR_KEY, "extra": extra}
