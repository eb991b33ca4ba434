"""Google Cloud Storage, by the requests of gcsfs: no listing and no name comes from its caches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.storage.cloud import Version, opened, pieces, place, told
from airflow_provider_qwenimage.storage.stored import digest

if TYPE_CHECKING:
    from airflow_provider_qwenimage.storage.stored import StoredObject

_BLOCK = 8 << 20  # bytes, a multiple of 256 KiB; what is smaller is one request


class Google:
    """
    The objects of Google Cloud Storage.

    :param files: ``gcsfs.GCSFileSystem``.
    """

    def __init__(self, files: Any) -> None:
        self._files = files

    def names(self, prefix: str, *, deep: bool) -> dict[str, int]:
        """Return name and size of what lies under a prefix, folders below it only when ``deep``."""
        bucket, path = place(prefix)
        asked: dict[str, Any] = {"prefix": path or None, "delimiter": None if deep else "/"}
        found: dict[str, int] = {}
        with told("list", prefix):
            while True:
                page = self._files.call("GET", "b/{}/o", bucket, json_out=True, **asked)
                for entry in page.get("items", ()):
                    found[entry["name"].removeprefix(path)] = int(entry["size"])
                if not page.get("nextPageToken"):
                    return found
                asked["pageToken"] = page["nextPageToken"]

    def open(self, uri: str, *, span: tuple[int, int] | None = None) -> StoredObject:
        """Start to read an object."""
        bucket, key = place(uri)
        with told("read", uri):
            facts = self._files.call("GET", "b/{}/o/{}", bucket, key, json_out=True)
        generation = facts.get("generation")

        def fetch(first: int, end: int) -> bytes:
            asked = {"alt": "media", "generation": generation}
            part = {"Range": f"bytes={first}-{end - 1}"}
            _, piece = self._files.call("GET", "b/{}/o/{}", bucket, key, headers=part, **asked)
            return bytes(piece)

        metadata = facts.get("metadata", {})
        return opened(uri, Version(int(facts["size"]), str(generation or ""), metadata, fetch), span)

    def put(self, uri: str, request: dict[str, Any], *, exclusive: bool) -> bool:
        """Write an object; return whether it was written, which it is not where ``exclusive`` finds one there."""
        bucket, key = place(uri)
        facts = {"metadata": request.get("Metadata"), "content_type": request["ContentType"]}
        with told("write", uri):
            # Its MD5 is held against what Google says it got.
            file = self._files.open(
                f"{bucket}/{key}",
                "xb" if exclusive else "wb",
                block_size=_BLOCK,
                consistency="md5",
                **facts,
            )
            try:
                for piece in pieces(request["Body"], _BLOCK):
                    file.write(piece)
                file.close()
            except BaseException as error:
                file.closed = True  # or its end would make an object of half of it
                if isinstance(error, FileExistsError):
                    return False
                raise
        return True

    def sha256(self, uri: str) -> str | None:
        """Return the digest in the metadata of an object, ``None`` for none."""
        return digest(self.open(uri).metadata)

    def delete(self, uri: str) -> None:
        """Remove an object."""
        bucket, key = place(uri)
        with told("delete", uri):
            try:
                self._files.call("DELETE", "b/{}/o/{}", bucket, key)
            except FileNotFoundError:  # as S3 has it
                return
