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
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, Self

from airflow_provider_qwenimage import telemetry
from airflow_provider_qwenimage.defaults import TABLE
from airflow_provider_qwenimage.exceptions import QwenImageError, TransferError
from airflow_provider_qwenimage.images.checked import Measured, receive_bytes, receive_data_url
from airflow_provider_qwenimage.images.download import Authorize, Downloads, Limits, anonymous
from airflow_provider_qwenimage.models.coercion import build
from airflow_provider_qwenimage.models.labels import LABELS
from airflow_provider_qwenimage.models.manifest import Failure, Origin, Outcome, StoredImage
from airflow_provider_qwenimage.models.options import StoreOptions
from airflow_provider_qwenimage.payment.consequences import consequence
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.storage.objects import Filename, ImageObjects
from airflow_provider_qwenimage.storage.prefix import Bucket, Prefix
from airflow_provider_qwenimage.storage.s3 import S3
from airflow_provider_qwenimage.wire.links import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_qwenimage.defaults import ManifestFormat, Provenance
    from airflow_provider_qwenimage.images.checked import Downloaded
    from airflow_provider_qwenimage.models.results import ImageSource

log = logging.getLogger(__name__)


class Trust(Protocol):
    """Which image hosts are trusted, and which are shown a key; ``gateway.connection.Settings`` says it."""

    @property
    def allow_private_hosts(self) -> bool: ...  # noqa: D102
    @property
    def verify(self) -> bool | str: ...  # noqa: D102
    def headers_for(self, url: str) -> dict[str, str]: ...  # noqa: D102


def open_store(trust: Trust | None, *, origin: Origin, s3: S3 | None = None, **options: Any) -> ImageStore:
    """
    Open the place of one set, which asks S3 for all that can be wrong with it: nothing needs to be paid before.

    :param trust: the gateway's connection; without one only public hosts are fetched from.
    :param origin: the task that stores.
    :param s3: a client to share, which stays open; without one the store has its own.
    :param options: the fields of ``StoreOptions``, which may be a template's text.
    :raises InvalidRequest: naming the option that cannot work.
    :raises TransferError: where the prefix cannot be listed, or holds a set and ``if_exists`` is ``fail``.
    """
    if trust is None:
        return ImageStore(build(StoreOptions, **options), origin=origin, s3=s3)
    options |= {"allow_private_hosts": trust.allow_private_hosts, "verify": trust.verify}
    return ImageStore(build(StoreOptions, **options), origin=origin, s3=s3, authorize=trust.headers_for)


class ImageStore:
    """
    Stores the images of one set; a context manager, its methods may be called from many threads.

    :param options: where, under which names, and what to do with what is there.
    :param downloads: how images are fetched; made from ``options`` where omitted.
    :param authorize: see ``Downloads``; ``open_store`` tells the rest.
    """

    def __init__(
        self,
        options: StoreOptions,
        *,
        origin: Origin | None = None,
        s3: S3 | None = None,
        downloads: Downloads | None = None,
        authorize: Authorize = anonymous,
    ) -> None:
        self.options = options
        self._origin = origin or Origin()
        self._filename = Filename(options.filename, places=options.places)
        self._stopped = threading.Event()
        self._busy = telemetry.Busy()
        with ExitStack() as opened:  # what was opened is closed where opening the rest fails
            self._s3 = s3 or opened.enter_context(
                S3(options.aws_conn_id, max_connections=options.max_concurrency)
            )
            self._downloads = opened.enter_context(downloads or self._downloading(authorize))
            objects = _objects(options.provenance)
            self.bucket = Bucket(options.s3_prefix, self._s3, extra_args=options.extra_args)
            self._prefix = _prefix(options.manifest_format)(
                self.bucket,
                origin=self._origin,
                if_exists=options.if_exists,
                deep=self._filename.has_folders,
            )
            self._opened = opened.pop_all()
        self._objects = objects(
            self.bucket,
            self._prefix,
            self._filename,
            if_exists=options.if_exists,
            map_index=self._origin.map_index,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def prefix(self) -> Prefix:
        """What lay there when the store was opened."""
        return self._prefix

    def accepts(self, stored: StoredImage) -> bool:
        """Whether an image that is stored already carries the marks that are asked for, as its record tells."""
        return self._objects.accepts(stored)

    def as_it_lies(self, stored: StoredImage) -> StoredImage:
        """Return the record of an image, or of its labelled form, which a run wrote in its place and did not record."""
        if self._prefix.holds(stored) or not self._prefix.lies_there(stored):
            return stored
        from airflow_provider_qwenimage.storage.provenance import labelled_since

        with self._s3.open(stored.uri) as there:
            return labelled_since(stored, there)

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
        log.info("Storing %d images under %s", len(sources), self.bucket.uri(""))
        images: list[StoredImage] = []
        failures: list[Failure] = []
        errors: list[Exception] = []
        workers = ThreadPoolExecutor(
            min(self.options.max_concurrency, max(len(sources), 1)), "qwenimage-store"
        )
        try:
            places = places or range(len(sources))
            work = [
                (index, source, workers.submit(self.store_one, source, index=index))
                for index, source in zip(places, sources, strict=True)
            ]
            for index, source, future in work:
                try:
                    images.append(future.result())
                except (QwenImageError, OSError) as error:
                    errors.append(error)
                    failures.append(Failure(index=index, reason=redact(error), labels=source.fields.labels))
        except BaseException:
            # The task is being ended: what has not begun never does, what is under way looks up between two chunks, and
            # nobody waits for a host that sends none.
            self._stopped.set()
            workers.shutdown(wait=False, cancel_futures=True)
            raise
        workers.shutdown()
        return self.finish(images, failures=failures, missing=missing, errors=errors)

    def store_one(self, source: ImageSource, *, index: int) -> StoredImage:
        """
        Store one image, or find it stored; writes no manifest.

        :param index: its position in the set.
        :raises TransferError: saying why not.
        """
        with self._busy:
            return self._stored(source, index)

    def _stored(self, source: ImageSource, index: int) -> StoredImage:
        if self.options.if_exists == "skip" and source.kind == "http":
            known = self._prefix.find(source.location, index)
            if known is not None and self._objects.accepts(known):
                # Without a request to its host, whatever became of the link; under another name, by a copy.
                return self._objects.copy(Measured.recorded(known), known.uri, source, index)
            if known is not None:
                return self._brought(known.uri, source, index)
        if source.kind == "stored":
            return self._brought(source.location, source, index)
        with self._arrival(source) as arrived:
            return self._objects.upload(arrived, source, index)

    def _brought(self, uri: str, source: ImageSource, index: int) -> StoredImage:
        stored, most = self._s3.open(uri), self.options.max_image_bytes
        if source.fields.labels or LABELS in stored.metadata:
            from airflow_provider_qwenimage.storage.relabel import Relabel

            labels = Relabel(self._objects, self.bucket, self._prefix)
            return labels.bring(stored, source, index, max_bytes=most)
        return self._objects.bring(stored, source, index, max_bytes=most)

    def relabelled(self, image: StoredImage, labels: dict[str, str]) -> StoredImage:
        """Return a stored image with other labels: in its record, in the metadata of its object and in its name."""
        from airflow_provider_qwenimage.storage.relabel import Relabel

        return Relabel(self._objects, self.bucket, self._prefix).give(image, labels)

    def finish(
        self,
        images: Sequence[StoredImage],
        *,
        failures: Sequence[Failure] = (),
        missing: Sequence[Failure] = (),
        errors: Sequence[Exception] = (),
    ) -> Outcome:
        """Write the manifest of a set that is complete or may have failures; leave word of any other."""
        log.info("%d images stored under %s, %d failed", len(images), self.bucket.uri(""), len(failures))
        telemetry.stored(images, failures, seconds=self._busy.seconds)
        if not failures or (self.options.on_error == "partial" and images):
            told = sorted((*missing, *failures), key=lambda failure: failure.index)
            self._drop_old_table()
            return Outcome(tuple(images), tuple(failures), self._prefix.publish(images, told))
        try:
            self._prefix.leave(images)
        except TransferError as error:  # the failures themselves are what has to be told
            log.warning("%s", error)
        lasting = bool(errors) and all(map(_is_met_again, errors))
        return Outcome(tuple(images), tuple(failures), cause=next(iter(errors), None), lasting=lasting)

    def _drop_old_table(self) -> None:
        if self.options.manifest_format == "json" and self._prefix.size(TABLE) is not None:
            from airflow_provider_qwenimage.storage.table import drop_table

            drop_table(self.bucket)

    def _arrival(self, source: ImageSource) -> Downloaded:
        limit = self.options.max_image_bytes
        if source.data is not None:
            return receive_bytes(source.data, max_bytes=limit)
        if source.kind == "data":
            return receive_data_url(source.location, max_bytes=limit)
        return self._downloads.fetch(source.location, expires=moment(source.fields.expires_at))

    def _downloading(self, authorize: Authorize) -> Downloads:
        options = self.options
        return Downloads(
            limits=Limits(max_bytes=options.max_image_bytes, allow_private_hosts=options.allow_private_hosts),
            verify=options.verify,
            max_connections=options.max_concurrency,
            sleep=self._sleep,
            stopped=self._stopped.is_set,
            authorize=authorize,
        )

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise TransferError("The task was stopped")


def _prefix(manifest_format: ManifestFormat) -> type[Prefix]:
    """Return what keeps the promise of the manifest; pyarrow is loaded only for a table."""
    if manifest_format == "json":
        return Prefix
    from airflow_provider_qwenimage.storage.table import TabledPrefix

    return TabledPrefix


def _objects(provenance: Provenance) -> Callable[..., ImageObjects]:
    """Return what puts images under their names; what may alter or refuse them is loaded only for that."""
    if provenance == "keep":
        return ImageObjects
    from airflow_provider_qwenimage.storage.provenance import demanded

    return demanded(provenance)


def _is_met_again(error: Exception) -> bool:
    """Whether another try at storing can only meet it again: a dead link, too large, a closed host."""
    return isinstance(error, QwenImageError) and consequence(error, state="delivered").retry in (
        "never",
        "told",
    )
