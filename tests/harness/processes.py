"""Scripts in processes of their own, which a test may kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
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


def wait_until(reached: Callable[[], bool], *processes: subprocess.Popen[Any]) -> None:
    """Return when ``reached()`` says so; the processes must live till then, and have this machine for themselves."""
    deadline = time.monotonic() + 120
    while not reached():
        for process in processes:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        with suppress(subprocess.TimeoutExpired):
            processes[0].wait(0.001)
