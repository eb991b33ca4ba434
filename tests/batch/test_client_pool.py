"""Requests are shared out evenly among several clients, so that no pool grows large."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from airflow_provider_qwenimage.batch.asking import ClientPool
from airflow_provider_qwenimage.transport import Endpoint


def test_clients_are_opened_for_all_connections():
    clients = Endpoint("http://127.0.0.1:1", key="sk-x").async_clients(20, each=8)

    assert len(clients) == 3
    assert {str(client.base_url) for client in clients} == {"http://127.0.0.1:1"}
    for client in clients:
        asyncio.run(client.aclose())


def test_each_client_serves_as_few_requests_as_can_be():
    pool, lent = ClientPool(["a", "b", "c"]), []
    with ExitStack() as busy:
        lent += [busy.enter_context(pool.least_busy()) for _ in range(6)]
    assert sorted(lent) == ["a", "a", "b", "b", "c", "c"]
    with pool.least_busy() as again:
        assert again == "a"
