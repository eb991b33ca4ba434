"""Thumbnails on disk, within a limit; the processes of an API server share them without talking to each other."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

_LEFT = 0.75  # of the limit, after a sweep
_OFTEN = 16  # sweeps while a limit's worth of bytes is written
_TOUCHED = 3600.0  # seconds within which a second look leaves no trace


class Cache:
    """
    Files by their names; those that were looked at longest ago make room.

    :param folder: made where it is missing, for this user alone.
    :param limit: bytes; several processes exceed it by a sixteenth each, and a moment.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._lock = threading.Lock()
        self._written = limit  # the first write looks what is there
        self._usable = self._prepare()

    def get(self, name: str) -> bytes | None:
        """Return a file and remember that it was looked at; ``None`` where there is none."""
        if not self._usable:
            return None
        path = self._folder / name
        try:
            content = path.read_bytes()
            if time.time() - path.stat().st_mtime > _TOUCHED:
                os.utime(path)
        except OSError:
            return None
        return content

    def put(self, name: str, content: bytes) -> None:
        """Keep a file: whole or not at all. A disk that is full keeps nothing, and says so in the log."""
        if not self._usable or len(content) > self._limit // _OFTEN:
            return
        try:
            self._write(name, content)
            self._make_room(len(content))
        except OSError as error:
            log.warning("No thumbnail is kept in %s: %s", self._folder, error)

    def _write(self, name: str, content: bytes) -> None:
        file, part = tempfile.mkstemp(dir=self._folder, prefix=".")
        try:
            with os.fdopen(file, "wb") as out:
                out.write(content)
            Path(part).replace(self._folder / name)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise

    def _make_room(self, size: int) -> None:
        with self._lock:
            self._written += size
            if self._written <= self._limit // _OFTEN:
                return
            self._written = 0
            self._sweep()

    def _sweep(self) -> None:
        files = []
        for entry in os.scandir(self._folder):
            with suppress(FileNotFoundError):  # another process was faster
                facts = entry.stat(follow_symlinks=False)
                files.append((facts.st_mtime, facts.st_blocks * 512, entry.path))
        total = sum(size for _, size, _ in files)
        if total <= self._limit * (1 - 1 / _OFTEN):
            return
        for _, size, path in sorted(files):
            if total <= self._limit * _LEFT:
                return
            Path(path).unlink(missing_ok=True)
            total -= size

    def _prepare(self) -> bool:
        """Whether the folder can be used: a folder of another user could hold anything."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            facts = self._folder.lstat()
        except OSError as error:
            log.warning("Thumbnails are not kept: %s", error)
            return False
        mine = facts.st_uid == os.geteuid() and not facts.st_mode & 0o022 and not self._folder.is_symlink()
        if not mine:
            log.warning(
                "Thumbnails are not kept: %s belongs to others, or they may write there", self._folder
            )
        return mine
