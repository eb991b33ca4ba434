"""Starts a service, waits until it says it is ready, and stops it whatever happens."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PATIENCE = 5.0  # seconds between asking a process to stop and killing it


class ServiceFailed(RuntimeError):
    """
    A service did not start.

    :param log: the file that says why.
    """

    def __init__(self, what: str, *, log: Path) -> None:
        super().__init__(what)
        self.log = log


def tail(log: Path, *, lines: int = 25) -> str:
    """Return the last lines of a log, indented; empty when there is none."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def errors_in(log: Path, *, package: str) -> list[str]:
    """Return the messages of a package's own exceptions in a log, each once."""
    raised = re.compile(rf"^\s*{re.escape(package)}\.\w+: (.+)$", re.MULTILINE)
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return list(dict.fromkeys(raised.findall(text)))


@contextmanager
def service(
    command: Sequence[str],
    *,
    ready: str,
    log: Path,
    environ: Mapping[str, str] | None = None,
    inherit: bool = True,
    seconds: float = 30,
) -> Iterator[re.Match[str]]:
    """
    Run ``command`` while the block runs, and yield the match of ``ready`` in what it printed.

    :param ready: regular expression; its groups carry what the service chose itself, such as its port.
    :param inherit: whether ``environ`` comes on top of this process's own environment, or is all there is.
    :param seconds: how long it may take to say so.
    :raises ServiceFailed: it ended or stayed silent.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    # A session of its own: Ctrl-C reaches this program only, which then stops the service by its id.
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**(os.environ if inherit else {}), **(environ or {}), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    try:
        yield _wait_for(re.compile(ready), process, command[0], log, time.monotonic() + seconds)
    finally:
        _stop(process)


def _wait_for(
    ready: re.Pattern[str], process: subprocess.Popen[bytes], command: str, log: Path, deadline: float
) -> re.Match[str]:
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        if match := ready.search(log.read_text(encoding="utf-8", errors="replace")):
            return match
        if ended:
            raise ServiceFailed(f"{command} ended with code {process.returncode}", log=log)
        time.sleep(0.05)
    raise ServiceFailed(f"{command} did not get ready in time", log=log)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and all it has started, also what left its group."""
    family = _below(process.pid)  # noted before its head is gone
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.terminate()
    try:
        process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for left in psutil.wait_procs(family, timeout=PATIENCE)[1]:
        with suppress(psutil.NoSuchProcess):
            left.kill()


def _below(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def finish(command: Sequence[str], *, log: Path, environ: Mapping[str, str]) -> None:
    """
    Run ``command`` to its end.

    :param environ: the whole environment of the command.
    :raises ServiceFailed: its exit code was not 0.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environ,
            start_new_session=True,
        )
    try:
        code = process.wait()
    finally:
        _stop(process)
    if code:
        raise ServiceFailed(f"{' '.join(command[-3:])} ended with code {code}", log=log)
