"""Both stores of an account: this process alone, and a real Redis server."""

from __future__ import annotations

import pytest

from account.redis_server import RedisServer
from airflow_provider_qwenimage.gateway.account.local import LocalStore
from airflow_provider_qwenimage.gateway.account.place import RedisPlace
from airflow_provider_qwenimage.gateway.account.shared import SharedStore


@pytest.fixture
def mortal_server(tmp_path):
    """A server that a test may kill."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def shared(redis_server):
    """Make stores as different processes would: each with a client of its own."""
    made = []

    def make(port=redis_server.port):
        made.append(SharedStore("account", RedisPlace("127.0.0.1", port)))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture(params=["local", "shared"])
def store(request):
    return LocalStore() if request.param == "local" else request.getfixturevalue("shared")()
