"""
Which input images the rows of a batch may name.

Whoever writes a rows file is often not whoever wrote the Dag, and must not read with the worker's rights: no file of
the worker, and no bucket but the one the rows came from, unless the author says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from airflow_provider_qwenimage.defaults import STORES
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.options import ANY_LINK, BY_FORM
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.wire.links import lies_below, split_uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_OF_THE_WORKER = ("/", "file://")


def default_inputs(rows_file: str) -> tuple[str, ...]:
    """Return what ``inputs_from`` is where it is omitted: links, and what lies where the rows lie."""
    if rows_file.startswith(_OF_THE_WORKER):
        return ANY_LINK, "data", str(Path(rows_file.removeprefix("file://")).parent)
    root, _ = split_uri(rows_file, field="requests")
    return ANY_LINK, "data", f"{root}/"


class AllowedInputs:
    """
    What ``inputs_from`` allows.

    :param entries: ``http``, ``https``, ``data``, ``s3://bucket/prefix/`` or folders of the worker.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._entries = tuple(entries)
        self._forms = {each for each in self._entries if each in BY_FORM}
        if ANY_LINK in self._forms:
            self._forms.add("https")
        self._folders = [
            Path(each.removeprefix("file://")).resolve()
            for each in self._entries
            if each.startswith(_OF_THE_WORKER)
        ]
        self._prefixes = [each for each in self._entries if each.startswith(STORES)]

    @classmethod
    def beside(cls, rows_file: str) -> Self:
        """
        Return what holds where the author says nothing.

        :param rows_file: the object or the file the rows are read from.
        """
        return cls(default_inputs(rows_file))

    def check(self, images: Sequence[str]) -> None:
        """
        Refuse images that come from elsewhere; none is looked at for it.

        :raises InvalidRequest: naming ``images[i]``.
        """
        for index, image in enumerate(images):
            if not self._allows(image.strip()):
                allowed = ", ".join(self._entries) or "nothing"
                shown = redact(image, limit=120)
                raise InvalidRequest(
                    f"images[{index}]", f"{shown} is from elsewhere than inputs_from allows: {allowed}"
                )

    def _allows(self, image: str) -> bool:
        form = image.partition(":")[0].lower()
        if form in BY_FORM:
            return form in self._forms
        if f"{form}://" in STORES and form != "file":
            return any(lies_below(image, prefix) for prefix in self._prefixes)
        if "\0" in image or not self._folders:
            return False
        path = Path(image.removeprefix("file://")).resolve()  # a link out of the folder leads out of it
        return any(path.is_relative_to(folder) for folder in self._folders)
