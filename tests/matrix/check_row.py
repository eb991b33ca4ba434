"""
Run operators, hook, transfer and batch in one environment against the simulator; ``make matrix`` makes them.

Prints a line for each Dag and each fault, and last a line of JSON with what this Airflow has; exits 1 where something
is not as the documents say.
"""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DAGS = ("facts", "generate", "persisted", "edit", "jobs", "batch", "transfer", "hook")
# The rows of docs/pay-once.md's table of faults after which nothing may be sent again.
ONE_POST = (
    "drop_after", "reset_after", "hang", "500", "502", "503_empty", "504", "524",
    "truncated_json", "truncated_body", "html_200", "empty_200", "zero_images",
    "moderation", "error_200_native", "401", "403", "arrearage",
)  # fmt: skip
TRIED_AGAIN = {"500_internal_error": 3}  # Airflow's retries: one POST a try


def prepared(home: str) -> None:
    """Give this process an Airflow of its own, before Airflow is imported."""
    os.environ |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(HERE),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{home}/logs",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
    }
    subprocess.run(
        [Path(sys.executable).parent / "airflow", "db", "migrate"], check=True, capture_output=True
    )


def serialized() -> None:
    """Let the Dag processor's own code put the Dags into the database, where ``dag.test`` looks for them."""
    subprocess.run(
        [Path(sys.executable).parent / "airflow", "dags", "reserialize"], check=True, capture_output=True
    )


def ran(dag_id: str) -> str:
    """Run a Dag once in this process, retries included, and return the state of the run."""
    return str(dags()[dag_id].test().state)


@cache
def dags() -> dict[str, Any]:
    """Return the Dags of this folder by id."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # below 3.2
        from airflow.models.dagbag import DagBag
    bag = DagBag(HERE / "row_dag.py")
    assert not bag.import_errors, bag.import_errors
    return bag.dags


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="qwenimage-row-") as home:
        prepared(home)
        os.environ["ROW_FACTS"] = f"{home}/facts.json"
        return checked()


def checked() -> int:
    from moto.server import ThreadedMotoServer

    from airflow_provider_qwenimage.simulator import running

    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    s3.start()
    try:
        with running(key="sk-simulator-key", job_seconds=0.2) as gateway:
            connect(gateway.url, "http://{}:{}".format(*s3.get_host_and_port()))
            serialized()
            return reported(gateway)
    finally:
        s3.stop()


def connect(gateway: str, s3: str) -> None:
    """Define both connections and the bucket."""
    import boto3

    extra = {"gateway": "tokenhot", "allow_private_hosts": True, "timeout": 2}
    host = {"conn_type": "qwenimage", "host": f"{gateway}/tokenhot", "password": "sk-simulator-key"}
    os.environ["AIRFLOW_CONN_QWENIMAGE_DEFAULT"] = json.dumps({**host, "extra": extra})
    jobs = {"gateway": "dashscope", "allow_private_hosts": True}
    os.environ["AIRFLOW_CONN_JOBS"] = json.dumps({**host, "host": f"{gateway}/dashscope", "extra": jobs})
    keys = {"login": "testing", "password": "testing-secret"}
    aws = {"conn_type": "aws", **keys, "extra": {"endpoint_url": s3, "region_name": "us-east-1"}}
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(aws)
    os.environ["ROW_IMAGE"] = picture()
    client = boto3.client(
        "s3", endpoint_url=s3, aws_access_key_id="testing", aws_secret_access_key="testing-secret"
    )
    client.create_bucket(Bucket="row")


def picture() -> str:
    """Return an input image as a data URL."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (512, 512), "teal").save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def partitions_refused() -> str:
    """Return what is said of an argument that this Airflow has no events for."""
    from airflow_provider_qwenimage.exceptions import InvalidRequest
    from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator

    try:
        QwenImageToS3Operator(task_id="store", images=[], s3_prefix="s3://row/x/", partition_by="market")
    except InvalidRequest as error:
        return str(error)
    return ""


def reported(gateway: Any) -> int:
    wrong = 0
    names = ("apache-airflow", "apache-airflow-providers-amazon", "apache-airflow-providers-common-compat")
    print(", ".join(f"{name} {version(name)}" for name in (*names, "httpx", "pydantic")), flush=True)
    for dag_id in DAGS:
        gateway.state.reset()
        state = ran(dag_id)
        wrong += state != "success"
        print(f"{dag_id}: {state}, {gateway.state.posts} requests", flush=True)
    for fault in (*ONE_POST, *TRIED_AGAIN):
        gateway.state.reset()
        gateway.fault(fault, times=9)
        state, posts, expected = ran("generate"), gateway.state.posts, TRIED_AGAIN.get(fault, 1)
        wrong += (state, posts) != ("failed", expected)
        print(f"fault {fault}: {state}, {posts} requests, {expected} allowed", flush=True)
    told = partitions_refused()
    wrong += ("partition_by: needs Airflow 3.3" in told) != (version("apache-airflow") < "3.3")
    print(f"partition_by: {told or 'taken'}", flush=True)
    print("as the documents say" if not wrong else f"{wrong} are not as the documents say")
    tried = {"Dags": len(DAGS), "faults": len(ONE_POST) + len(TRIED_AGAIN), "wrong": wrong}
    has = json.loads(Path(os.environ["ROW_FACTS"]).read_text(encoding="utf-8"))
    print(json.dumps({**tried, **has, "events of partitions": not told}))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
