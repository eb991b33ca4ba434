"""An object that is being read, and what there is to be done with the objects of a store: of each kind alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 18


class Body(Protocol):
    """The bytes of an object from its beginning; what goes wrong with them is raised as ``TransferError``."""

    def read(self, size: int, /) -> bytes: ...  # noqa: D102
    def close(self) -> object: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class StoredObject:
    """
    An object that is being read; ``body`` must be closed.

    :param metadata: the author's and ours, names in lower case.
    :param etag: another one for other bytes; empty where the server gives none.
    """

    uri: str
    size: int
    metadata: Mapping[str, str]
    etag: str
    body: Body

    @property
    def sha256(self) -> str | None:
        """The digest of its bytes, as its metadata tells; ``None`` where it does not."""
        return digest(self.metadata)

    @property
    def marks(self) -> dict[str, str]:
        """What its metadata tells of its marks of origin, and of how its bytes arrived."""
        from airflow_provider_qwenimage.images.origin import TOLD_IN_METADATA

        return {name: value for name, value in self.metadata.items() if name in TOLD_IN_METADATA}

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive."""
        return iter(partial(self.body.read, _CHUNK), b"")

    def head(self, size: int) -> bytes:
        """Return the first ``size`` bytes."""
        return bytes(self.body.read(size))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.body.close()


class Store(Protocol):
    """What speaks to the objects of one kind of store, by their URIs; many threads may share it."""

    def names(self, prefix: str, *, deep: bool) -> dict[str, int]:
        """Return name and size of what lies under a prefix, folders below it only when ``deep``."""

    def open(self, uri: str, *, span: tuple[int, int] | None = None) -> StoredObject:
        """Start to read an object."""

    def put(self, uri: str, request: dict[str, Any], *, exclusive: bool) -> bool:
        """
        Write an object, whole or not at all; return whether it was written.

        :param request: ``Body``, ``ContentType`` and ``Metadata``; what else it holds is S3's.
        """

    def sha256(self, uri: str) -> str | None:
        """Return the digest that is told beside an object, which every image of this provider has."""

    def delete(self, uri: str) -> None:
        """Remove an object."""


def digest(metadata: Mapping[str, str]) -> str | None:
    """Return the digest that the metadata of an object states, ``None`` where it states none."""
    stated = metadata.get("sha256", "").lower()
    return stated if _SHA256.fullmatch(stated) else None
