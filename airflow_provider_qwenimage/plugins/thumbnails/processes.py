"""The processes that make thumbnails: a few, started when they are needed, and ended when one goes wrong."""

from __future__ import annotations

import os
import queue
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.plugins.thumbnails.maker import LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROGRAM = Path(__file__).with_name("maker.py")
_SECONDS = 20.0  # until an answer: a machine may be busy, the process has a bound of CPU of its own
_KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "LANG", "TMPDIR")


class NotMade(Exception):
    """No thumbnail was made this time; the next time one may be."""


class Makers:
    """
    Processes that make thumbnails; threads share them.

    :param count: at most so many at once; further jobs wait.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._idle: queue.LifoQueue[_Maker] = queue.LifoQueue()
        for _ in range(count):
            self._idle.put(_Maker())

    def make(self, whole: bytes) -> bytes:
        """
        Return a thumbnail of an image; nothing where none can be made of it.

        :raises NotMade: the process died, or did not answer in time.
        """
        with self._one() as maker:
            return maker.make(whole)

    def close(self) -> None:
        """End the processes; one that works is waited for."""
        for maker in [self._idle.get() for _ in range(self._count)]:
            maker.end()
            self._idle.put(maker)

    @contextmanager
    def _one(self) -> Iterator[_Maker]:
        maker = self._idle.get()
        try:
            yield maker
        finally:
            self._idle.put(maker)


class _Maker:
    """One process, started at its first job and again after its end."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def make(self, whole: bytes) -> bytes:
        job = len(whole).to_bytes(LENGTH) + whole
        until = time.monotonic() + _SECONDS
        process = self._running()
        try:
            self._send(process, job, until)
            return self._answer(process, until)
        except (OSError, NotMade) as error:
            # Its own bound: the same image would take as long the next time.
            if self.end() == -signal.SIGXCPU:
                return b""
            raise NotMade(f"the process that makes thumbnails ended: {error}") from error

    def end(self) -> int | None:
        """End the process, where there is one, and return how it ended."""
        process, self._process = self._process, None
        if process is None:
            return None
        with process:  # closes its pipes
            process.kill()
        return process.returncode

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self.end()
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 - a program of ours
                [sys.executable, "-P", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
                bufsize=0,
            )
            os.set_blocking(self._process.stdin.fileno(), False)  # type: ignore[union-attr]
        return self._process

    @staticmethod
    def _send(process: subprocess.Popen[bytes], job: bytes, until: float) -> None:
        pipe, left = process.stdin.fileno(), memoryview(job)  # type: ignore[union-attr]
        while left:
            _, ready, _ = select.select([], [pipe], [], max(until - time.monotonic(), 0))
            if not ready:
                raise NotMade("it takes no job")
            left = left[os.write(pipe, left) :]

    @classmethod
    def _answer(cls, process: subprocess.Popen[bytes], until: float) -> bytes:
        pipe = process.stdout.fileno()  # type: ignore[union-attr]
        length = int.from_bytes(cls._exactly(pipe, LENGTH, until))
        return cls._exactly(pipe, length, until)

    @staticmethod
    def _exactly(pipe: int, size: int, until: float) -> bytes:
        parts = b""
        while len(parts) < size:
            ready, _, _ = select.select([pipe], [], [], max(until - time.monotonic(), 0))
            part = os.read(pipe, size - len(parts)) if ready else b""
            if not part:
                raise NotMade("it gives no answer")
            parts += part
        return parts
