"""Metrics and span attributes of real tasks: what came, what was billed, what nobody knows; and no prompt in them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import Stats
from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
from opentelemetry.sdk.trace import TracerProvider

from airflow_provider_qwenimage import telemetry
from airflow_provider_qwenimage.exceptions import OutcomeUnknown, TemporaryRefusal
from airflow_provider_qwenimage.models.requests import GenerateRequest
from airflow_provider_qwenimage.models.results import Generation, Usage
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator
from harness import InMemoryAirflow

DOCUMENTED = Path(__file__).parent.parent.parent / "docs" / "observability.md"
SOURCE = Path(telemetry.__file__)


class Recorder(NoStatsLogger):
    """A metrics backend that remembers."""

    def __init__(self):
        self.counted, self.timed, self.tags = {}, {}, {}

    def incr(self, stat, count=1, rate=1, *, tags=None):
        self.counted[stat] = self.counted.get(stat, 0) + count
        self.tags[stat] = tags

    def timing(self, stat, dt, *, tags=None):
        self.timed.setdefault(stat, []).append(dt)

    def ours(self):
        return {name: count for name, count in self.counted.items() if name.startswith("qwenimage.")}


@pytest.fixture
def metrics():
    recorder = Recorder()
    Stats.initialize(factory=lambda: recorder, export_legacy_names=False)
    yield recorder
    Stats.initialize(factory=NoStatsLogger, export_legacy_names=False)


def task(conn_id, **arguments):
    given = {"prompt": "a secret teapot", "model": "wan2.6-t2i", "size": "1:1", "n": 2, **arguments}
    return QwenImageGenerateOperator(task_id="generate", qwenimage_conn_id=conn_id, **given)


def test_what_came_and_what_was_stored_is_counted(simulator, qwenimage_connection, s3, bucket, metrics):
    attempt = InMemoryAirflow().run(task(qwenimage_connection("tokenhot"), persist_to=f"s3://{bucket}/a/"))
    assert attempt.error is None
    size = sum(image["bytes"] for image in attempt.xcoms["stored"])
    assert metrics.ours() == {
        "qwenimage.requests_billed": 1,
        "qwenimage.images": 2,
        "qwenimage.images_stored": 2,
        "qwenimage.bytes_stored": size,
    }
    assert metrics.tags["qwenimage.images"] == {"gateway": "tokenhot", "model": "wan2.6-t2i"}
    assert {"qwenimage.request_duration", "qwenimage.store_duration"} <= set(metrics.timed)
    assert "teapot" not in str(metrics.tags)


def test_images_that_are_replayed_are_not_counted_again(simulator, qwenimage_connection, moto_s3, metrics):
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = moto_s3.connection
    airflow = InMemoryAirflow()
    moto_s3.client().create_bucket(Bucket="replayed")
    simulator.fault("file_404", times=9, on="file")
    generate = task(qwenimage_connection("tokenhot"), persist_to="s3://replayed/a/", retries=1)
    tries = [airflow.run(generate), airflow.run(generate)]
    assert [attempt.state for attempt in tries] == ["up_for_retry", "failed"]
    counted = metrics.ours()
    assert (counted["qwenimage.requests_billed"], counted["qwenimage.images"]) == (1, 2)


PRICES = {"wan2.6-t2i": 0.2, "currency": "CNY"}


@pytest.mark.parametrize("whole", ["task", "batch"])
def test_what_is_spent_is_counted_for_its_dag(qwenimage_connection, s3, bucket, metrics, whole):
    conn_id = qwenimage_connection("tokenhot", price_per_image=PRICES)
    made = task(conn_id) if whole == "task" else campaign(conn_id, bucket, ["a cup", "a mug"])
    assert InMemoryAirflow(dag_id="marketing").run(made).error is None
    assert metrics.counted["qwenimage.cost"] == pytest.approx(0.4)
    whose = {"gateway": "tokenhot", "model": "wan2.6-t2i", "dag_id": made.dag_id, "currency": "CNY"}
    assert metrics.tags["qwenimage.cost"] == whose


def test_where_nobody_names_a_price_no_cost_is_counted(simulator, qwenimage_connection, metrics):
    InMemoryAirflow().run(task(qwenimage_connection("tokenhot")))
    assert "qwenimage.cost" not in metrics.counted


def test_an_image_that_is_stored_is_counted_once(simulator, qwenimage_connection, s3, bucket, metrics):
    airflow = InMemoryAirflow()
    made = airflow.run(task(qwenimage_connection("tokenhot")))
    store = QwenImageToS3Operator(
        task_id="store", images=made.result, s3_prefix=f"s3://{bucket}/a/", retries=1
    )
    simulator.fault("file_html", on="file")
    assert [airflow.run(store).state, airflow.run(store).state] == ["up_for_retry", "success"]
    counted = metrics.ours()
    assert (counted["qwenimage.images_stored"], counted["qwenimage.images_not_stored"]) == (2, 1)


def test_a_request_that_cost_nothing_and_one_that_nobody_knows_of_are_told_apart(metrics):
    telemetry.failed(TemporaryRefusal("busy", status=429))
    telemetry.failed(OutcomeUnknown("silence"))
    assert metrics.ours() == {"qwenimage.requests_failed": 1, "qwenimage.outcomes_unknown": 1}
    assert metrics.tags["qwenimage.outcomes_unknown"] == {"error": "OutcomeUnknown"}


def campaign(conn_id, bucket, rows, **arguments):
    given = {"model": "wan2.6-t2i", "persist_to": f"s3://{bucket}/a/", "max_concurrency": 1, **arguments}
    return QwenImageBatchOperator(task_id="campaign", requests=rows, qwenimage_conn_id=conn_id, **given)


def test_the_requests_of_a_batch_are_counted_by_what_became_of_them(
    simulator, qwenimage_connection, s3, bucket, metrics
):
    simulator.fault("moderation")
    simulator.fault("truncated_json")
    rows = [{"prompt": f"cup {number}", "n": 2} for number in range(4)]
    attempt = InMemoryAirflow().run(
        campaign(qwenimage_connection("tokenhot"), bucket, rows, on_error="continue")
    )
    assert attempt.state == "success", attempt.error
    counted = metrics.ours()
    assert counted.pop("qwenimage.bytes_stored") > 0
    assert counted == {
        "qwenimage.requests_billed": 2,
        "qwenimage.images": 4,
        "qwenimage.requests_failed": 1,
        "qwenimage.outcomes_unknown": 1,
        "qwenimage.images_stored": 4,
    }
    assert metrics.tags["qwenimage.images"] == {"gateway": "tokenhot", "model": "wan2.6-t2i"}


def test_what_a_batch_did_before_is_not_counted_again(simulator, qwenimage_connection, s3, bucket, metrics):
    simulator.fault("moderation", times=2)
    task = campaign(
        qwenimage_connection("tokenhot"), bucket, ["a cup", "a mug", "a jug"], on_error="continue"
    )
    for run_id in ("one", "two", "three"):
        InMemoryAirflow(run_id=run_id).run(task)
    counted = metrics.ours()
    assert (counted["qwenimage.requests_billed"], counted["qwenimage.images_stored"]) == (3, 3)


def test_the_manifest_of_a_batch_tells_what_each_image_cost(simulator, qwenimage_connection, s3, bucket):
    conn_id = qwenimage_connection("tokenhot", price_per_image={"wan2.6-t2i": 0.2, "currency": "CNY"})
    attempt = InMemoryAirflow().run(campaign(conn_id, bucket, [{"prompt": "a cup", "n": 2}, "a mug"]))
    manifest = json.loads(s3.client().get_object(Bucket=bucket, Key="a/manifest.json")["Body"].read())
    assert [(image["cost"], image["currency"]) for image in manifest["images"]] == [(0.2, "CNY")] * 3
    assert sum(image["cost"] for image in manifest["images"]) == pytest.approx(attempt.xcoms["usage"]["cost"])


def test_storing_is_timed_only_while_something_is_stored(monkeypatch):
    clock = iter([10.0, 13.0, 50.0, 51.0])
    monkeypatch.setattr("airflow_provider_qwenimage.telemetry.time.monotonic", lambda: next(clock))
    busy = telemetry.Busy()
    with busy, busy:
        pass
    with busy:
        pass
    assert busy.seconds == 4.0


def attributes(work):
    with TracerProvider().get_tracer("test").start_as_current_span("task") as span:
        work()
        return dict(span.attributes)


def test_a_span_says_what_was_asked_and_what_came(metrics):
    def work():
        request = GenerateRequest(prompt="a secret teapot", n=2, seed=0)
        telemetry.asked(
            request,
            gateway="tokenhot",
            model="qwen-image-plus",
            base_url="https://user:k@gw.example/v1?token=k",
        )
        usage = Usage(output_tokens=7, cost=0.4, currency="CNY")
        came = Generation(images=(), gateway="tokenhot", model="m", request_id="r", usage=usage)
        telemetry.delivered(came, dag_id="marketing")

    assert attributes(work) == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.output.type": "image",
        "gen_ai.provider.name": "tokenhot",
        "gen_ai.request.model": "qwen-image-plus",
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.seed": 0,
        "server.address": "gw.example",
        "qwenimage.operation": "generate",
        "gen_ai.response.model": "m",
        "gen_ai.response.id": "r",
        "gen_ai.usage.output_tokens": 7,
        "qwenimage.images": 0,
        "qwenimage.images_failed": 0,
        "qwenimage.cost": 0.4,
        "qwenimage.currency": "CNY",
    }


def test_a_span_names_the_error(metrics):
    assert attributes(lambda: telemetry.failed(OutcomeUnknown("silence", request_id="r"))) == {
        "error.type": "OutcomeUnknown",
        "gen_ai.response.id": "r",
    }


def test_every_metric_and_attribute_is_documented():
    source, told = SOURCE.read_text(encoding="utf-8"), DOCUMENTED.read_text(encoding="utf-8")
    names = set(re.findall(r'"((?:qwenimage|gen_ai|server|error)\.[a-z_.]+)"', source))
    names |= {f"qwenimage.{name}" for name in ("outcomes_unknown", "requests_failed")}
    assert len(names) > 20
    assert {name for name in names if f"`{name}`" not in told} == set()
