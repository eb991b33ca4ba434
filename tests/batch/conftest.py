"""What the tests of the batch share."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator


@pytest.fixture
def gateway(simulator: Any) -> Any:
    simulator.state.reset()
    simulator.state.settings.latency = 0
    yield simulator
    simulator.state.reset()
    simulator.state.settings.latency = 0


@pytest.fixture
def prefix(bucket: str) -> str:
    return f"s3://{bucket}/campaign-{uuid.uuid4().hex[:8]}/"


class Shelf:
    """What lies under a prefix."""

    def __init__(self, client: Any, prefix: str) -> None:
        self.client = client
        self.bucket, _, self.key = prefix.removeprefix("s3://").partition("/")

    def names(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.key)
        return sorted(e["Key"].removeprefix(self.key) for page in pages for e in page.get("Contents", []))

    def images(self) -> list[str]:
        return [name for name in self.names() if name.endswith(".png")]

    def read(self, name: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=self.key + name)["Body"].read()

    def put(self, name: str, body: bytes) -> str:
        self.client.put_object(Bucket=self.bucket, Key=self.key + name, Body=body)
        return f"s3://{self.bucket}/{self.key}{name}"

    def manifest(self) -> dict[str, Any]:
        return json.loads(self.read("manifest.json"))

    def journal(self) -> list[dict[str, Any]]:
        names = [name for name in self.names() if name.endswith(".jsonl") and name.startswith("journal/")]
        return [json.loads(line) for name in names for line in self.read(name).splitlines()]


@pytest.fixture
def shelf(s3: Any, prefix: str) -> Shelf:
    return Shelf(s3.client(), prefix)


@pytest.fixture
def batch(prefix: str, qwenimage_connection: Any) -> Any:
    """Make a batch task: ``batch(["a", "b"], gateway="dashscope", on_error="continue")``."""

    def make(
        requests: Any, *, gateway: str = "tokenhot", extra: dict[str, Any] | None = None, **arguments: Any
    ) -> QwenImageBatchOperator:
        conn_id = qwenimage_connection(gateway, **(extra or {}))
        given = {"model": "qwen-image-plus", "persist_to": prefix, "retries": 2, **arguments}
        return QwenImageBatchOperator(
            task_id="campaign", requests=requests, qwenimage_conn_id=conn_id, **given
        )

    return make


def prompts(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"product {number}"} for number in range(count)]
