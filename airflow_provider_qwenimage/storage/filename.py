"""Names the objects of a set from the author's template."""

from __future__ import annotations

import re
from string import Formatter
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_qwenimage.defaults import FILENAME, MANIFEST, PARTIAL
from airflow_provider_qwenimage.exceptions import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_qwenimage.models.manifest import ImageFields

FIELDS = ("index", "sha8", "ext", "model", "seed", "map_index", "request_id")

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_UNSAFE_LITERAL = re.compile(r"[\x00-\x1f\x7f\\]")
_LONGEST_SPEC = 6  # "{index:0999999999d}" would fill the memory
_LONGEST_KEY = 1024  # bytes, S3's own limit


class _Unknown(NamedTuple):
    """An image of which nothing is known."""

    model: str | None = None
    seed: int | None = None
    request_id: str | None = None


class Filename:
    """
    The template of an object's name.

    :param template: text with ``FIELDS`` in braces, with format specifications: ``{index:03d}-{sha8}.{ext}``.
    :raises InvalidRequest: for an unknown field or a specification that does not fit.
    """

    def __init__(self, template: str = FILENAME) -> None:
        self.template = template
        try:
            parts = list(Formatter().parse(template))
        except ValueError as error:
            raise self._refusal(str(error)) from None
        self._fields = {name: spec for _, name, spec, _ in parts if name is not None}
        for _, name, spec, conversion in parts:
            if name is not None and (name not in FIELDS or conversion):
                raise self._refusal(f"has no field {{{name}}}; there are {', '.join(FIELDS)}")
            if spec and (len(spec) > _LONGEST_SPEC or "{" in spec):
                raise self._refusal(f"has a format specification that is too long: {spec!r}")
        self.render(index=0, sha256="0" * 64, ext="png", fields=_Unknown(), map_index=-1)

    @property
    def tells_content(self) -> bool:
        """Whether two files of one name hold the same bytes."""
        return self._fields.get("sha8") == ""

    @property
    def has_folders(self) -> bool:
        """Whether names may lie deeper than directly under the prefix."""
        return "/" in self.template

    def render(
        self, *, index: int, sha256: str, ext: str, fields: ImageFields | _Unknown, map_index: int
    ) -> str:
        """Return the name of one image, relative to the prefix."""
        values: dict[str, Any] = {
            "index": index,
            "sha8": sha256[:8],
            "ext": ext,
            "model": _safe(fields.model),
            "seed": "none" if fields.seed is None else fields.seed,
            "map_index": map_index,
            "request_id": _safe(fields.request_id),
        }
        if fields.seed is None and self._fields.get("seed"):
            values["seed"] = 0  # "{seed:05d}" holds for images whose seed nobody knows, too
        try:
            name = self.template.format(**values).strip()
        except ValueError as error:
            raise self._refusal(str(error)) from None
        self._check(name)
        return name

    def check(self, images: Sequence[ImageFields], *, map_index: int = -1) -> None:
        """Raise ``InvalidRequest`` where two of ``images`` would get one name, whatever their bytes."""
        names: dict[str, int] = {}
        for index, fields in enumerate(images):
            name = self.render(
                index=index, sha256=f"{index:08x}", ext="png", fields=fields, map_index=map_index
            )
            other = names.setdefault(name, index)
            if other != index:
                raise self._refusal(
                    f"gives images {other} and {index} the same name; add {{index}} or {{sha8}}"
                )

    def _check(self, name: str) -> None:
        segments = name.split("/")
        if not all(segments) or {".", ".."} & set(segments) or _UNSAFE_LITERAL.search(name):
            raise self._refusal(f"makes the name {name!r}, which is no object name")
        if name in (MANIFEST, PARTIAL):
            raise self._refusal(f"makes the name {name!r}, which is the manifest's")
        if len(name.encode()) > _LONGEST_KEY:
            raise self._refusal("makes a name longer than an object's may be")

    def _refusal(self, rule: str) -> InvalidRequest:
        return InvalidRequest("filename", rule, advice=f"The default is {FILENAME}")


def _safe(value: str | None) -> str:
    return _UNSAFE.sub("-", value or "").strip("-.") or "none"
