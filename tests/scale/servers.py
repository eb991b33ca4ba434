"""What an Airflow of many machines leans on: PostgreSQL and Redis, on loopback, in folders of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.airflow_cluster import eventually
from e2e.processes import Component
from e2e.settings import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOW_TO_INSTALL = (
    "{} is not installed; `.ci/packages postgresql redis-server` brings it where there is apt-get"
)


@dataclass(frozen=True)
class Server:
    """
    A server that can be taken away and brought back.

    :param port: on 127.0.0.1; the same one each time.
    :param asks: a command that succeeds once the server answers.
    """

    port: int
    component: Component
    asks: Sequence[str]

    def start(self) -> None:
        """Start it and return once it answers."""
        self.component.start()
        eventually(self._answers, f"{self.asks[0]} to find its server", self.component.log.read_text)

    def stop(self) -> None:
        """End it in good order: what it holds is on disk, whoever is connected is cut off."""
        self.component.stop()

    def _answers(self) -> bool:
        self.component.check()
        return subprocess.run(self.asks, capture_output=True, check=False).returncode == 0


@contextmanager
def postgres(folder: Path) -> Iterator[Server]:
    """
    Run a PostgreSQL while the block runs; its user ``postgres`` needs no password.

    :param folder: an empty folder that other users may enter.
    """
    programs = _folder_of("postgres", *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))
    # It refuses to run as root, and its folder must be its own.
    user = "postgres" if os.geteuid() == 0 else None
    data, port = folder / "postgres", free_port()
    data.mkdir(mode=0o700)
    if user:
        shutil.chown(data, user)
    made = (programs / "initdb", "--pgdata", data, "--username", "postgres", "--auth", "trust", "--no-sync")
    subprocess.run(made, user=user, cwd=data, check=True, capture_output=True)
    # As many connections as Airflow's components and the workers' processes hold at most, and no socket in /run.
    settings = {"max_connections": 300, "unix_socket_directories": "", "fsync": "off"}
    command = (str(programs / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port))
    component = Component(
        (*command, *(f"--{name}={value}" for name, value in settings.items())),
        log=folder / "postgres.log",
        environ=os.environ,
        user=user,
        asked_by=signal.SIGINT,  # what `pg_ctl stop -m fast` sends
    )
    asks = (str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port))
    with _running(Server(port, component, asks)) as server:
        yield server


@contextmanager
def redis(folder: Path) -> Iterator[Server]:
    """
    Run a Redis while the block runs, whose memory outlives a stop.

    :param folder: where that is kept.
    """
    programs, port = _folder_of("redis-server"), free_port()
    command = (str(programs / "redis-server"), "--bind", "127.0.0.1", "--port", str(port))
    component = Component(
        (*command, "--dir", str(folder), "--appendonly", "yes", "--save", ""),
        log=folder / "redis.log",
        environ=os.environ,
    )
    asks = (str(programs / "redis-cli"), "-h", "127.0.0.1", "-p", str(port), "ping")
    with _running(Server(port, component, asks)) as server:
        yield server


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _folder_of(program: str, *further: Path) -> Path:
    """Return where a program lies: in one of the folders, or on PATH."""
    for folder in further:
        if (folder / program).exists():
            return folder
    found = shutil.which(program)
    if found is None:
        raise FileNotFoundError(HOW_TO_INSTALL.format(program))
    return Path(found).parent
