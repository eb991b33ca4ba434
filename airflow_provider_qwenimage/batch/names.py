"""The names an author gives the images of a batch: known, and told apart, before the first request."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.images.formats import EXTENSIONS
from airflow_provider_qwenimage.models.results import ImageFields
from airflow_provider_qwenimage.storage.objects import Filename

if TYPE_CHECKING:
    from airflow_provider_qwenimage.batch.items import Item

_TOLD_BY_THE_IMAGE = frozenset({"sha8", "model", "seed", "request_id"})
_ANY = "png"  # stands for the ending of an image that is not there yet


class Names:
    """
    Who has which name; some 200 bytes for each image, whatever its name is.

    :param template: see ``Filename``.
    :raises InvalidRequest: it holds what only the image tells: that would be another name after a retry.
    """

    def __init__(self, template: str, *, map_index: int = -1) -> None:
        self._filename, self._map_index = Filename(template), map_index
        self._taken: dict[int, str] = {}
        if unknown := sorted(self._filename.fields & _TOLD_BY_THE_IMAGE):
            named = ", ".join(f"{{{name}}}" for name in unknown)
            rule = f"holds {named}; known before a request are index, ext, map_index and labels[…]"
            raise InvalidRequest("filename", rule)

    def take(self, item: Item) -> None:
        """
        Give a request the names of its images.

        :raises InvalidRequest: another row, or another image of its own, has one of them.
        """
        fields = ImageFields(labels=item.request.labels)
        for number in range(item.request.n):
            name = self._filename.render(
                index=item.first + number, sha256="", ext=_ANY, fields=fields, map_index=self._map_index
            )
            if taken := self._taken.get(_key(name)):
                whose = "two images of this row" if taken == item.where else f"{taken} and this row"
                raise InvalidRequest("filename", f"gives {whose} the name {name}; add {{index}} to it")
            self._taken[_key(name)] = item.where

    def may_write(self, name: str) -> bool:
        """Whether a name is one of theirs, whatever the format of the image."""
        endings = (ending for ending in EXTENSIONS.values() if name.endswith(f".{ending}"))
        forms = [name, *(name.removesuffix(ending) + _ANY for ending in endings)]
        return any(_key(form) in self._taken for form in forms)


def _key(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())
