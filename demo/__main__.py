"""
Run the marketing example from prompts to S3, with everything on this machine.

Starts the simulator and an S3 server, lets Airflow run ``example_dags/marketing_assets.py``, prints what was
stored and stops what it started. With ``QWENIMAGE_API_KEY`` and ``QWENIMAGE_GATEWAY`` set (if needed also
``QWENIMAGE_HOST`` and ``QWENIMAGE_MODEL``) it asks that gateway instead of the simulator, which bills you.

With ``--ui`` Airflow stays, with the images and an approval that waits for you, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from demo import airflow, gateway, local_s3, stored
from demo.processes import ServiceFailed, errors_in, finish, tail

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".demo"
BUCKETS = HOME / "bucket-data"
LOGS = HOME / "logs"
DAG_ID = "marketing_assets"
BUCKET = "marketing-assets"


def main() -> int:
    """Run the demo; return its exit code."""
    for stop in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, _leave)
    try:
        _run(stays=_wants_pages())
    except ServiceFailed as error:
        said = errors_in(error.log, package="airflow_provider_qwenimage.exceptions")
        print(f"\n{error}. The end of {error.log}:\n\n{tail(error.log)}\n", *said, sep="\n", file=sys.stderr)
    except (gateway.HalfConfigured, stored.NotWhatTheManifestSays) as error:
        print(f"\n{error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.", file=sys.stderr)
        return 130
    else:
        return 0
    return 1


def _leave(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)  # unwinds, so that every service is stopped


def _wants_pages() -> bool:
    parser = argparse.ArgumentParser(prog="make demo", description="Prompts to images, on this machine.")
    parser.add_argument("--ui", action="store_true", help="leave Airflow running, to see and approve images")
    return bool(parser.parse_args().ui)


def _run(*, stays: bool) -> None:
    own = gateway.from_environment(os.environ)
    (BUCKETS / BUCKET).mkdir(parents=True, exist_ok=True)
    with ExitStack() as services:
        s3 = services.enter_context(local_s3.serving(BUCKETS, log=LOGS / "s3.log"))
        asked = own or services.enter_context(gateway.simulated(log=LOGS / "simulator.log"))
        print(f"Gateway  {asked.title}, model {asked.model}{' (images are billed)' if asked.billed else ''}")
        print(f"S3       {s3.url}, kept as plain files")
        environ = _environment(asked, s3)
        print("Airflow  preparing its database …", flush=True)
        command = (sys.executable, "-m", "airflow")
        finish((*command, "db", "migrate"), log=LOGS / "database.log", environ=environ)
        before = stored.manifests(BUCKETS)
        print(f"Airflow  running the Dag {DAG_ID} …", flush=True)
        finish((*command, "dags", "test", DAG_ID), log=LOGS / "airflow.log", environ=environ)
        _show(stored.manifests(BUCKETS) - before)
        if stays:
            _stay(environ)
            return
    print("\nTo see them in Airflow, and to choose among others: make demo ARGS=--ui")


def _stay(environ: dict[str, str]) -> None:
    """Leave Airflow running until Ctrl-C."""
    print("\nAirflow  starting, with its pages …", flush=True)
    with airflow.serving(environ, log=LOGS / "standalone.log") as running:
        print(f"Airflow  {running.url}, where everybody is an admin", flush=True)
        asked = running.ask_for_an_approval()
        print(f"Images   {running.last_images(DAG_ID, task_id='store')}")
        print(f"Choose   {asked}\n\nCtrl-C ends all of it.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # what has begun to end is not left halfway
            print("\nStopping …", flush=True)
    print("Stopped; nothing is left running.")


def _environment(asked: gateway.Gateway, s3: local_s3.LocalS3) -> dict[str, str]:
    """Return the environment of an Airflow of its own, whatever the shell says about another one."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW_", "AWS_", "QWENIMAGE_"))
    }
    direct = ",".join(
        filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1,localhost"))
    )
    return kept | {
        "AIRFLOW_HOME": str(HOME / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(LOGS / "tasks"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_CONN_QWENIMAGE_DEFAULT": asked.connection,
        "AIRFLOW_CONN_AWS_DEFAULT": s3.connection,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": direct,
        "no_proxy": direct,
    }


def _show(written: frozenset[Path]) -> None:
    if len(written) != 1:
        raise ServiceFailed(
            f"the Dag wrote {len(written)} manifests instead of one", log=LOGS / "airflow.log"
        )
    (manifest,) = written
    images = list(stored.read(manifest, buckets=BUCKETS))
    if not images:
        raise stored.NotWhatTheManifestSays(f"{manifest} lists no image")
    print(f"\n{len(images)} images stored\n\n{stored.table(images)}\n")
    print(f"Open them  {manifest.parent}\nManifest   {manifest}")


if __name__ == "__main__":
    sys.exit(main())
