"""What the whole suite shares: an Airflow of its own, a gateway, S3 servers, and no way out of this machine."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "conftest":  # to pytest it is tests.conftest
    raise ImportError(
        "It would give this process a second Airflow home: ask for its fixtures, import nothing of it."
    )

# Airflow reads its home when it is first imported, and other machines' settings must not reach the tests.
AIRFLOW_HOME = tempfile.mkdtemp(prefix="qwenimage-tests-")


@atexit.register  # before Airflow registers its own, so that this comes last
def _remove_home(owner: int = os.getpid()) -> None:
    if os.getpid() == owner:  # and not a forked child
        shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)


for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "QWENIMAGE_", "AWS_"))]:
    del os.environ[name]
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": AIRFLOW_HOME,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent.parent / "example_dags"),
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{AIRFLOW_HOME}/logs",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "AIRFLOW__OPENLINEAGE__DISABLED": "True",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "NO_PROXY": "*",
}

import asyncio  # noqa: E402

import httpx  # noqa: E402
import pytest  # noqa: E402
from airflow.sdk import DAG, timezone  # noqa: E402
from airflow.sdk.api.client import Client as AirflowsOwnClient  # noqa: E402

from airflow_provider_qwenimage.testing.local import connection  # noqa: E402
from demo.local_s3 import LocalS3, serving  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_qwenimage.simulator.server import Simulator
    from airflow_provider_qwenimage.testing.s3 import S3Server

SIMULATOR_KEY = "sk-simulator-key"


@pytest.fixture(autouse=True)
def _clean_environ() -> Iterator[None]:
    """Put the environment back after each test: connections live there."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _new_accounts() -> Iterator[None]:
    """Forget after each test what it taught its process of the simulator's accounts."""
    yield
    known = sys.modules.get("airflow_provider_qwenimage.gateway.account.turn")
    if known is not None:
        for store in known._ACCOUNTS.values():
            if hasattr(store, "close"):
                store.close()
        known._ACCOUNTS.clear()


@pytest.fixture(autouse=True)
def blocking_http_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fail a test that calls a blocking httpx client on the thread of a running event loop."""
    calls: list[str] = []
    send = httpx.Client.send

    def guarded(client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        # The harness answers Airflow's own client from memory, so that one blocks nothing.
        if not isinstance(client, AirflowsOwnClient) and _loop_is_running():
            calls.append(f"{request.method} {request.url.host}{request.url.path}")
            raise AssertionError(f"{calls[-1]} blocks the event loop")
        return send(client, request, **options)

    monkeypatch.setattr(httpx.Client, "send", guarded)
    yield calls
    assert not calls, f"blocking calls under a running event loop: {calls}"


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@pytest.fixture
def dag() -> DAG:
    """A Dag of its own for each test."""
    return DAG("harness", schedule=None, start_date=timezone.datetime(2026, 1, 1))


@pytest.fixture
def simulator(qwenimage_simulator: Simulator) -> Simulator:
    """The simulator of users' tests, with a key that a test can look for where it must not be, and with short jobs."""
    qwenimage_simulator.state.settings.key = SIMULATOR_KEY
    qwenimage_simulator.state.settings.job_seconds = 0.2  # the gateways' own seconds would be waited for
    return qwenimage_simulator


@pytest.fixture
def qwenimage_connection(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Define a connection to the simulator and return its id; extras as keywords: ``make("tokenhot", timeout=2)``."""

    def make(
        gateway: str = "tokenhot",
        *,
        conn_id: str = "qwenimage_default",
        host: str | None = None,
        password: str = SIMULATOR_KEY,
        **extra: Any,
    ) -> str:
        host = host or request.getfixturevalue("simulator").base(gateway)
        os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = connection(host, password, gateway=gateway, **extra)
        return conn_id

    return make


@pytest.fixture(scope="session")
def _quick_clients() -> Iterator[None]:
    """
    Let each new S3 client cost a hundredth of a second and not half of one.

    botocore reads megabytes of JSON for each session, and Airflow opens one per client: here they read it once. To name
    its caller in the User-Agent, Airflow's hook looks up the module of each frame of the stack, and pytest's is deep.
    """
    import functools

    import botocore.session
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(botocore.session, "create_loader", functools.cache(botocore.session.create_loader))
        patched.setattr(AwsGenericHook, "_get_caller", lambda _hook: "Unknown")
        yield


@pytest.fixture(scope="session")
def moto_s3(_quick_clients: None, qwenimage_s3: S3Server) -> LocalS3:
    """An S3 server in memory that honours conditional writes: the one of users' tests."""
    return LocalS3(**vars(qwenimage_s3))


@pytest.fixture(scope="session")
def rclone_s3(_quick_clients: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalS3]:
    """An S3 server that keeps plain files and ignores conditional writes."""
    folder = tmp_path_factory.mktemp("rclone")
    with serving(folder / "buckets", log=folder / "rclone.log") as server:
        yield server


@pytest.fixture(params=["moto_s3", "rclone_s3"])
def s3(request: pytest.FixtureRequest) -> LocalS3:
    """Both servers, one after the other, with ``aws_default`` leading to the one at hand."""
    server: LocalS3 = request.getfixturevalue(request.param)
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = server.connection
    return server


@pytest.fixture
def bucket(s3: LocalS3) -> str:
    """A new, empty bucket on ``s3``."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3.client().create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def _redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from account.redis_server import RedisServer

    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_server(_redis: Any) -> Any:
    """A Redis server with an empty memory, which outlives the test."""
    with _redis.client() as client:
        client.flushall()
    return _redis


@pytest.fixture
def in_redis(redis_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The server in which all processes of an account meet."""
    monkeypatch.setenv("AIRFLOW_CONN_ACCOUNT", redis_server.connection)
    monkeypatch.setenv("AIRFLOW__QWENIMAGE__ACCOUNT_CONN_ID", "account")
    return redis_server


@pytest.fixture
def in_subprocess() -> Callable[[str], str]:
    """Run Python source in a new interpreter and return what it printed; its exit code must be 0."""
    import subprocess

    def run(source: str) -> str:
        ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run
