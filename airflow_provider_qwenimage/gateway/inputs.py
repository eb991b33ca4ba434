"""
Turns input images as an author names them into what the gateway takes; their order stays.

::

    http(s)://…  ─► as it is          ─► gateways that take files (multipart): downloaded and inlined
    s3://b/key   ─► checked, inlined  ─► gateways that take URLs only: checked, presigned
    data:…       ─► checked, inlined  ─► gateways that take URLs only: refused
    /a/path      ─► checked, inlined  ─► gateways that take URLs only: refused

Checked means: one whole image, in a format, with sides, bytes and a ratio that the model takes.
"""

from __future__ import annotations

import binascii
import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlsplit

from airflow_provider_qwenimage.catalog.findings import witness
from airflow_provider_qwenimage.catalog.rules import InputFacts, check, check_image
from airflow_provider_qwenimage.defaults import STORES
from airflow_provider_qwenimage.exceptions import (
    BlockedHost,
    ImageExpired,
    ImageTooLarge,
    InvalidRequest,
    NotAnImage,
    TransferError,
)
from airflow_provider_qwenimage.images.checked import MIB, Downloaded, check_size, receive, receive_data_url
from airflow_provider_qwenimage.images.download import Downloads, Limits
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.wire.links import split_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO

    from airflow_provider_qwenimage.catalog.models import Model
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.images.formats import ImageFacts
    from airflow_provider_qwenimage.models.coercion import Box
    from airflow_provider_qwenimage.models.requests import EditRequest, SequenceRequest, TranslateRequest
    from airflow_provider_qwenimage.storage.s3 import S3

    Pictured = TypeVar("Pictured", EditRequest, SequenceRequest, TranslateRequest)

log = logging.getLogger(__name__)

_MOST_BYTES = 64 * MIB  # of an image whose model has no limit of its own
_CHUNK, _BASE64_BLOCK = 1 << 20, 3 << 18  # bytes; blocks of a multiple of three join without padding
_BAD_REQUEST, _SERVER_ERROR = 400, 500
_FORMS = "an http(s) URL, s3://bucket/key, a data: URL or a local path (gs, abfs and file, too)"
# What stands for an image that is not read yet, where only the form of a request is checked.
_SOME_FILE = "data:image/png;base64,AAAA"
_SOME_LINK = "https://bucket.example/key"
_UNRESERVED = "!#$%&'()*+,/:;=?@[]~"  # what a URL may hold unencoded besides letters, digits and _.-


def sendable(request: Pictured, settings: Settings, s3: S3) -> Pictured:
    """
    Return the request with images that can be sent; a request the vendor would refuse has none read.

    :param s3: reads stored images, and signs links to those in S3.
    :raises InvalidRequest: naming ``images[i]`` and the rule it breaks; nothing was sent to the gateway.
    :raises TransferError: an image could not be read now; a retry is free.
    """
    if not request.images:
        return request
    named = request.model_copy(update={"model": request.model or settings.model})
    row = check(named, gateway=settings.gateway).model
    inputs = Inputs(settings, row, s3, boxes=getattr(request, "boxes", None) or ())
    return request.model_copy(update={"images": inputs.ready(request.images)})


@dataclass(frozen=True, slots=True)
class Inputs:
    """
    Makes the input images of one request sendable.

    :param settings: the connection; its gateway's row says what the gateway takes.
    :param row: the model they are checked against, ``None`` where the catalogue has none.
    :param s3: reads stored images, and signs links to those in S3.
    :param boxes: of each image, in its pixels; held against every image whose bytes are read here.
    """

    settings: Settings
    row: Model | None
    s3: S3
    boxes: Sequence[Sequence[Box]] = ()

    def ready(self, references: tuple[str, ...]) -> tuple[str, ...]:
        """Return one sendable image for each reference, in their order; ``sendable`` tells the errors."""
        return self._each(references, self._one)

    def foreseen(self, references: tuple[str, ...]) -> tuple[str, ...]:
        """
        Return what ``ready`` would, with stand-ins for images that have to be read; nothing is fetched for it.

        :raises InvalidRequest: naming ``images[i]``: it can be seen from here that it will not be sendable.
        """
        return self._each(references, self._stand_in)

    def _each(self, references: tuple[str, ...], make: Callable[..., str]) -> tuple[str, ...]:
        return tuple(
            self._named(partial(make, index=index), reference.strip(), f"images[{index}]")
            for index, reference in enumerate(references)
        )

    def _named(self, make: Callable[[str], str], reference: str, field: str) -> str:
        """Make one image sendable; whatever is wrong with it is told under its place in the list."""
        try:
            return make(reference)
        except InvalidRequest as error:
            named = error.field if error.field.startswith("boxes") else field
            raise InvalidRequest(named, error.rule, advice=error.advice) from None
        except ImageTooLarge:
            whose = (
                f"{self.row.name} takes ({witness(self.row.cited)})"
                if self.row
                else "are read into a request"
            )
            raise InvalidRequest(field, f"has more than the {self._cap / MIB:g} MiB that {whose}") from None
        except (BlockedHost, ImageExpired, NotAnImage) as error:
            raise InvalidRequest(field, _lowered(error.what), advice=error.advice) from None
        except TransferError as error:
            advice = error.advice if error.final else "a retry is free."
            told = TransferError(
                f"{field}: {error.what}",
                billing="no",
                advice=f"Nothing was sent to the gateway; {_lowered(advice)}",
            )
            told.final = error.final
            raise told from error

    def _one(self, reference: str, index: int) -> str:
        scheme = self._scheme(reference)
        if scheme == "http":
            return self._downloaded(reference, index) if self._takes_files else encoded(reference)
        if scheme == "stored":
            return self._stored(reference, index)
        if scheme == "data":
            return self._inlined(receive_data_url(reference, max_bytes=self._cap), index)
        return self._inlined(self._from_disk(Path(reference)), index)

    def _stand_in(self, reference: str, index: int) -> str:
        scheme = self._scheme(reference)
        if scheme == "http":
            link = encoded(reference)
            return _SOME_FILE if self._takes_files else link
        if scheme == "stored":
            split_object(reference)
            return _SOME_FILE if self._inlines else _SOME_LINK
        if scheme == "data":
            with receive_data_url(reference, max_bytes=self._cap) as image:
                self._check(image, index)
        else:
            with self._opened(Path(reference)):
                pass
        return _SOME_FILE

    def _scheme(self, reference: str) -> str:
        """Return ``http``, ``stored``, ``data`` or ``path``; refuse what is none of them, or not for this gateway."""
        scheme = reference.partition(":")[0].lower()
        stored = f"{scheme}://" in STORES
        if scheme in ("http", "https"):
            return "http"
        if scheme == "s3" or (stored and self._inlines):
            return "stored"
        if scheme != "data" and not stored and ("://" in reference or "\0" in reference):
            raise InvalidRequest("images", f"must be {_FORMS}, got {redact(reference, limit=80)}")
        if stored or not self._takes_data:  # of these stores, only S3 signs a link to an object
            who = self.row.name if self.row and self.row.links_only else self.settings.gateway.title
            rule = f"{who} takes input images by URL only"
            raise InvalidRequest("images", rule, advice="Put the image into S3 and pass s3://bucket/key.")
        return "data" if scheme == "data" else "path"

    @property
    def _inlines(self) -> bool:
        """Whether what lies in a store is sent along, and not as a link."""
        return self._takes_data or self._takes_files

    @property
    def _takes_data(self) -> bool:
        """Whether an image may stand in the request itself."""
        return self.settings.gateway.data_urls and not (self.row and self.row.links_only)

    @property
    def _takes_files(self) -> bool:
        """Whether edits are sent as multipart, so that every image must be at hand."""
        gateway = self.settings.gateway
        return gateway.request_format == "flat" and gateway.edits is not None

    @property
    def _cap(self) -> int:
        """How many bytes are read at most; a limit that only warns is none."""
        strict = self.row and self.row.refuses and self.settings.gateway.checks == "strict"
        limits = self.row.input if self.row and strict else None
        return limits.bytes if limits else _MOST_BYTES

    def _downloaded(self, url: str, index: int) -> str:
        limits = Limits(max_bytes=self._cap, allow_private_hosts=self.settings.allow_private_hosts)
        with Downloads(limits=limits, verify=self.settings.verify, max_connections=1) as downloads:
            return self._inlined(downloads.fetch(encoded(url)), index)

    def _stored(self, uri: str, index: int) -> str:
        try:
            with self.s3.open(uri) as found:
                check_size(found.size, max_bytes=self._cap)
                image = receive(found.chunks(), max_bytes=self._cap)
        except TransferError as error:
            if not _BAD_REQUEST <= (error.status or 0) < _SERVER_ERROR:
                raise
            # What a store refuses it will refuse again: no such key, no right to read it.
            ours = f"Check the key, and what the connection {self.s3.aws_conn_id} may read."
            advice = ours if uri.startswith("s3://") else error.advice
            raise InvalidRequest("images", error.what, advice=advice) from error
        if self._inlines:
            return self._inlined(image, index)
        with image:
            self._check(image, index)
        return self.s3.link(uri)

    def _from_disk(self, path: Path) -> Downloaded:
        with self._opened(path) as file:
            return receive(iter(partial(file.read, _CHUNK), b""), max_bytes=self._cap)

    @contextmanager
    def _opened(self, path: Path) -> Iterator[IO[bytes]]:
        from airflow_provider_qwenimage.storage.files import regular

        try:
            with open(path, "rb", opener=regular) as file:
                check_size(os.fstat(file.fileno()).st_size, max_bytes=self._cap)
                yield file
        except OSError as error:
            shown = redact(str(path), limit=120)
            rule = f"{shown} cannot be read on this worker: {error.strerror}"
            raise InvalidRequest("images", rule, advice=f"It must be {_FORMS}.") from None

    def _inlined(self, image: Downloaded, index: int) -> str:
        with image:
            self._check(image, index)
            url = bytearray(f"data:{image.facts.content_type};base64,".encode())
            for piece in image.pieces(_BASE64_BLOCK):
                url += binascii.b2a_base64(piece, newline=False)
        return url.decode("ascii")

    def _check(self, image: Downloaded, index: int) -> None:
        kind = image.facts.content_type.removeprefix("image/").upper()
        facts = InputFacts(kind, image.facts.width, image.facts.height, image.size)
        for warning in check_image(facts, self.row, gateway=self.settings.gateway):
            log.warning("%s", warning)
        if index < len(self.boxes):
            _check_boxes(self.boxes[index], image.facts, field=f"boxes[{index}]")


def _check_boxes(boxes: Sequence[Box], facts: ImageFacts, *, field: str) -> None:
    """Refuse a box that reaches beyond its image."""
    sides = [(facts.width, facts.height)]
    if facts.ext == "jpg":  # a camera stores its picture lying, and an author measures it upright
        sides.append((facts.height, facts.width))
    for box in boxes:
        if not any(box[2] <= width and box[3] <= height for width, height in sides):
            rule = f"{list(box)} reaches beyond the image, which is {facts.width}*{facts.height}"
            raise InvalidRequest(field, rule)


def encoded(url: str) -> str:
    """Return a URL with what is not ASCII encoded, as the vendor asks (A-w27); any other is left alone."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except ValueError:  # brackets that do not close, a port that is none, a name that cannot be one
        host = ""
    if not host:
        raise InvalidRequest("images", f"{redact(url)} names no host")
    if url.isascii() and " " not in url:
        return url
    netloc = host if port is None else f"{host}:{port}"
    kept = {name: quote(getattr(parts, name), safe=_UNRESERVED) for name in ("path", "query", "fragment")}
    return parts._replace(netloc=netloc, **kept).geturl()


def _lowered(sentence: str) -> str:
    return f"{sentence[:1].lower()}{sentence[1:]}"
