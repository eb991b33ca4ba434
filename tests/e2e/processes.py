"""One process of the cluster: started as a process group of its own, ended by its id, with everything below it."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import psutil

from demo.processes import PATIENCE, ServiceFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Component:
    """
    A process that can be started again after it was ended.

    :param log: where its output goes; a restart goes on in the same file.
    :param environ: its whole environment.
    :param user: who runs it; ``None``: who runs this.
    :param asked_by: the signal that asks it to end.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environ: Mapping[str, str],
        user: str | None = None,
        asked_by: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.log = log
        self._command = command
        self._environ = environ
        self._user = user
        self._asked_by = asked_by
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, in a session of its own."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(self._environ),
                user=self._user,
                start_new_session=True,
            )

    def ask_to_stop(self) -> None:
        """Ask it to end, and do not wait."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, self._asked_by)

    def drain(self) -> None:
        """Ask its first process alone, as Kubernetes does, and do not wait."""
        assert self._process is not None, f"{self._command[-1]} does not run"
        self._process.send_signal(self._asked_by)

    def has_ended(self) -> bool:
        """Whether it does not run, for whatever reason."""
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """End it and everything below it at once, as a lost machine would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end; what is left after some seconds is killed."""
        self._end(self._asked_by)

    def check(self) -> None:
        """:raises ServiceFailed: it ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise ServiceFailed(
                f"{self._command[-1]} ended with code {self._process.returncode}", log=self.log
            )

    def owns(self, pid: int) -> bool:
        """Whether a process descends from this one."""
        return any(process.pid == pid for process in self._family())

    def _family(self) -> list[psutil.Process]:
        if self._process is None or not psutil.pid_exists(self._process.pid):
            return []
        head = psutil.Process(self._process.pid)
        return [head, *head.children(recursive=True)]

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        # Tasks and triggers run in groups of their own, so the family is noted before its head is gone.
        family = self._family()
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)
        if number == self._asked_by:
            psutil.wait_procs(family, timeout=PATIENCE)
        for process in family:
            if process.is_running():
                process.kill()
        self._process.wait()
        self._process = None
