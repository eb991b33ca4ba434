"""
The fixtures, which pytest loads in every run of an environment that has this package.

So this module imports nothing of Airflow, of the simulator or of S3: a run that asks for no fixture pays for none.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.simulator.server import Simulator
    from airflow_provider_qwenimage.testing.local import LocalQwenImage
    from airflow_provider_qwenimage.testing.s3 import S3Server

_NEEDED = ("uvicorn", "starlette", "PIL", "moto")


@pytest.fixture(scope="session")
def qwenimage_gateway() -> Iterator[Simulator]:
    """The simulator, on a free port of loopback, for the whole session."""
    _installed()
    from airflow_provider_qwenimage.simulator import running

    with running() as gateway:
        yield gateway


@pytest.fixture(scope="session")
def qwenimage_s3() -> Iterator[S3Server]:
    """An S3 server in memory, on a free port of loopback, for the whole session."""
    _installed()
    from airflow_provider_qwenimage.testing.s3 import serving

    with serving() as server:
        yield server


@pytest.fixture
def qwenimage_simulator(qwenimage_gateway: Simulator) -> Iterator[Simulator]:
    """
    The simulator with nothing counted and no fault armed; what a test sets on it ends with the test.

    Each test has a key of its own, and with it an account of its own: what one taught this process of the gateway (a
    429 silences an account) is nothing to the next.
    """
    import secrets

    settings = vars(qwenimage_gateway.state.settings)
    before = dict(settings)
    qwenimage_gateway.state.reset()
    settings["key"] = f"sk-qwenimage-{secrets.token_hex(8)}"
    yield qwenimage_gateway
    settings.update(before)


@pytest.fixture
def qwenimage(
    qwenimage_simulator: Simulator, qwenimage_s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalQwenImage]:
    """A gateway that bills nobody and an S3 server, with ``qwenimage_default`` and ``aws_default`` leading to them."""
    from airflow_provider_qwenimage.testing.local import LocalQwenImage

    local = LocalQwenImage(qwenimage_simulator, qwenimage_s3, setenv=monkeypatch.setenv)
    local.connect()
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", qwenimage_s3.connection)
    yield local
    local.empty_buckets()


def _installed() -> None:
    """Fail with what to do where the extra is missing, and not with the first import that is."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.fail(
            f"{', '.join(missing)} not installed: pip install 'airflow-provider-qwenimage[testing]'",
            pytrace=False,
        )
