"""What other clients send: bodies in `clients/`, each with its source and the day it was read there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulator.bodies import data_url, image_urls

CLIENTS = sorted((Path(__file__).parent / "clients").glob("*.json"))


@pytest.mark.parametrize("recorded", CLIENTS, ids=lambda path: path.stem)
def test_requests_of_other_clients_are_answered(sim, call, recorded):
    sim.state.settings.job_seconds = 0
    client = json.loads(recorded.read_text().replace("{png}", data_url("red").partition(",")[2]))
    reply = call.post("dashscope", client["body"], path=client["path"], headers=client["headers"])
    assert reply.status_code == 200, reply.text
    if client["headers"]:
        reply = call.get("dashscope", f"/api/v1/tasks/{reply.json()['output']['task_id']}")
    urls = image_urls(reply.json())
    assert len(urls) == client["images"] == sim.state.billed
    call.image(urls[0])
