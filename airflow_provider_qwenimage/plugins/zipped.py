"""Several images as one zip: stored, not compressed, and sent as they are read."""

from __future__ import annotations

import re
import time
import zipfile
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_qwenimage.plugins import serving

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST = 500  # images of one zip
_MISSING = "missing.txt"


class Wanted(NamedTuple):
    """
    An image of a zip.

    :param folder: within the zip; empty for none.
    """

    uri: str
    sha256: str
    aws_conn_id: str | None
    folder: str


def zipped(images: Iterable[Wanted]) -> Iterator[bytes]:
    """Yield a zip of these images; one that cannot be served is named in a text within it, for the answer has begun."""
    out, missing, names = _Unsent(), list[str](), set[str]()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for wanted in images:
            try:
                found = serving.image(wanted.uri, sha256=wanted.sha256, aws_conn_id=wanted.aws_conn_id)
            except serving.NotServed as error:
                missing.append(str(error))
                continue
            about = zipfile.ZipInfo(_name(wanted, names), time.localtime()[:6])
            about.external_attr = 0o644 << 16
            with archive.open(about, "w") as file:
                for chunk in found.chunks():
                    file.write(chunk)
                    yield from out.taken()
        if missing:
            archive.writestr(_MISSING, "\n".join(missing) + "\n")
        yield from out.taken()
    yield from out.taken()


def _name(wanted: Wanted, names: set[str]) -> str:
    """Return a name that no other file of the zip has, and that leads nowhere when it is unpacked."""
    folder, name = (safe(part) for part in (wanted.folder, wanted.uri.rpartition("/")[2]))
    whole = f"{folder}/{name}" if folder else name
    number = 2
    while whole in names or whole == _MISSING:
        stem, dot, ext = name.rpartition(".")
        renamed = f"{stem}-{number}{dot}{ext}" if dot else f"{name}-{number}"
        whole, number = f"{folder}/{renamed}" if folder else renamed, number + 1
    names.add(whole)
    return whole


def safe(name: str) -> str:
    """Return a name of a file without what a system or a header may read as something else."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or ("_" if name else "")


class _Unsent:
    """What was written and not sent yet; it cannot be sought in, so that the zip is one that streams."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        """Take a part."""
        self._parts.append(bytes(part))
        return len(part)

    def flush(self) -> None:
        """There is nothing to flush."""

    def close(self) -> None:
        """There is nothing to close."""

    def taken(self) -> Iterator[bytes]:
        """Yield what was written since, once."""
        parts, self._parts = self._parts, []
        yield from parts
