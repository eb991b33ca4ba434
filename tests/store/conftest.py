"""What the tests of storing share."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_qwenimage.images.download import Downloads, Limits
from airflow_provider_qwenimage.models.options import StoreOptions
from airflow_provider_qwenimage.storage.sources import read_sources
from airflow_provider_qwenimage.storage.store import ImageStore
from store.file_server import FileServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def files() -> Iterator[FileServer]:
    server = FileServer()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def naps() -> list[float]:
    """The pauses a download asked for; none is slept."""
    return []


@pytest.fixture
def downloads(naps: list[float]) -> Iterator[Downloads]:
    """Downloads that may reach loopback and do not sleep."""
    with Downloads(limits=Limits(allow_private_hosts=True), sleep=naps.append) as ready:
        yield ready


@pytest.fixture
def prefix(bucket: str) -> str:
    """An empty prefix on the server at hand."""
    return f"s3://{bucket}/set-{uuid.uuid4().hex[:8]}/"


@pytest.fixture
def keep(prefix: str) -> Callable[..., Any]:
    """Store images under ``prefix``: ``keep(urls, if_exists="replace")``."""

    def run(images: Any, *, origin: Any = None, attempts: int = 2, **options: Any) -> Any:
        chosen = StoreOptions(s3_prefix=prefix, allow_private_hosts=True, **options)
        limits = Limits(max_bytes=chosen.max_image_bytes, allow_private_hosts=True, attempts=attempts)
        downloads = Downloads(limits=limits, sleep=lambda _: None)
        with ImageStore(chosen, origin=origin, downloads=downloads) as store:
            return store.store_all(read_sources(images))

    return run


class Objects:
    """What lies under a prefix, looked at through boto3."""

    def __init__(self, client: Any, prefix: str) -> None:
        self.client = client
        self.bucket, _, self.key = prefix.removeprefix("s3://").partition("/")

    def names(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.key).get("Contents", [])
        return sorted(entry["Key"].removeprefix(self.key) for entry in found)

    def get(self, name: str) -> Any:
        return self.client.get_object(Bucket=self.bucket, Key=self.key + name)

    def read(self, name: str) -> bytes:
        return self.get(name)["Body"].read()

    def put(self, name: str, body: bytes, **facts: Any) -> str:
        self.client.put_object(Bucket=self.bucket, Key=self.key + name, Body=body, **facts)
        return f"s3://{self.bucket}/{self.key}{name}"

    def delete(self, name: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self.key + name)


@pytest.fixture
def objects(s3: Any, prefix: str) -> Objects:
    return Objects(s3.client(), prefix)
