"""Buffers, hashes and checks the bytes of one image, wherever they come from."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from dataclasses import dataclass, field, replace
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Protocol, Self

from airflow_provider_qwenimage.exceptions import ImageTooLarge
from airflow_provider_qwenimage.images.data_urls import decoded
from airflow_provider_qwenimage.images.formats import ImageFacts, TruncatedImage, extension, inspect
from airflow_provider_qwenimage.images.origin import ARRIVED, Marks
from airflow_provider_qwenimage.models.manifest import StoredImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_qwenimage.models.results import ImageFields

MIB = 1024 * 1024
_KNOWN_HEAD_BYTES = 64 * 1024  # holds the size of an image in most formats
_BLOCK_BYTES = MIB // 2
_MOST_MANIFEST = 928 * 1024  # bytes that c2pa-python is given: it takes up to 16 times as much memory
_MEMORY_BYTES = 4 * MIB  # an image above this waits on disk, so memory stays bounded by the number of threads


class Readable(Protocol):
    """An object that is being read from its beginning; see ``stored.StoredObject``."""

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
    :param sha256: hexadecimal.
    :param arrived_sha256: of the bytes as they arrived, where a mark was added to them since.
    """

    size: int
    sha256: str
    facts: ImageFacts
    arrived_sha256: str | None = field(default=None, kw_only=True)

    @classmethod
    def recorded(cls, image: StoredImage) -> Measured:
        """Return what the record of a stored image says of its bytes."""
        kind, marks = image.content_type, Marks.told(image.origin) if image.origin else None
        facts = ImageFacts(kind, extension(kind), image.width, image.height, marks)
        return Measured(image.bytes, image.sha256, facts, arrived_sha256=image.arrived_sha256)

    def record(self, uri: str, index: int, fields: ImageFields) -> StoredImage:
        """Return the record of an object of these bytes, with what else is known of its image."""
        facts = self.facts
        read: dict[str, Any] = {"size": f"{facts.width}*{facts.height}"}
        if facts.marks is not None:  # of a copy nobody reads them again: what its record told still holds
            read["origin"] = facts.marks.as_json()
        if self.arrived_sha256:
            read["arrived_sha256"] = self.arrived_sha256
        return StoredImage(
            uri=uri,
            index=index,
            content_type=facts.content_type,
            bytes=self.size,
            sha256=self.sha256,
            width=facts.width,
            height=facts.height,
            **{**fields.model_dump(), **read},
        )

    @property
    def metadata(self) -> dict[str, str]:
        """What the metadata of its object tells beside the digest: its marks, and how its bytes arrived."""
        marks = self.facts.marks
        told = {} if marks in (None, Marks()) else marks.as_metadata()
        return told | ({ARRIVED: self.arrived_sha256} if self.arrived_sha256 else {})

    @property
    def named_after(self) -> str:
        """The digest its name tells: no two signatures are alike, so what we signed is named as it arrived."""
        signed = self.arrived_sha256 and self.facts.marks and self.facts.marks.c2pa
        return self.arrived_sha256 if self.arrived_sha256 and signed else self.sha256


@dataclass(frozen=True, slots=True)
class Downloaded(Measured):
    """
    One whole, checked image; a context manager that lets go of it.

    :param body: what to upload: in memory while small, a temporary file otherwise.
    """

    body: bytearray | IO[bytes]

    def read(self) -> bytes | bytearray:
        """Return all of it."""
        return self.body if isinstance(self.body, bytearray) else self.body.read()

    def pieces(self, size: int) -> Iterator[bytes | memoryview]:
        """Yield all of it, ``size`` bytes at a time, without a copy of the whole."""
        body = self.body
        if not isinstance(body, bytearray):
            yield from iter(partial(body.read, size), b"")
            return
        with memoryview(body) as whole:
            for begin in range(0, len(whole), size):
                yield whole[begin : begin + size]

    def rewind(self) -> None:
        """Let it be read from its beginning again."""
        _from_the_beginning(self.body)

    def close(self) -> None:
        """Delete the file, if there is one."""
        if not isinstance(self.body, bytearray):
            self.body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Buffer:
    """
    Takes the bytes of one image: in memory, and to disk once they are many.

    They are hashed in blocks of half a mebibyte. Hashing lets other threads run and then waits for its turn again:
    with 16 of them, twenty times an image is dear.
    """

    def __init__(self) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self._memory = bytearray()
        self._hashed = 0  # bytes at the beginning of the memory
        self._file: IO[bytes] | None = None

    def add(self, chunk: bytes | memoryview) -> None:
        self.size += len(chunk)
        self._memory += chunk
        if len(self._memory) - self._hashed >= _BLOCK_BYTES:
            self._flush()

    def body(self) -> bytearray | IO[bytes]:
        """Return the bytes, all hashed."""
        self._flush()
        return self._memory if self._file is None else self._file

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _flush(self) -> None:
        with memoryview(self._memory) as whole, whole[self._hashed :] as fresh:
            self.digest.update(fresh)
        self._hashed = len(self._memory)
        if self.size > _MEMORY_BYTES:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - Downloaded closes it
            self._file.write(self._memory)
            self._memory.clear()
            self._hashed = 0


def receive(chunks: Iterable[bytes], *, max_bytes: int) -> Downloaded:
    """
    Buffer and hash what arrives, and check that it is one whole image.

    :raises ImageTooLarge: as soon as more than ``max_bytes`` have come.
    :raises NotAnImage: for anything else than a whole image.
    """
    buffer = _Buffer()
    try:
        for chunk in chunks:
            buffer.add(chunk)
            check_size(buffer.size, max_bytes=max_bytes)
        body = buffer.body()
        facts = inspect(body, buffer.size)
        if 0 < facts.c2pa_bytes <= _MOST_MANIFEST:
            facts = _validated(facts, body)
        _from_the_beginning(body)
    except BaseException:
        buffer.close()
        raise
    return Downloaded(size=buffer.size, sha256=buffer.digest.hexdigest(), facts=facts, body=body)


def _validated(facts: ImageFacts, body: bytearray | IO[bytes]) -> ImageFacts:
    """Add what c2pa-python says of a signature, where it is installed."""
    from airflow_provider_qwenimage.images.signing import validation

    assert facts.marks is not None
    state = validation(body, facts.content_type)
    return replace(facts, marks=replace(facts.marks, c2pa_state=state))


def _from_the_beginning(body: bytearray | IO[bytes]) -> bytearray | IO[bytes]:
    """Return what is read next as a whole."""
    if not isinstance(body, bytearray):
        body.seek(0)
    return body


def receive_bytes(data: bytes, *, max_bytes: int) -> Downloaded:
    """Check an image that came inside a reply, as ``receive`` does."""
    return receive((data,), max_bytes=max_bytes)


def receive_data_url(url: str, *, max_bytes: int) -> Downloaded:
    """Check an image that came as a ``data:`` URL, as ``receive`` does."""
    return receive(decoded(url), max_bytes=max_bytes)


def with_other_marks(image: Downloaded, chunks: Iterable[bytes | memoryview], marks: Marks) -> Downloaded:
    """
    Buffer and hash what is made of an image; whoever gets it closes both.

    :param chunks: made of its bytes, which they repeat but for the marks.
    :param marks: all that they carry then.
    """
    buffer = _Buffer()
    try:
        for chunk in chunks:
            buffer.add(chunk)
        body = _from_the_beginning(buffer.body())
    except BaseException:
        buffer.close()
        raise
    finally:
        image.rewind()
    facts = replace(image.facts, marks=marks)
    return Downloaded(buffer.size, buffer.digest.hexdigest(), facts, body, arrived_sha256=image.sha256)


def measure(stored: Readable, *, max_bytes: int) -> Measured:
    """Check an object as ``receive`` does; one whose checksum is on record is read only for its size."""
    check_size(stored.size, max_bytes=max_bytes)
    head = stored.head(_KNOWN_HEAD_BYTES) if stored.sha256 else b""
    if stored.sha256:
        try:
            facts = inspect(head, stored.size, proof="head")
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
