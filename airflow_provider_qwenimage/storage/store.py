"""
Stores images as S3 objects, each once, and writes the manifest last.

One prefix holds one set. Whatever dies, wherever it dies, the next run of the same set finds the truth there:

* ``manifest.json`` is there: the set it lists is complete, and every object it lists is as it says.
* Before the first object of another set is written, that promise is withdrawn. What the old manifest knew
  moves to ``manifest.partial.json`` first, so images whose links have died since are still recognised.
* A set that ends incomplete leaves ``manifest.partial.json`` behind for the same reason; a complete one
  removes it.
* Two runs at once write the same bytes under the same names, and the same manifest.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from airflow_provider_qwenimage import telemetry
from airflow_provider_qwenimage.exceptions import (
    BlockedHost,
    ImageExpired,
    ImageTooLarge,
    QwenImageError,
    TransferError,
)
from airflow_provider_qwenimage.images.checked import (
    Measured,
    measure,
    receive,
    receive_bytes,
    receive_data_url,
)
from airflow_provider_qwenimage.images.download import Authorize, Downloads, Limits, anonymous
from airflow_provider_qwenimage.images.formats import ImageFacts, extension
from airflow_provider_qwenimage.models.manifest import Failure, Origin, Outcome, StoredImage
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.storage.filename import Filename
from airflow_provider_qwenimage.storage.prefix import Shelf
from airflow_provider_qwenimage.storage.s3 import Bucket
from airflow_provider_qwenimage.wire.links import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_qwenimage.images.checked import Downloaded
    from airflow_provider_qwenimage.models.options import StoreOptions
    from airflow_provider_qwenimage.storage.sources import ImageSource

    # Writes an image under a name, exclusively or not; returns whether it did.
    Write = Callable[[str, bool], bool]

log = logging.getLogger(__name__)

_LASTING = (ImageExpired, ImageTooLarge, BlockedHost)  # a retry meets them again


@dataclass(frozen=True, slots=True)
class _Claim:
    """Which image of the set has a name, and the future of its record."""

    index: int
    sha256: str
    record: Future[StoredImage] = field(default_factory=Future)


class ImageStore:
    """
    Stores the images of one set; a context manager, its methods may be called from many threads.

    :param options: where, under which names, and what to do with what is there.
    :param origin: the task that stores.
    :param downloads: how images are fetched; made from ``options`` where omitted.
    :param authorize: see ``Downloads``.
    :raises InvalidRequest: for a prefix, a file name or ``extra_args`` that cannot work.
    :raises TransferError: where the prefix cannot be listed, or holds a set and ``if_exists`` is ``fail``.
    """

    def __init__(
        self,
        options: StoreOptions,
        *,
        origin: Origin | None = None,
        downloads: Downloads | None = None,
        authorize: Authorize = anonymous,
    ) -> None:
        self.options = options
        self._origin = origin or Origin()
        self._filename = Filename(options.filename)
        self._stopped = threading.Event()
        self._begun = time.monotonic()
        self._claims: dict[str, _Claim] = {}
        self._lock = threading.Lock()
        self._bucket = Bucket(
            options.s3_prefix,
            aws_conn_id=options.aws_conn_id,
            max_connections=options.max_concurrency,
            extra_args=options.extra_args,
        )
        self._downloads = downloads or Downloads(
            limits=Limits(max_bytes=options.max_image_bytes, allow_private_hosts=options.allow_private_hosts),
            verify=options.verify,
            max_connections=options.max_concurrency,
            sleep=self._sleep,
            authorize=authorize,
        )
        self._shelf = Shelf(
            self._bucket,
            origin=self._origin,
            if_exists=options.if_exists,
            deep=self._filename.has_folders,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._downloads.close()
        self._bucket.close()

    def store_all(
        self, sources: Sequence[ImageSource], *, missing: Sequence[Failure] = (), places: Sequence[int] = ()
    ) -> Outcome:
        """
        Store a set, trying every image, and write its manifest; ``Outcome`` tells what failed.

        :param missing: images of the set that were never made; the manifest tells them, the set is complete.
        :param places: the index of each source where images before it are missing; their order otherwise.
        :raises InvalidRequest: before the first download, where the file name cannot tell the images apart.
        """
        self._filename.check([source.fields for source in sources], map_index=self._origin.map_index)
        log.info("Storing %d images under %s", len(sources), self._bucket.uri(""))
        images: list[StoredImage] = []
        failures: list[Failure] = []
        errors: list[Exception] = []
        workers = ThreadPoolExecutor(
            min(self.options.max_concurrency, max(len(sources), 1)), "qwenimage-store"
        )
        try:
            places = places or range(len(sources))
            work = [
                (index, workers.submit(self.store_one, source, index=index))
                for index, source in zip(places, sources, strict=True)
            ]
            for index, future in work:
                try:
                    images.append(future.result())
                except (QwenImageError, OSError) as error:
                    errors.append(error)
                    failures.append(Failure(index=index, reason=redact(error)))
        except BaseException:  # the task is being killed: what waits stops, what has not begun never does
            self._stopped.set()
            raise
        finally:
            workers.shutdown(cancel_futures=True)
        return self.finish(images, failures=failures, missing=missing, errors=errors)

    def store_one(self, source: ImageSource, *, index: int) -> StoredImage:
        """
        Store one image, or find it stored; writes no manifest.

        :param index: its position in the set.
        :raises TransferError: saying why not.
        """
        if self.options.if_exists == "skip" and source.kind == "http":
            known = self._shelf.find(source.location, index)
            if known is not None:
                # Without a request to its host, whatever became of the link; under another name, by a copy.
                image = _measured(known)
                return self._place(image, self._copying(image, known.uri), source, index, at=known.uri)
        if source.kind == "s3":
            with self._bucket.open(source.location) as stored:
                image = measure(stored, max_bytes=self.options.max_image_bytes)
            write = self._copying(image, source.location, etag=stored.etag)
            return self._place(image, write, source, index, at=source.location)
        with self._arrival(source) as arrived:
            return self._place(arrived, self._writing(arrived), source, index)

    def finish(
        self,
        images: Sequence[StoredImage],
        *,
        failures: Sequence[Failure] = (),
        missing: Sequence[Failure] = (),
        errors: Sequence[Exception] = (),
    ) -> Outcome:
        """Write the manifest of a set that is complete or may have failures; leave word of any other."""
        log.info("%d images stored under %s, %d failed", len(images), self._bucket.uri(""), len(failures))
        telemetry.stored(images, failures, seconds=time.monotonic() - self._begun)
        if not failures or (self.options.on_error == "partial" and images):
            told = sorted((*missing, *failures), key=lambda failure: failure.index)
            return Outcome(tuple(images), tuple(failures), self._shelf.publish(images, told))
        try:
            self._shelf.leave(images)
        except TransferError as error:  # the failures themselves are what has to be told
            log.warning("%s", error)
        lasting = bool(errors) and all(isinstance(error, _LASTING) for error in errors)
        return Outcome(tuple(images), tuple(failures), cause=next(iter(errors), None), lasting=lasting)

    def _arrival(self, source: ImageSource) -> Downloaded:
        limit = self.options.max_image_bytes
        if source.data is not None:
            return receive_bytes(source.data, max_bytes=limit)
        if source.kind == "data":
            return receive_data_url(source.location, max_bytes=limit)
        return self._downloads.fetch(source.location, expires=moment(source.fields.expires_at))

    def _writing(self, image: Downloaded) -> Write:
        def write(name: str, exclusive: bool) -> bool:
            kind = image.facts.content_type
            return self._bucket.put(
                name, image.body, content_type=kind, sha256=image.sha256, exclusive=exclusive
            )

        return write

    def _copying(self, image: Measured, uri: str, *, etag: str | None = None) -> Write:
        def write(name: str, _: bool) -> bool:
            kind = image.facts.content_type
            self._bucket.copy(uri, name, content_type=kind, sha256=image.sha256, etag=etag)
            return True

        return write

    def _place(
        self, image: Measured, write: Write, source: ImageSource, index: int, *, at: str | None = None
    ) -> StoredImage:
        """Write an image under its name; images of one set that share name and bytes are written once."""
        name = self._filename.render(
            index=index,
            sha256=image.sha256,
            ext=image.facts.ext,
            fields=source.fields,
            map_index=self._origin.map_index,
        )
        mine = _Claim(index, image.sha256)
        with self._lock:
            first = self._claims.get(name)
            # A request that was paid again brings other bytes for the same place.
            if first is None or first.index == index:
                first = self._claims[name] = mine
        if first.sha256 != image.sha256:
            raise TransferError(f"Another image of the set is stored as {self._bucket.uri(name)}")
        if first is not mine:
            record = first.record.result()
            return _record(record.uri, _measured(record), source, index)
        try:
            uri, held = self._settle(image, write, name, at=at)
        except BaseException as error:
            with self._lock:
                del self._claims[name]
            mine.record.set_exception(error)
            raise
        mine.record.set_result(_record(uri, held, source, index))
        return mine.record.result()

    def _settle(self, image: Measured, write: Write, name: str, *, at: str | None) -> tuple[str, Measured]:
        """Write, skip or refuse, as ``if_exists`` says; return what then lies under ``name``."""
        uri, rule, there = self._bucket.uri(name), self.options.if_exists, self._shelf.size(name)
        if at == uri:
            return uri, image
        if there is not None and rule == "fail":
            raise _taken(uri)
        if there is not None and rule == "skip":
            if not self._filename.tells_content:
                return uri, self._held(uri)
            if there == image.size:
                return uri, image
            log.debug("%s is cut short and is written again", uri)
        self._shelf.withdraw()
        if write(name, rule != "replace" and there is None):
            log.debug("Stored %s", uri)
            return uri, image
        # Someone wrote it since the listing: another run, or our own request whose answer was lost.
        held = self._held(uri)
        if rule == "fail" and held.sha256 != image.sha256:
            raise _taken(uri)
        return uri, held

    def _held(self, uri: str) -> Measured:
        """Return what an object that stays as it is truly holds."""
        with self._bucket.open(uri) as stored, receive(stored.chunks(), max_bytes=sys.maxsize) as image:
            return Measured(image.size, image.sha256, image.facts)

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise TransferError("The task was stopped")


def store_images(
    sources: Sequence[ImageSource],
    options: StoreOptions,
    *,
    origin: Origin | None = None,
    downloads: Downloads | None = None,
    authorize: Authorize = anonymous,
) -> Outcome:
    """Store a set and return what became of it; see ``ImageStore``."""
    with ImageStore(options, origin=origin, downloads=downloads, authorize=authorize) as store:
        return store.store_all(sources)


def _record(uri: str, image: Measured, source: ImageSource, index: int) -> StoredImage:
    return StoredImage(
        uri=uri,
        index=index,
        content_type=image.facts.content_type,
        bytes=image.size,
        sha256=image.sha256,
        width=image.facts.width,
        height=image.facts.height,
        **source.fields.model_dump(),
    )


def _measured(image: StoredImage) -> Measured:
    facts = ImageFacts(
        content_type=image.content_type,
        ext=extension(image.content_type),
        width=image.width,
        height=image.height,
    )
    return Measured(size=image.bytes, sha256=image.sha256, facts=facts)


def _taken(uri: str) -> TransferError:
    return TransferError(f"{uri} exists, and if_exists is 'fail'")
