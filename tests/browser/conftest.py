"""One Airflow without a gateway connection, which is typed in; the simulator, an S3 server, and the browser."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.airflow_cluster import running_airflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from browser.browser import Browser
    from demo.local_s3 import LocalS3
    from e2e.airflow_cluster import Airflow

DAGS = Path(__file__).parent / "dags"
EXAMPLE = Path(__file__).parent.parent.parent / "example_dags" / "approve_campaign.py"
KEY = "sk-simulator-key-typed-into-a-form"
BUCKET = "marketing-assets"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests to ``make test-e2e``, which names the folder: they start an Airflow and take minutes."""
    named = any("browser" in argument for argument in config.args)
    return None if named else True


@pytest.fixture(scope="session")
def programs() -> tuple[str, str]:
    """Chromium and its driver; without them there is nothing to see, which is an error where it counts."""
    from browser.browser import HOW_TO_INSTALL, installed

    found = installed()
    if found is None and os.environ.get("CI"):
        pytest.fail(HOW_TO_INSTALL)
    if found is None:
        pytest.skip(HOW_TO_INSTALL)
    return found


@pytest.fixture(scope="session")
def gateway(programs: tuple[str, str]) -> Iterator[Any]:
    """The simulator."""
    from airflow_provider_qwenimage.simulator import running

    with running(key=KEY) as simulator:
        yield simulator


@pytest.fixture(scope="session")
def airflow(gateway: Any, rclone_s3: LocalS3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """A running Airflow with the example, and Dags that are started to be looked at; they have a connection of their own."""
    rclone_s3.client().create_bucket(Bucket=BUCKET)
    extra = {"gateway": "tokenhot", "allow_private_hosts": True}
    looked_at = {"conn_type": "qwenimage", "host": gateway.base("tokenhot"), "password": KEY, "extra": extra}
    connections = {"aws_default": json.loads(rclone_s3.connection), "looked_at": looked_at}
    home, dags = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("dags")
    for file in (EXAMPLE, *DAGS.glob("*.py")):
        shutil.copy(file, dags)
    environ = {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
    with running_airflow(dags=dags, home=home, connections=connections, environ=environ) as started:
        yield started


@pytest.fixture(scope="session")
def browser(airflow: Airflow, programs: tuple[str, str]) -> Iterator[Browser]:
    """A window, signed in as an admin."""
    from browser.browser import Browser

    window = Browser(airflow.url, programs)
    try:
        window.open("")
        yield window
    finally:
        window.close()
