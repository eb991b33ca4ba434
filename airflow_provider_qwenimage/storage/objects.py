"""The objects of one set: named by the author's template, and each of them written once."""

from __future__ import annotations

import logging
import re
import sys
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from string import Formatter
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage import telemetry
from airflow_provider_qwenimage.defaults import FILENAME, MANIFEST, PARTIAL
from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.images.checked import Measured, measure, receive
from airflow_provider_qwenimage.images.origin import Marks
from airflow_provider_qwenimage.models.labels import LABELS
from airflow_provider_qwenimage.models.results import ImageFields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_qwenimage.defaults import IfExists
    from airflow_provider_qwenimage.images.checked import Downloaded
    from airflow_provider_qwenimage.models.manifest import StoredImage
    from airflow_provider_qwenimage.models.results import ImageSource
    from airflow_provider_qwenimage.storage.prefix import Bucket, Prefix
    from airflow_provider_qwenimage.storage.stored import StoredObject

    # Writes an image under a name, exclusively or not; returns whether it did.
    Write = Callable[[str, bool], bool]

log = logging.getLogger(__name__)

FIELDS = ("index", "sha8", "ext", "model", "seed", "map_index", "request_id")

_LABEL = re.compile(r"labels\[[^\[\]]+\]")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_UNSAFE_LITERAL = re.compile(r"[\x00-\x1f\x7f\\]")
_LONGEST_SPEC = 6  # "{index:0999999999d}" would fill the memory
_LONGEST_KEY = 1024  # bytes, S3's own limit


class Filename:
    """
    The template of an object's name.

    :param template: text with ``FIELDS`` or ``labels[…]`` in braces, with format specifications:
        ``{labels[sku]}-{index:03d}-{sha8}.{ext}``.
    :param places: how many images it tells apart; one at a place beyond gets its index before the ending.
    :raises InvalidRequest: for an unknown field or a specification that does not fit.
    """

    def __init__(self, template: str = FILENAME, *, places: int | None = None) -> None:
        self.template, self._places = template, places
        try:
            parts = list(Formatter().parse(template))
        except ValueError as error:
            raise self._refusal(str(error)) from None
        self._fields = {name: spec for _, name, spec, _ in parts if name is not None}
        for _, name, spec, conversion in parts:
            if name is not None and ((name not in FIELDS and not _LABEL.fullmatch(name)) or conversion):
                raise self._refusal(f"has no field {{{name}}}; there are {', '.join(FIELDS)}, labels[…]")
            if spec and (len(spec) > _LONGEST_SPEC or "{" in spec):
                raise self._refusal(f"has a format specification that is too long: {spec!r}")
        self.render(index=0, sha256="0" * 64, ext="png", fields=ImageFields(), map_index=-1)

    @property
    def tells_content(self) -> bool:
        """Whether two files of one name hold the same bytes."""
        return self._fields.get("sha8") == ""

    @property
    def has_folders(self) -> bool:
        """Whether names may lie deeper than directly under the prefix."""
        return "/" in self.template

    @property
    def fields(self) -> frozenset[str]:
        """What it is made of."""
        return frozenset(self._fields)

    def render(self, *, index: int, sha256: str, ext: str, fields: ImageFields, map_index: int) -> str:
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
        if "labels[" in self.template:
            from airflow_provider_qwenimage.models.labels import NameParts

            values[LABELS] = NameParts(fields.labels)
        try:
            name = self.template.format(**values).strip()
        except ValueError as error:
            raise self._refusal(str(error)) from None
        if self._places is not None and index >= self._places:
            stem, dot, ending = name.rpartition(".")
            name = f"{stem}-{index}.{ending}" if dot else f"{name}-{index}"
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


@dataclass(frozen=True, slots=True)
class _Claim:
    """Which image of the set has a name, and the future of its record."""

    index: int
    sha256: str
    record: Future[StoredImage] = field(default_factory=Future)


class ImageObjects:
    """
    Puts the images of one set under their names; safe to share between threads.

    :param prefix: what lay there when the set began.
    :param if_exists: of an object under an image's name.
    :param map_index: of the task, for the names.
    """

    def __init__(
        self, bucket: Bucket, prefix: Prefix, filename: Filename, *, if_exists: IfExists, map_index: int
    ) -> None:
        self._bucket, self._prefix, self._filename = bucket, prefix, filename
        self._if_exists, self._map_index = if_exists, map_index
        self._claims: dict[str, _Claim] = {}
        self._lock = threading.Lock()

    def accepts(self, _: StoredImage) -> bool:
        """Whether an image that is stored already may be used as it is."""
        return True

    def upload(self, image: Downloaded, source: ImageSource, index: int) -> StoredImage:
        """Store an image whose bytes are at hand."""

        def write(name: str, exclusive: bool) -> bool:
            facts = {"content_type": image.facts.content_type, "sha256": image.sha256}
            return self._bucket.put(
                name, image.body, **facts, metadata=_told(image, source), exclusive=exclusive
            )

        return self._place(image, write, source, index)

    def bring(self, stored: StoredObject, source: ImageSource, index: int, *, max_bytes: int) -> StoredImage:
        """Store an image that lies in S3 already, by a copy on the server; it is read only as far as it must be."""
        with stored:
            image = measure(stored, max_bytes=max_bytes)
        image = self.as_recorded(image, stored.uri, source.fields)
        return self.copy(image, stored.uri, source, index, etag=stored.etag, metadata=stored.marks)

    def as_recorded(self, image: Measured, uri: str, fields: ImageFields) -> Measured:
        """Return an object's image with what records tell of it: its marks, and how its bytes arrived."""
        known, marks = self._prefix.record(uri), image.facts.marks
        if marks is None and fields.origin is not None:
            marks = Marks.told(fields.origin)
        arrived = known.arrived_sha256 if known and known.sha256 == image.sha256 else None
        return replace(image, facts=replace(image.facts, marks=marks), arrived_sha256=arrived)

    def copy(
        self,
        image: Measured,
        uri: str,
        source: ImageSource,
        index: int,
        *,
        etag: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> StoredImage:
        """
        Store an image that was measured already, by a copy on the server; where it lies as it should, by nothing.

        :param etag: refuse where the object at ``uri`` is another by now.
        :param metadata: that tells of its marks, where nobody looked at its bytes.
        """

        def write(name: str, _: bool) -> bool:
            facts = {"content_type": image.facts.content_type, "sha256": image.sha256}
            self._bucket.copy(uri, name, **facts, metadata=_told(image, source, metadata), etag=etag)
            return True

        return self._place(image, write, source, index, at=uri)

    def _place(
        self, image: Measured, write: Write, source: ImageSource, index: int, *, at: str | None = None
    ) -> StoredImage:
        """Write an image under its name; images of one set that share name and bytes are written once."""
        name = self._filename.render(
            index=index,
            sha256=image.named_after,
            ext=image.facts.ext,
            fields=source.fields,
            map_index=self._map_index,
        )
        mine = _Claim(index, image.named_after)
        with self._lock:
            first = self._claims.get(name)
            # A request that was paid again brings other bytes for the same place.
            if first is None or first.index == index:
                first = self._claims[name] = mine
        if first.sha256 != image.named_after:
            raise TransferError(f"Another image of the set is stored as {self._bucket.uri(name)}")
        if first is not mine:
            record = first.record.result()
            return Measured.recorded(record).record(record.uri, index, source.fields)
        try:
            uri, held = self._write_once(image, write, name, at=at)
        except BaseException as error:
            with self._lock:
                del self._claims[name]
            mine.record.set_exception(error)
            raise
        mine.record.set_result(held.record(uri, index, source.fields))
        return mine.record.result()

    def _write_once(
        self, image: Measured, write: Write, name: str, *, at: str | None
    ) -> tuple[str, Measured]:
        """Write, skip or refuse, as ``if_exists`` says; return what then lies under ``name``."""
        uri, rule, there = self._bucket.uri(name), self._if_exists, self._prefix.size(name)
        if at == uri:
            return uri, image
        if there is not None and rule == "fail":
            raise _taken(uri)
        if there is not None and rule == "skip":
            signed = image.named_after != image.sha256
            if not self._filename.tells_content or (signed and there == image.size):
                return uri, self._held(name, image)
            if there == image.size:
                return uri, image
            log.debug("%s is cut short, or lacks our signature, and is written again", uri)
        self._prefix.withdraw()
        if write(name, rule != "replace" and there is None):
            log.debug("Stored %s", uri)
            telemetry.count_stored(image.size)
            return uri, image
        # Someone wrote it since the listing: another run, or our own request whose answer was lost.
        held = self._held(name, image)
        if rule == "fail" and held.named_after != image.named_after:
            raise _taken(uri)
        return uri, held

    def _held(self, name: str, instead: Measured) -> Measured:
        """Return what an object that stays as it is, in the place of another form of it, truly holds."""
        with self._bucket.open(name) as stored, receive(stored.chunks(), max_bytes=sys.maxsize) as image:
            same = self._filename.tells_content or image.sha256 == instead.sha256
            arrived = instead.arrived_sha256 if same else None
            return Measured(image.size, image.sha256, image.facts, arrived_sha256=arrived)


def _told(image: Measured, source: ImageSource, instead: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what the metadata of an object tells of its image beside the digest: its marks, and its labels."""
    told = dict(image.metadata or instead or {})
    if source.fields.labels:
        from airflow_provider_qwenimage.models.labels import as_header

        told[LABELS] = as_header(source.fields.labels)
    return told


def _taken(uri: str) -> TransferError:
    return TransferError(f"{uri} exists, and if_exists is 'fail'")
