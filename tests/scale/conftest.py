"""An Airflow as it runs on many machines, on this one: PostgreSQL, Redis, two Celery workers, two triggerers."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo.local_s3 import LocalS3
    from e2e.airflow_cluster import Airflow
    from scale.servers import Server

DAGS = Path(__file__).parent / "dags"
SEVERAL = 3  # tasks of a Dag; a third of the deferred ones (dags/fleet.py)
ROOMY = {
    "requests_per_minute": 1200,
    "concurrency": 30,
    "polls_per_second": 20,
}  # turns and seats, never for long
NARROW = {"requests_per_minute": 120, "concurrency": 5}
SECONDS = 3.0  # a request takes where the account is narrow
FOR_EVER = 600  # seconds; each test ends by itself what lasts that long
SIMULATOR_KEY = "sk-simulator-key"
COMPONENTS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    **{
        name: ("celery", "worker", "--skip-serve-logs", "--celery-hostname", name)
        for name in ("worker-1", "worker-2")
    },
    **dict.fromkeys(("triggerer-1", "triggerer-2"), ("triggerer", "--skip-serve-logs")),
}


def pytest_configure() -> None:
    """Let a terminated run unwind, so that what it started is stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests to ``make test-scale``, which names the folder: they start servers and take minutes."""
    named = any("scale" in argument for argument in config.args)
    return None if named else True


@dataclass(frozen=True)
class Fleet:
    """The running Airflow and the servers it leans on."""

    airflow: Airflow
    postgres: Server
    redis: Server

    def unacknowledged(self) -> set[bytes]:
        """Return the messages that workers hold until their tasks end, or held when they were lost."""
        with self._broker() as broker:
            return set(broker.zrange("unacked_index", 0, -1))

    def let_visibility_end(self) -> None:
        """Make these messages older than any ``visibility_timeout``; a worker that starts looks for such."""
        with self._broker() as broker:
            broker.zadd("unacked_index", dict.fromkeys(broker.zrange("unacked_index", 0, -1), 1), xx=True)

    def _broker(self) -> Any:
        from redis import Redis

        return Redis(port=self.redis.port)


@pytest.fixture(scope="session")
def simulator() -> Iterator[Any]:
    """The gateway Airflow's connections lead to, for as long as Airflow runs."""
    from airflow_provider_qwenimage.simulator import running

    with running(key=SIMULATOR_KEY) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def narrow_gateway() -> Iterator[Any]:
    """One that holds its key to limits, where nothing is under way for those who were killed."""
    from airflow_provider_qwenimage.simulator import running

    limits = {"requests_per_second": NARROW["requests_per_minute"] / 60, "concurrency": NARROW["concurrency"]}
    with running(key=SIMULATOR_KEY, latency=SECONDS, limits=limits) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def _fleet(
    simulator: Any, narrow_gateway: Any, rclone_s3: LocalS3, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    from e2e.airflow_cluster import running_airflow
    from scale.servers import postgres, redis

    rclone_s3.client().create_bucket(Bucket="images")
    connections = {
        "tokenhot": _connection(simulator, "tokenhot", limits=ROOMY),
        "dashscope": _connection(simulator, "dashscope", limits=ROOMY),
        "limited": _connection(narrow_gateway, "tokenhot", limits=NARROW),
        "s3": json.loads(rclone_s3.connection),
    }
    home = tmp_path_factory.mktemp("airflow")
    # Not below pytest's own folder, which no other user may enter.
    with tempfile.TemporaryDirectory(prefix="qwenimage-scale-") as folder:
        Path(folder).chmod(0o755)
        with postgres(Path(folder)) as database, redis(Path(folder)) as broker:
            connections["account"] = {
                "conn_type": "redis",
                "host": "127.0.0.1",
                "port": broker.port,
                "extra": {"db": 1},
            }
            environ = settings_of(database, broker)
            with running_airflow(
                dags=DAGS, home=home, connections=connections, environ=environ, components=COMPONENTS
            ) as airflow:
                yield Fleet(airflow, database, broker)


@pytest.fixture
def fleet(_fleet: Fleet) -> Fleet:
    """The fleet, whole: what an earlier test took away is back."""
    _fleet.airflow.bring_back()
    return _fleet


@pytest.fixture
def airflow(fleet: Fleet) -> Airflow:
    """The running Airflow; its connections ``tokenhot``, ``dashscope`` and ``s3`` lead to servers here."""
    return fleet.airflow


@pytest.fixture
def kept(rclone_s3: LocalS3) -> Callable[[Any], int]:
    """Count the images a run has stored, the same one counted once."""

    def count(run: Any) -> int:
        assert rclone_s3.folder is not None
        return len({path.read_bytes() for path in (rclone_s3.folder / "images" / run.run_id).rglob("*.png")})

    return count


@pytest.fixture
def gateway(simulator: Any) -> Iterator[Any]:
    """The simulator as if newly started; ``gateway.state.settings`` may be changed."""
    settings = asdict(simulator.state.settings)
    simulator.state.reset()
    yield simulator
    simulator.state.settings.change(settings)


def end_jobs(gateway: Any) -> None:
    """Let every job be done now, and each further one in a second."""
    gateway.state.settings.job_seconds = 1
    for job in gateway.state.jobs.list("dashscope"):
        job.seconds = job.pending = 0


def settings_of(database: Server, broker: Server) -> dict[str, str]:
    """Return what makes an Airflow one of many machines."""
    metadata = f"postgresql+psycopg://postgres@127.0.0.1:{database.port}/postgres"
    return {
        "PYTHONPATH": os.pathsep.join((str(DAGS.parents[2]), str(DAGS.parents[1]))),
        "AIRFLOW__QWENIMAGE__ACCOUNT_CONN_ID": "account",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "scale.component_name.of_this_process",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__PARALLELISM": "32",
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "32",
        "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{broker.port}/0",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "16",
        # So many tasks on so small a machine: asked every second, the API server would do nothing else.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "4",
        # Celery may take a task after it lost Redis, and not begin it (celery/celery#10096): it is queued again.
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
        # The API server answers 40 requests at once, and with 15 connections, Airflow's own number, they wait for
        # each other until they time out when 32 tasks start together.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "20",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_MAX_OVERFLOW": "60",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": metadata,
    }


def _connection(simulator: Any, gateway: str, **extra: Any) -> dict[str, Any]:
    extra = {"gateway": gateway, "allow_private_hosts": True, **extra}
    host = simulator.base(gateway)
    return {"conn_type": "qwenimage", "host": host, "password": SIMULATOR_KEY, "extra": extra}
