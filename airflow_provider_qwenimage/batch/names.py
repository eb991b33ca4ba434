"""The names an author gives the images of a batch: known, and told apart, before the first request."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol, Self

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.images.formats import EXTENSIONS
from airflow_provider_qwenimage.models.results import ImageFields
from airflow_provider_qwenimage.storage.objects import Filename

if TYPE_CHECKING:
    from airflow_provider_qwenimage.batch.items import Item

_TOLD_BY_THE_IMAGE = frozenset({"sha8", "model", "seed", "request_id"})
_LONGEST_FILE = (
    254  # bytes between two slashes; a file system takes 255, and an ending may be longer than ours here
)
_ANY = "png"  # stands for the ending of an image that is not there yet


class Taken(Protocol):
    """Where the row stands that has a name, by the number of the name; a dictionary is one."""

    def get(self, key: int, /) -> str | None: ...  # noqa: D102
    def __setitem__(self, key: int, where: str, /) -> None: ...


class TakenOnDisk:
    """The same on the worker's disk, for rows without number; a context manager."""

    _CACHE = 8 * 1024  # KiB

    def __init__(self) -> None:
        import sqlite3

        self._table = sqlite3.connect("", isolation_level=None)  # a file without a name
        for order in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{self._CACHE}"):
            self._table.execute(f"PRAGMA {order}")
        self._table.execute("CREATE TABLE taken (name INTEGER PRIMARY KEY, line TEXT)")
        self._table.execute("BEGIN")  # one for all rows: nobody else reads them

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._table.close()

    def get(self, key: int) -> str | None:
        """Return where the row stands that has a name."""
        found = self._table.execute("SELECT line FROM taken WHERE name = ?", (key,)).fetchone()
        return found[0] if found else None

    def __setitem__(self, key: int, where: str) -> None:
        self._table.execute("INSERT OR REPLACE INTO taken VALUES (?, ?)", (key, where))


class Names:
    """
    Who has which name.

    :param template: see ``Filename``.
    :param prefix: where the images go.
    :param taken: where that is kept; in memory where omitted, some 200 bytes for each image, whatever its name is.
    :raises InvalidRequest: it holds what only the image tells: that would be another name after a retry.
    """

    def __init__(
        self, template: str, *, prefix: str, map_index: int = -1, taken: Taken | None = None
    ) -> None:
        self._filename, self._map_index = Filename(template), map_index
        self._taken: Taken = {} if taken is None else taken
        self._are_files = prefix.startswith("file://")
        if unknown := sorted(self._filename.fields & _TOLD_BY_THE_IMAGE):
            named = ", ".join(f"{{{name}}}" for name in unknown)
            rule = f"holds {named}; known before a request are index, ext, map_index and labels[…]"
            raise InvalidRequest("filename", rule)

    def take(self, item: Item) -> None:
        """
        Give a request the names of its images.

        :raises InvalidRequest: another row, or another image of its own, has one of them, or no file may have it.
        """
        fields = ImageFields(labels=item.request.labels)
        for number in range(item.request.n):
            name = self._filename.render(
                index=item.first + number, sha256="", ext=_ANY, fields=fields, map_index=self._map_index
            )
            if self._are_files and max(len(part.encode()) for part in name.split("/")) > _LONGEST_FILE:
                raise InvalidRequest("filename", f"makes {name[:60]}…, a longer name than a file may have")
            if taken := self._taken.get(_key(name)):
                whose = "two images of this row" if taken == item.where else f"{taken} and this row"
                raise InvalidRequest("filename", f"gives {whose} the name {name}; add {{index}} to it")
            self._taken[_key(name)] = item.where

    def may_write(self, name: str) -> bool:
        """Whether a name is one of theirs, whatever the format of the image."""
        endings = (ending for ending in EXTENSIONS.values() if name.endswith(f".{ending}"))
        forms = [name, *(name.removesuffix(ending) + _ANY for ending in endings)]
        return any(self._taken.get(_key(form)) is not None for form in forms)


def _key(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)
