"""Azure Blob Storage, by the clients of adlfs: its files take no metadata and no condition."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.storage.cloud import Version, opened, place, told
from airflow_provider_qwenimage.storage.stored import digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_qwenimage.storage.stored import StoredObject


class Azure:
    """
    The blobs of an Azure storage account.

    :param files: ``adlfs.AzureBlobFileSystem``.
    """

    def __init__(self, files: Any) -> None:
        self._files = files
        # A dozen lines for every request would drown a task's log.
        requests = logging.getLogger("azure.core.pipeline.policies.http_logging_policy")
        if requests.level == logging.NOTSET:
            requests.setLevel(logging.WARNING)

    def names(self, prefix: str, *, deep: bool) -> dict[str, int]:
        """Return name and size of what lies under a prefix, folders below it only when ``deep``."""
        container, path = place(prefix)

        async def listed() -> dict[str, int]:
            client = self._files.service_client.get_container_client(container)
            asked = {"name_starts_with": path, "include": ["metadata"]}
            found = client.list_blobs(**asked) if deep else client.walk_blobs(**asked, delimiter="/")
            return {
                blob.name.removeprefix(path): blob.size
                async for blob in found
                # Neither a prefix nor what stands for a folder where an account has folders.
                if hasattr(blob, "size") and (blob.metadata or {}).get("hdi_isfolder") != "true"
            }

        with told("list", prefix):
            return dict(self._run(listed))

    def open(self, uri: str, *, span: tuple[int, int] | None = None) -> StoredObject:
        """Start to read a blob."""
        from azure.core import MatchConditions

        blob = self._blob(uri)
        with told("read", uri):
            facts = self._run(blob.get_blob_properties)

        def fetch(first: int, end: int) -> bytes:
            async def fetched() -> bytes:
                same = {"etag": facts.etag, "match_condition": MatchConditions.IfNotModified}
                stream = await blob.download_blob(offset=first, length=end - first, **same)
                return bytes(await stream.readall())

            return bytes(self._run(fetched))

        metadata = {name.replace("_", "-"): value for name, value in (facts.metadata or {}).items()}
        return opened(uri, Version(facts.size, facts.etag, metadata, fetch), span)

    def put(self, uri: str, request: dict[str, Any], *, exclusive: bool) -> bool:
        """Write a blob; return whether it was written, which it is not where ``exclusive`` finds one there."""
        from azure.core.exceptions import ResourceExistsError
        from azure.storage.blob import ContentSettings

        blob, body = self._blob(uri), request["Body"]
        # Azure's names of metadata are those of variables.
        named = {name.replace("-", "_"): value for name, value in request.get("Metadata", {}).items()}
        kind = ContentSettings(content_type=request["ContentType"])

        async def uploaded() -> None:
            data = bytes(body) if isinstance(body, (bytes, bytearray)) else body
            # Every request carries the MD5 that Azure holds its bytes against.
            facts = {"metadata": named, "content_settings": kind, "validate_content": True}
            await blob.upload_blob(data, overwrite=not exclusive, max_concurrency=1, **facts)

        if not isinstance(body, (bytes, bytearray)):
            body.seek(0)
        with told("write", uri):
            try:
                self._run(uploaded)
            except ResourceExistsError:
                return False
        return True

    def sha256(self, uri: str) -> str | None:
        """Return the digest in the metadata of a blob, ``None`` for none."""
        return digest(self.open(uri).metadata)

    def delete(self, uri: str) -> None:
        """Remove a blob."""
        from azure.core.exceptions import ResourceNotFoundError

        with told("delete", uri):
            try:
                self._run(self._blob(uri).delete_blob)
            except ResourceNotFoundError:  # as S3 has it
                return

    def _blob(self, uri: str) -> Any:
        container, key = place(uri)
        return self._files.service_client.get_blob_client(container, key)

    def _run(self, call: Callable[[], Any]) -> Any:
        """Run a coroutine where the file system's own run: its connections belong to that loop."""
        from fsspec.asyn import sync

        return sync(self._files.loop, call)  # type: ignore[no-untyped-call]
