"""The stores that images may go to beside S3: files on the disk, and with ``--stores`` servers of Google's and Azure's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import uuid
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_qwenimage.storage.prefix import Bucket
from airflow_provider_qwenimage.storage.s3 import S3
from harness.processes import wait_for_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What buckets with folders and zones need is asked of Google alone.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
# Azurite's own, known to everybody.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stores", action="store_true", help="ask servers of Google's and Azure's stores, too")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        servers = ["google", "google-unconditional", "azure"]
        kinds = ["file", *(servers if metafunc.config.getoption("stores", default=False) else [])]
        metafunc.parametrize("kind", kinds, scope="session")


class Place:
    """A prefix in a store, and a look at what lies there that goes by the store's own interface where it can."""

    def __init__(self, prefix: str, *, conditional: bool = True) -> None:
        self.prefix, self.conditional = prefix, conditional
        self.bucket = Bucket(prefix, S3(None))

    def names(self) -> list[str]:
        return sorted(self.bucket.names(deep=True))

    def images(self) -> list[str]:
        return [name for name in self.names() if name.endswith(".png")]

    def read(self, name: str) -> bytes:
        with self.bucket.open(name) as stored:
            return b"".join(stored.chunks())

    def manifest(self) -> dict[str, Any]:
        return json.loads(self.read("manifest.json"))

    def put(self, name: str, body: bytes) -> str:
        """Put something there as anybody may, who tells nothing beside it."""
        request = {"Body": body, "ContentType": "application/octet-stream"}
        S3(None).at(self.prefix).put(f"{self.prefix}{name}", request, exclusive=False)
        return f"{self.prefix}{name}"


class Files(Place):
    """A folder, looked at as a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"file://{folder}/")
        self.folder = folder

    def names(self) -> list[str]:
        found = [path for path in self.folder.rglob("*") if path.is_file()]
        return sorted(path.relative_to(self.folder).as_posix() for path in found)

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def put(self, name: str, body: bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return f"{self.prefix}{name}"


@pytest.fixture
def folder(tmp_path: Path) -> Files:
    return Files(tmp_path / "a set")


@pytest.fixture
def place(kind: str, request: pytest.FixtureRequest) -> Place:
    """An empty prefix in a store of each kind that is asked for."""
    if kind == "file":
        return request.getfixturevalue("folder")
    root = request.getfixturevalue("servers")(kind)
    return Place(f"{root}/set-{uuid.uuid4().hex[:8]}/", conditional=kind != "google-unconditional")


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Start a server where none runs yet, make its connection, and return the root of a bucket there."""

    def root(kind: str) -> str:
        if kind == "azure":
            os.environ["AIRFLOW_CONN_BLOBS"] = request.getfixturevalue("azurite")
            return "abfs://blobs@images"
        name = kind.replace("-", "_")
        os.environ[f"AIRFLOW_CONN_{name.upper()}"] = request.getfixturevalue(f"{name}_server")
        return f"gs://{name}@images"

    return root


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _google(*, conditional: bool) -> Iterator[str]:
    """
    Serve the emulator of Google's store, and return the Airflow connection to it.

    :param conditional: take a name once where that is asked for, as Google does and the emulator does not.
    """
    from gcp_storage_emulator import server as emulator

    port, upload = _free_port(), _route_of_uploads(emulator)
    answer = upload[emulator.POST]

    def insert(request: Any, response: Any, storage: Any) -> None:
        ours = request.base_url.endswith(f":{port}")
        if ours and conditional and request.query.get("ifGenerationMatch") == ["0"]:
            name = request.query["name"][0] if "name" in request.query else request.data["meta"]["name"]
            if name in storage.objects.get(request.params["bucket_name"], {}):
                response.status = HTTPStatus.PRECONDITION_FAILED
                response.json({"error": {"code": 412, "message": "conditionNotMet"}})
                return
        answer(request, response, storage)

    upload[emulator.POST] = insert
    with emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="images"):
        extra = {"is_anonymous": True, "project": "nobodys", "gcs.endpoint": f"http://127.0.0.1:{port}"}
        yield json.dumps({"conn_type": "google_cloud_platform", "extra": extra})


def _route_of_uploads(emulator: Any) -> dict[str, Any]:
    return next(handlers for regex, handlers in emulator.HANDLERS if "upload" in regex)


@pytest.fixture(scope="session")
def google_server() -> Iterator[str]:
    with _google(conditional=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def google_unconditional_server() -> Iterator[str]:
    with _google(conditional=False) as connection:
        yield connection


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve Azurite, and return the Airflow connection to it."""
    port, program = _free_port(), Path(sys.prefix) / "node_modules" / ".bin" / "azurite-blob"
    folder = tmp_path_factory.mktemp("azurite")
    place = f"http://127.0.0.1:{port}/{_ACCOUNT}"
    told = f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};BlobEndpoint={place};"
    command = [program, "--blobPort", str(port), "--location", folder, "--skipApiVersionCheck", "--silent"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, server)
        from azure.storage.blob import BlobServiceClient

        BlobServiceClient.from_connection_string(told).create_container("images")
        yield json.dumps({"conn_type": "wasb", "extra": {"connection_string": told}})
    finally:
        server.kill()
        server.wait()
