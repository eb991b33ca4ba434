"""Spools, hashes and checks the bytes of one image, wherever they come from."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import itertools
import re
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol, Self
from urllib.parse import unquote_to_bytes

from airflow_provider_qwenimage.exceptions import ImageTooLarge, NotAnImage
from airflow_provider_qwenimage.imagefile import ImageFacts, TruncatedImage, inspect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MIB = 1024 * 1024
_KNOWN_HEAD_BYTES = 64 * 1024  # holds the size of an image in most formats
_BLOCK_BYTES = MIB // 2
_SPOOL_BYTES = 4 * MIB  # an image above this waits on disk, so memory stays bounded by the number of threads
_DATA_URL = re.compile(r"data:[^,;]*(?:;[^,;]*)*?(;base64)?,", re.IGNORECASE)


class Readable(Protocol):
    """An object that is being read from its beginning; see ``bucket.StoredObject``."""

    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def sha256(self) -> str | None: ...  # noqa: D102
    def head(self, size: int) -> bytes: ...  # noqa: D102
    def chunks(self) -> Iterator[bytes]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Measured:
    """
    What the bytes of one whole image say.

    :param size: number of bytes.
    :param sha256: hexadecimal, of the bytes as they arrived.
    """

    size: int
    sha256: str
    facts: ImageFacts


@dataclass(frozen=True, slots=True)
class Downloaded(Measured):
    """One whole, checked image in a temporary file; a context manager that deletes it."""

    file: IO[bytes]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def body(self) -> bytes | IO[bytes]:
        """Return what to upload: bytes while small, a file otherwise."""
        self.file.seek(0)
        return self.file.read() if self.size <= _SPOOL_BYTES else self.file


def receive(chunks: Iterable[bytes], *, max_bytes: int) -> Downloaded:
    """
    Spool and hash what arrives, and check that it is one whole image.

    :raises ImageTooLarge: as soon as more than ``max_bytes`` have come.
    :raises NotAnImage: for anything else than a whole image.
    """
    digest, size = hashlib.sha256(), 0
    file = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115 - Downloaded closes it
    try:
        for block in _blocks(chunks):
            size += len(block)
            check_size(size, max_bytes=max_bytes)
            digest.update(block)
            file.write(block)
        facts = inspect(file, size)
    except BaseException:
        file.close()
        raise
    return Downloaded(file=file, size=size, sha256=digest.hexdigest(), facts=facts)


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """
    Join chunks as they come off a socket to blocks of half a mebibyte.

    Hashing lets other threads run and then waits for its turn again: with 16 of them, twenty times an image is dear.
    """
    pending: list[bytes] = []
    size = 0
    for chunk in chunks:
        pending.append(chunk)
        size += len(chunk)
        if size >= _BLOCK_BYTES:
            yield pending[0] if len(pending) == 1 else b"".join(pending)
            pending, size = [], 0
    if pending:
        yield pending[0] if len(pending) == 1 else b"".join(pending)


def receive_bytes(data: bytes, *, max_bytes: int) -> Downloaded:
    """Check an image that came inside a reply, as ``receive`` does."""
    return receive((data,), max_bytes=max_bytes)


def receive_data_url(url: str, *, max_bytes: int) -> Downloaded:
    """Check an image that came as a ``data:`` URL, as ``receive`` does."""
    match = _DATA_URL.match(url)
    if match is None:
        raise NotAnImage("The data URL has no comma: it holds nothing")
    payload = url[match.end() :]
    if not match[1]:
        return receive_bytes(unquote_to_bytes(payload), max_bytes=max_bytes)
    check_size(len(payload) * 3 // 4 - 2, max_bytes=max_bytes)
    try:
        return receive_bytes(base64.b64decode(unquote_to_bytes(payload), validate=False), max_bytes=max_bytes)
    except binascii.Error:
        raise NotAnImage("The data URL is cut off, or not base64") from None


def measure(stored: Readable, *, max_bytes: int) -> Measured:
    """Check an object as ``receive`` does; one whose checksum is on record is read only for its size."""
    check_size(stored.size, max_bytes=max_bytes)
    head = stored.head(_KNOWN_HEAD_BYTES) if stored.sha256 else b""
    if stored.sha256:
        try:
            facts = inspect(io.BytesIO(head), stored.size, proof="head")
            return Measured(stored.size, stored.sha256, facts)
        except TruncatedImage:  # some formats keep their size at the end
            pass
    with receive(itertools.chain((head,), stored.chunks()), max_bytes=max_bytes) as image:
        return Measured(image.size, image.sha256, image.facts)


def check_size(size: int, *, max_bytes: int) -> None:
    """Raise ``ImageTooLarge`` where ``size`` bytes are more than allowed."""
    if size > max_bytes:
        raise ImageTooLarge(
            f"The image is larger than {max_bytes / MIB:g} MiB", advice="Raise max_image_bytes to take it."
        )
