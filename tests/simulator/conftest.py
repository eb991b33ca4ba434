from __future__ import annotations

import io
from dataclasses import asdict

import httpx
import pytest
from PIL import Image

from airflow_provider_qwenimage.simulator import running
from airflow_provider_qwenimage.simulator.settings import Settings
from simulator.bodies import AUTH, PATHS


class Caller:
    """A client of one simulator that speaks in the test's words."""

    def __init__(self, sim, client):
        self.sim = sim
        self.client = client

    def post(self, gateway, body, *, path=None, headers=None, key="demo-key"):
        told = {"Authorization": f"Bearer {key}", **(headers or {})}
        return self.client.post(self.sim.base(gateway) + (path or PATHS[gateway]), json=body, headers=told)

    def get(self, gateway, path):
        return self.client.get(self.sim.base(gateway) + path, headers=AUTH)

    def image(self, url):
        reply = self.client.get(url)
        assert reply.status_code == 200, reply.text
        picture = Image.open(io.BytesIO(reply.content))
        picture.load()
        return picture


SETTINGS = {"job_seconds": 0.2, "hang_seconds": 0.2, "slow_seconds": 0.1}


@pytest.fixture(scope="package")
def served():
    with running(**SETTINGS) as simulator:
        yield simulator


@pytest.fixture
def sim(served):
    served.state.reset()
    served.state.settings.change({**asdict(Settings()), **SETTINGS})
    return served


@pytest.fixture
def call(sim):
    with httpx.Client(timeout=20) as client:
        yield Caller(sim, client)
