"""Scripts in processes of their own, which a test may kill."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def scripts(script: Path, *, path: Path) -> Iterator[Callable[[list[Any]], subprocess.Popen[str]]]:
    """Start ``script`` with a list as its argument, ``path`` on its PYTHONPATH; what still runs at the end is killed."""
    started = []

    def start(given: list[Any]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(script), json.dumps(given)],
            env={**os.environ, "PYTHONPATH": str(path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
            process.communicate()


def wait_until(reached: Callable[[], bool], *processes: subprocess.Popen[Any], seconds: float = 120) -> None:
    """Return when ``reached()`` says so; the processes must live till then, and have this machine for themselves."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not reached():
        for process in processes:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        pause.wait(0.001)


def wait_for_port(port: int, server: subprocess.Popen[Any], *, seconds: float = 120) -> None:
    """Return when somebody listens there, which is the ``server``."""

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, server, seconds=seconds)
