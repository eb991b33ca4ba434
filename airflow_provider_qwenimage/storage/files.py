"""
Files of the worker, or of a share that all workers mount, as a store: ``file:///a/folder/name``.

A file is written under a hidden name of its own, brought to the disk, and given its name in one step: a link where
nothing may lie there yet, a rename where something may. What S3 keeps as metadata becomes extended attributes; they
hold for as long as nobody writes to the file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from airflow_provider_qwenimage.exceptions import TransferError
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.storage.stored import StoredObject, digest
from airflow_provider_qwenimage.wire.links import split_object, split_uri

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Mapping

_ATTRIBUTE = "user.qwenimage."
_WRITTEN = "written"  # when the bytes were; nobody has touched them where the file still says the same
_BEING_WRITTEN = re.compile(r"\.qwenimage-[0-9a-f]{32}\.part")
# What file systems without links or without extended attributes say.
_UNKNOWN = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.ENOSYS, errno.EMLINK)


class Files:
    """What lies in folders; holds nothing, so it may be shared and needs no end."""

    def names(self, prefix: str, *, deep: bool) -> dict[str, int]:
        """Return name and size of what lies in a folder, which need not be there yet."""
        folder = Path("/", split_uri(prefix, field="prefix")[1])
        with _told("list", prefix):
            return dict(_sizes(folder, deep=deep)) if folder.is_dir() else {}

    def open(self, uri: str, *, span: tuple[int, int] | None = None) -> StoredObject:
        """Start to read a file."""
        with _told("read", uri):
            file = open(_path(uri), "rb", opener=regular)  # noqa: SIM115 - the object that is returned closes it
            try:
                facts, metadata = os.fstat(file.fileno()), _metadata(file)
            except BaseException:
                file.close()
                raise
        first, end = span or (0, facts.st_size)
        file.seek(first)
        etag = f"{facts.st_ino:x}-{facts.st_mtime_ns:x}-{facts.st_size:x}"
        size = max(min(end, facts.st_size) - first, 0)
        return StoredObject(uri, size, metadata, etag, _Body(file, size, uri))

    def put(self, uri: str, request: dict[str, Any], *, exclusive: bool) -> bool:
        """Write a file; return whether it was written, which it is not where ``exclusive`` finds one there."""
        path = _path(uri)
        hidden = path.with_name(f".qwenimage-{uuid.uuid4().hex}.part")
        with _told("write", uri):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with hidden.open("xb") as file:
                    _fill(file, request["Body"])
                    _describe(file, request.get("Metadata", {}))
                written = _named(hidden, path, exclusive=exclusive)
            finally:
                hidden.unlink(missing_ok=True)
            _keep_names(path.parent)
        return written

    def sha256(self, uri: str) -> str | None:
        """Return the digest beside a file; where the file system keeps none, that of its bytes."""
        with self.open(uri) as stored:
            return digest(stored.metadata)

    def delete(self, uri: str) -> None:
        """Remove a file."""
        path = _path(uri)
        with _told("delete", uri):
            path.unlink(missing_ok=True)
            _keep_names(path.parent)


def refuse_unwritable(prefix: str) -> None:
    """
    Refuse a folder that this worker could not write to, or not make.

    :raises TransferError: naming it; it is final.
    """
    folder = Path("/", split_uri(prefix, field="prefix")[1])
    with _told("list", prefix):
        there = next(each for each in (folder, *folder.parents) if each.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{there} is a file and in the way")
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, f"it may not write in {there}")


class _Body:
    """The bytes of a file, as many as it had when it was opened."""

    def __init__(self, file: BinaryIO, size: int, uri: str) -> None:
        self._file, self._left, self._uri = file, size, uri

    def read(self, size: int, /) -> bytes:
        with _told("read", self._uri):
            piece = self._file.read(min(size, self._left))
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        self._file.close()


def _path(uri: str) -> Path:
    return Path("/", split_object(uri)[1])


def _sizes(folder: Path, *, deep: bool) -> Iterator[tuple[str, int]]:
    for parent, folders, names in os.walk(folder, onerror=_raise):
        if not deep:
            folders.clear()
        for name in names:
            if _BEING_WRITTEN.fullmatch(name):
                continue
            with suppress(FileNotFoundError):  # it went away meanwhile
                path = Path(parent, name)
                yield path.relative_to(folder).as_posix(), path.stat().st_size


def _raise(error: OSError) -> None:
    raise error  # a folder that cannot be listed is not empty


def regular(path: str, flags: int) -> int:
    """Open what is a file, for ``open``: anything else may be waited for without end, or acts on being opened."""
    mode = Path(path).stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a folder is refused by whoever opens it
        raise OSError(errno.EINVAL, "it is no regular file")
    return os.open(path, flags | os.O_NONBLOCK)  # nor is what takes its place meanwhile waited for


def _fill(file: BinaryIO, body: bytes | bytearray | IO[bytes]) -> None:
    if isinstance(body, (bytes, bytearray)):
        file.write(body)
    else:
        body.seek(0)
        shutil.copyfileobj(body, file, 1 << 20)
    file.flush()
    os.fsync(file.fileno())


def _named(hidden: Path, path: Path, *, exclusive: bool) -> bool:
    """Give what was written its name; where links are unknown, the name is taken before."""
    if not exclusive:
        hidden.replace(path)
        return True
    try:
        path.hardlink_to(hidden)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            return False
        hidden.replace(path)
    return True


def _keep_names(folder: Path) -> None:
    """Bring the names in a folder to the disk: an intent must outlive the machine that was to send it."""
    with suppress(OSError):  # not every share can
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _describe(file: BinaryIO, metadata: Mapping[str, str]) -> None:
    if not metadata or not hasattr(os, "setxattr"):
        return
    # Whole seconds, which every file system keeps; whoever writes to the file later leaves others.
    now = int(time.time()) * 10**9
    told = {_WRITTEN: str(now), **metadata}
    try:
        os.utime(file.fileno(), ns=(now, now))
        for name, value in told.items():
            os.setxattr(file.fileno(), f"{_ATTRIBUTE}{name.lower()}", value.encode())
    except OSError as error:
        if error.errno not in (*_UNKNOWN, errno.ENOSPC, errno.ERANGE, errno.E2BIG):
            raise


def _metadata(file: io.BufferedReader) -> dict[str, str]:
    """Return what is told beside a file that nobody has touched since; the digest anew where nothing can be told."""
    try:
        names = [name for name in os.listxattr(file.fileno()) if name.startswith(_ATTRIBUTE)]
        told = {
            name.removeprefix(_ATTRIBUTE): os.getxattr(file.fileno(), name).decode("utf-8", "replace")
            for name in names
        }
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _UNKNOWN:
            raise
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    untouched = told.pop(_WRITTEN, None) == str(os.fstat(file.fileno()).st_mtime_ns)
    return told if untouched else {}


@contextmanager
def _told(verb: str, uri: str) -> Iterator[None]:
    """Turn what the system says into an error that names the file; what is not there to be read is final."""
    try:
        yield
    except OSError as error:
        refused = TransferError(
            f"This worker could not {verb} {redact(uri, limit=300)}: {error.strerror or error}",
            status={errno.ENOENT: 404, errno.EACCES: 403, errno.EPERM: 403}.get(error.errno or 0),
            advice="Check the folder: every worker must see the same one, and be allowed to write there.",
        )
        refused.final = verb in ("read", "list") and error.errno in (
            errno.ENOENT,
            errno.ENOTDIR,
            errno.EACCES,
        )
        raise refused from error
