"""The objects under one prefix, and what the manifest there promises while its set changes."""

from __future__ import annotations

import base64
import hashlib
import logging
import sys
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.defaults import MANIFEST, PARTIAL
from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.images.checked import receive
from airflow_provider_qwenimage.models.manifest import Manifest
from airflow_provider_qwenimage.wire.links import identity, split_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import IO

    from airflow_provider_qwenimage.defaults import IfExists
    from airflow_provider_qwenimage.models.manifest import Failure, Origin, StoredImage
    from airflow_provider_qwenimage.storage.s3 import S3
    from airflow_provider_qwenimage.storage.stored import StoredObject

log = logging.getLogger(__name__)

_READERS = 16
_MOST_METADATA = 1900  # bytes of names and values; S3 takes 2048, and some servers count more than these


class Bucket:
    """
    The objects under one prefix; safe to share between threads.

    :param prefix: ``s3://bucket/path/``, or one of another store.
    :param s3: leads to the store; whoever opened it closes it.
    :param extra_args: for every object, as ``S3Hook`` takes them: ``ACL``, ``ServerSideEncryption``, …
    :param field: the argument that ``prefix`` came from, for the error.
    """

    def __init__(
        self,
        prefix: str,
        s3: S3,
        *,
        extra_args: Mapping[str, Any] | None = None,
        field: str = "s3_prefix",
    ) -> None:
        self._place = "{}/{}".format(*split_prefix(prefix, field=field))
        self._s3, self._store = s3, s3.at(self._place)
        self._extra_args = _allowed(extra_args or {}, self._place)

    def uri(self, name: str) -> str:
        """Return the URI of the object ``name`` under the prefix."""
        return f"{self._place}{name}"

    def refuse_unwritable(self) -> None:
        """Refuse a place where it can be known unpaid that nothing could be stored."""
        if self._place.startswith("file://"):
            from airflow_provider_qwenimage.storage.files import refuse_unwritable

            refuse_unwritable(self._place)

    def names(self, *, deep: bool = False) -> dict[str, int]:
        """Return name and size of what lies under the prefix, folders below it only when ``deep``."""
        return self._store.names(self._place, deep=deep)

    def put(
        self,
        name: str,
        body: bytes | bytearray | IO[bytes],
        *,
        content_type: str,
        sha256: str,
        metadata: Mapping[str, str] | None = None,
        exclusive: bool = False,
    ) -> bool:
        """
        Write an object; return whether it was written.

        :param sha256: hexadecimal; becomes metadata, and the checksum the server holds the bytes against.
        :param metadata: further metadata, as far as S3 takes it beside the author's.
        :param exclusive: leave an object that exists alone, where the server honours the condition.
        """
        facts = self._facts(content_type, sha256, metadata)
        if facts.setdefault("ChecksumAlgorithm", "SHA256") == "SHA256":
            facts["ChecksumSHA256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
        return self._store.put(self.uri(name), {**facts, "Body": body}, exclusive=exclusive)

    def put_text(self, name: str, text: bytes) -> None:
        """Write a JSON object; its checksum goes in a header: some servers refuse the trailer that botocore sends."""
        facts = {key: value for key, value in self._extra_args.items() if key != "Metadata"}
        facts |= {"Body": text, "ContentType": "application/json", "ChecksumAlgorithm": "SHA256"}
        facts["ChecksumSHA256"] = base64.b64encode(hashlib.sha256(text).digest()).decode()
        self._store.put(self.uri(name), facts, exclusive=False)

    def copy(self, uri: str, name: str, *, etag: str | None = None, **told: Any) -> None:
        """
        Copy an object on the server; what does not lie in S3, or shall not, goes through this worker.

        :param etag: refuse where the object is another by now.
        :param told: ``content_type``, ``sha256`` and ``metadata``, as ``put`` takes them.
        """
        if self._store is not self._s3 or not uri.startswith("s3://"):
            self._bring(uri, name, **told)
            return
        facts = {"MetadataDirective": "REPLACE", **self._facts(**told)}
        facts.setdefault("ChecksumAlgorithm", "SHA256")
        if "Tagging" in facts:
            facts["TaggingDirective"] = "REPLACE"
        if etag:
            facts["CopySourceIfMatch"] = etag
        self._s3.copy(uri, self.uri(name), facts)

    def _bring(self, uri: str, name: str, *, sha256: str, **told: Any) -> None:
        with self._s3.open(uri) as there, receive(there.chunks(), max_bytes=sys.maxsize) as image:
            if image.sha256 != sha256:
                raise TransferError(f"{uri} has become another object", advice="A retry looks at it again.")
            self.put(name, image.body, sha256=sha256, **told)

    def open(self, name: str) -> StoredObject:
        """Start to read an object."""
        return self._s3.open(self.uri(name))

    def sha256(self, name: str) -> str | None:
        """Return the digest in an object's metadata, which every image of this provider has; ``None`` for none."""
        return self._store.sha256(self.uri(name))

    def delete(self, name: str) -> None:
        """Remove an object."""
        self._store.delete(self.uri(name))

    def _facts(self, content_type: str, sha256: str, metadata: Mapping[str, str] | None) -> dict[str, Any]:
        told = {**self._extra_args.get("Metadata", {}), "sha256": sha256}
        for name, value in (metadata or {}).items():
            if sum(map(len, (*told, *told.values(), name, value))) <= _MOST_METADATA:
                told[name] = value
        return {**self._extra_args, "ContentType": content_type, "Metadata": told}


class Prefix:
    """
    One prefix while a set is stored there: listed once, at the start.

    :param bucket: its objects.
    :param origin: the task that stores.
    :param deep: whether names may lie in folders below the prefix.
    :raises InvalidRequest: where a ``manifest.json`` lies there that this provider did not write.
    :raises TransferError: under ``if_exists="fail"``, where a set lies there already.
    """

    def __init__(self, bucket: Bucket, *, origin: Origin, if_exists: IfExists, deep: bool = False) -> None:
        self._bucket, self._origin, self._if_exists = bucket, origin, if_exists
        bucket.refuse_unwritable()
        self._sizes = bucket.names(deep=deep)
        self._lock = threading.Lock()
        self._withdrawn = False
        self._promised = MANIFEST in self._sizes
        if self._promised and if_exists == "fail":
            raise TransferError(
                f"{bucket.uri(MANIFEST)} exists: a set lies there already, and if_exists is 'fail'",
                advice="Choose another s3_prefix, or if_exists='skip' or 'replace'.",
            )
        self._images = self._recall() if if_exists == "skip" else ()
        self._by_uri = {image.uri: image for image in self._images}
        self._by_url: dict[str | None, list[StoredImage]] = defaultdict(list)
        for image in self._images:
            self._by_url[image.url].append(image)

    def size(self, name: str) -> int | None:
        """Return the size of the object ``name`` when the prefix was listed, ``None`` for no object."""
        return self._sizes.get(name)

    def holds(self, image: StoredImage) -> bool:
        """Whether an image lay there, whole, when the prefix was listed."""
        return self._sizes.get(self._name(image)) == image.bytes

    def lies_there(self, image: StoredImage) -> bool:
        """Whether an object of its name lay there, whatever it holds."""
        return self._name(image) in self._sizes

    def refuse_foreign(self, ours: Callable[[str], bool], *, known: Iterable[StoredImage]) -> None:
        """
        Refuse a prefix where something lies under a name of this set that this provider did not write.

        :param ours: whether a name is one that the set may write.
        :param known: images that a record of this provider lists; all others are looked at.
        :raises InvalidRequest: naming the first of them.
        """
        listed = {self._name(image) for image in (*known, *self._read(MANIFEST), *self._read(PARTIAL))}
        unsure = sorted(name for name in self._sizes if ours(name) and name not in listed)
        with ThreadPoolExecutor(_READERS, "qwenimage-prefix") as readers:
            for name, digest in zip(unsure, readers.map(self._bucket.sha256, unsure), strict=True):
                if digest is None:
                    rule = f"{self._bucket.uri(name)} is not an image of this provider, and would be replaced"
                    raise InvalidRequest("s3_prefix", rule, advice="Choose another prefix.")

    def _name(self, image: StoredImage) -> str:
        return image.uri.removeprefix(self._bucket.uri(""))

    def find(self, url: str, index: int) -> StoredImage | None:
        """
        Return what an earlier run stored from ``url`` and is still there, preferably at the same ``index``.

        Only where the URL names one image for certain, and that image did not change between runs.
        """
        name = identity(url)
        found = self._by_url.get(name, []) if name else []
        if len({image.sha256 for image in found}) != 1:
            return None
        return next((image for image in found if image.index == index), found[0])

    def record(self, uri: str) -> StoredImage | None:
        """Return what an earlier run said of an object that is still there."""
        return self._by_uri.get(uri)

    def withdraw(self) -> None:
        """Take back what manifests say of objects that may change; called before each write, acts once."""
        with self._lock:
            if self._withdrawn:
                return
            if self._images and self._promised:
                self._leave(self._images)
            elif self._if_exists == "replace" and PARTIAL in self._sizes:
                self._bucket.delete(PARTIAL)
            if self._promised:
                self._bucket.delete(MANIFEST)
            self._withdrawn = True

    def publish(self, images: Sequence[StoredImage], failures: Sequence[Failure]) -> str:
        """Write the manifest of a set and return its URI."""
        self._bucket.put_text(MANIFEST, self._manifest(images, failures).dump())
        if PARTIAL in self._sizes:
            self._bucket.delete(PARTIAL)
        return self._bucket.uri(MANIFEST)

    def leave(self, images: Sequence[StoredImage]) -> None:
        """Leave word of what is stored of an incomplete set, and of older images that lie there."""
        uris = {image.uri for image in images}
        kept = [*images, *(image for image in self._images if image.uri not in uris)]
        if kept:
            self._leave(kept)

    def _leave(self, images: Sequence[StoredImage]) -> None:
        self._bucket.put_text(PARTIAL, self._manifest(images, ()).dump())
        self._sizes[PARTIAL] = 0

    def _manifest(self, images: Sequence[StoredImage], failures: Sequence[Failure]) -> Manifest:
        return Manifest(**self._origin.model_dump(), images=tuple(images), failures=tuple(failures))

    def _recall(self) -> tuple[StoredImage, ...]:
        """Read what both manifests list and the listing confirms; the complete one is believed first."""
        known: dict[str, StoredImage] = {}
        for image in (*self._read(MANIFEST), *self._read(PARTIAL)):
            if self.holds(image):
                known.setdefault(image.uri, image)
        return tuple(known.values())

    def _read(self, name: str) -> Iterable[StoredImage]:
        if name not in self._sizes:
            return ()
        uri = self._bucket.uri(name)
        with self._bucket.open(name) as stored:
            text = b"".join(stored.chunks())
        try:
            manifest = Manifest.load(text, where=uri)
        except InvalidRequest as error:
            advice = "Choose another s3_prefix, or if_exists='replace' to overwrite it."
            raise InvalidRequest("s3_prefix", f"{uri} {error.rule}", advice=advice) from None
        if name == MANIFEST and self._is_a_siblings(manifest):
            log.warning(
                "%s is of map index %s of this task; give each its own prefix, as with {{ ti.map_index }}",
                uri,
                manifest.map_index,
            )
        return manifest.images

    def _is_a_siblings(self, manifest: Manifest) -> bool:
        ours, theirs = self._origin, manifest
        return (ours.dag_id, ours.run_id, ours.task_id) == (
            theirs.dag_id,
            theirs.run_id,
            theirs.task_id,
        ) and (ours.map_index != theirs.map_index)


def _allowed(extra_args: Mapping[str, Any], place: str) -> dict[str, Any]:
    if not extra_args:
        return {}
    if not place.startswith("s3://"):
        raise InvalidRequest("extra_args", f"are those of S3, and the images go to {place}")
    from airflow_provider_qwenimage.storage.s3 import allowed

    return allowed(extra_args)
