"""What the tests of unknown outcomes share: a bucket, and tasks in processes of their own."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from harness.processes import scripts

WORKER = Path(__file__).parent / "worker.py"


class Place:
    """A bucket that an operator stores into."""

    def __init__(self, client):
        self.client, self.name = client, f"unknown-{uuid.uuid4().hex[:12]}"
        self.uri = f"s3://{self.name}/"
        client.create_bucket(Bucket=self.name)

    def names(self):
        found = self.client.list_objects_v2(Bucket=self.name)
        return [each["Key"] for each in found.get("Contents", [])]

    def read(self, name):
        return self.client.get_object(Bucket=self.name, Key=name)["Body"].read()

    def put(self, name, text):
        self.client.put_object(Bucket=self.name, Key=name, Body=text)

    @property
    def pending(self):
        """What lies there until Airflow has taken it."""
        return [name for name in self.names() if ".pending/" in name]


@pytest.fixture
def place(moto_s3, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", moto_s3.connection)
    return Place(moto_s3.client())


@pytest.fixture
def worker(tmp_path):
    """Start one try of a task in a process of its own; what Airflow keeps of it lies in a file."""
    with scripts(WORKER, path=WORKER.parent.parent) as begin:

        def start(prompt, **arguments):
            given = {"prompt": prompt, "poll_interval": 0.05, "on_unknown_outcome": "find", **arguments}
            return begin([str(tmp_path / f"{prompt}.json"), given])

        yield start
