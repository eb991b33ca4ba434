from __future__ import annotations

import ast
import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import airflow_provider_qwenimage.simulator as package
from airflow_provider_qwenimage.simulator import create_app
from simulator.bodies import AUTH, PATHS, body_for

COMMAND = [sys.executable, "-m", "airflow_provider_qwenimage.simulator"]
ROOT = Path(__file__).parents[2]
ALLOWED = {"PIL", "starlette", "uvicorn"}


@contextmanager
def started(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        line = process.stdout.readline().strip()
        assert line.startswith("simulator ready on http://127.0.0.1:"), process.stderr.read()
        yield process, line.rpartition(" ")[2]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_even_with_a_request_in_flight(number):
    with started("--quiet", "--latency", "600") as (process, url):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{url}/tokenhot{PATHS['tokenhot']}", json=body_for("tokenhot"), headers=AUTH, timeout=1
            )
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        assert process.stderr.read() == ""


def test_the_command_line_sets_key_and_lifetime():
    with started("--key", "other", "--url-lifetime", "60", "--image-bytes", "90000") as (_, url):
        assert httpx.get(f"{url}/tokenhot/v1/models", headers=AUTH).status_code == 401
        told = httpx.get(f"{url}/_settings").json()
    assert (told["url_lifetime"], told["image_bytes"], told["key"]) == (60, 90000, "***")


def test_a_port_in_use_is_said_in_one_line(sim):
    port = sim.url.rpartition(":")[2]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [*COMMAND, "--port", port], capture_output=True, text=True, env=environment, timeout=30, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"cannot listen on 127.0.0.1:{port}")
    assert len(ended.stderr.splitlines()) == 1


def test_without_pillow_the_extra_is_named(tmp_path):
    (tmp_path / "PIL.py").write_text("raise ModuleNotFoundError(\"No module named 'PIL'\", name='PIL')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    ended = subprocess.run(COMMAND, capture_output=True, text=True, env=environment, timeout=30, check=False)
    assert ended.returncode == 1
    assert "pip install 'airflow-provider-qwenimage[simulator]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_is_written_from_the_contract_and_imports_nothing_else_of_the_package():
    for path in Path(package.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                root = name.partition(".")[0]
                own = name.startswith("airflow_provider_qwenimage.simulator")
                assert own or root in ALLOWED or root in sys.stdlib_module_names, f"{path.name}: {name}"


def test_many_clients_at_once_are_counted_without_loss(sim):
    from concurrent.futures import ThreadPoolExecutor

    def one(number):
        with httpx.Client() as client:
            url = sim.base("tokenhub") + PATHS["tokenhub"]
            return client.post(url, json=body_for("tokenhub", f"{number}"), headers=AUTH).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(one, range(64))) == {200}
    assert (sim.state.posts, sim.state.billed, len(sim.state.bodies)) == (64, 64, 64)


def test_replies_are_sent_without_waiting_for_more(sim):
    connection = http.client.HTTPConnection("127.0.0.1", int(sim.url.rpartition(":")[2]))
    try:
        connection.request("GET", "/_settings")
        connection.getresponse().read()
        transport = sim.state.sockets.get(connection.sock.getsockname())
        assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        connection.close()


def test_the_application_alone_says_that_it_cannot_end_connections():
    transport = httpx.ASGITransport(create_app())

    async def ask():
        async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
            headers = {**AUTH, "X-Simulator-Fault": "drop_after"}
            await client.post("/tokenhot" + PATHS["tokenhot"], json=body_for("tokenhot"), headers=headers)

    with pytest.raises(RuntimeError, match=r"running\(\) or python -m"):
        asyncio.run(ask())
