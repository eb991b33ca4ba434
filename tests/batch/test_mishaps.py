"""What goes wrong in the middle of a batch: other runs, timeouts, full disks, gateways that are away."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace

import pytest

from airflow_provider_qwenimage.batch import storing
from airflow_provider_qwenimage.batch.pacing import Pace
from airflow_provider_qwenimage.batch.running import BatchRun
from airflow_provider_qwenimage.exceptions import GatewayUnreachable, TransferError
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.models.manifest import Origin
from airflow_provider_qwenimage.models.options import BatchOptions
from airflow_provider_qwenimage.models.results import ImageSource
from airflow_provider_qwenimage.storage.prefix import Bucket
from airflow_provider_qwenimage.storage.store import ImageStore
from batch.conftest import prompts
from harness import InMemoryAirflow
from harness.processes import wait_until
from store.file_server import png

DEFAULTS = {"model": "qwen-image-plus"}


@pytest.fixture
def begin(prefix, qwenimage_connection):
    """Make a run outside of a task: ``begin(on_error="continue")``."""
    qwenimage_connection("tokenhot")

    def make(run_id="one", **options):
        settings = QwenImageHook("qwenimage_default").settings
        given = BatchOptions(persist_to=prefix, max_concurrency=4, **options)
        return BatchRun(settings, given, Origin(dag_id="d", task_id="t", run_id=run_id))

    return make


def paid_for(gateway):
    texts = (body["input"]["messages"][0]["content"][0]["text"] for body in gateway.state.bodies)
    return Counter(texts)


@pytest.mark.parametrize("on_error", ["fail", "continue"])
# rclone knows no If-None-Match, as docs/batch.md says.
@pytest.mark.parametrize("s3", ["moto_s3"], indirect=True)
def test_of_two_runs_at_one_prefix_one_stops_and_nothing_is_paid_twice(gateway, s3, begin, on_error):
    gateway.state.settings.latency = 0.4
    verdicts = {}

    def run(run_id):
        verdicts[run_id], _ = begin(run_id, on_error=on_error).run(prompts(32), defaults=DEFAULTS)

    first = threading.Thread(target=run, args=("one",))
    first.start()
    wait_until(lambda: gateway.state.posts >= 6, seconds=30)
    second = threading.Thread(target=run, args=("two",))
    second.start()
    first.join(60)
    second.join(60)

    assert max(paid_for(gateway).values()) == 1
    stopped = [verdict for verdict in verdicts.values() if verdict.stopped]
    assert len(stopped) == 1
    assert "Another run writes into the journal" in str(stopped[0].stopped)
    gateway.state.settings.latency = 0
    last, _ = begin("three", on_error="continue").run(prompts(32), defaults=DEFAULTS)
    assert max(paid_for(gateway).values()) == 1
    assert len(last.done) == 32


def test_what_one_run_says_last_beside_another_is_heard_by_the_next(gateway, begin, shelf):
    gateway.state.settings.latency = 0.3
    one = begin(on_error="continue")

    def another_run():
        while "journal/batch.json" not in shelf.names():
            pass
        shelf.put("journal/00000002.jsonl", b"")

    rest = threading.Thread(target=another_run)
    rest.start()
    one.run(prompts(4), defaults=DEFAULTS)
    rest.join()
    paid = gateway.state.posts

    done, _ = begin("two").run(prompts(4), defaults=DEFAULTS)

    assert (len(done.done), gateway.state.posts) == (4, paid)


def test_a_timeout_lets_what_is_paid_arrive(gateway, batch, shelf):
    gateway.state.settings.latency = 3
    task = batch(prompts(20), max_concurrency=4, execution_timeout=timedelta(seconds=4), retries=0)

    attempt = InMemoryAirflow().run(task)

    assert type(attempt.error).__name__ == "AirflowTaskTimeout"
    assert len(shelf.images()) == gateway.state.posts < 20
    last = {line["position"]: line["state"] for line in shelf.journal()}
    assert {last[place] for place in range(gateway.state.posts)} == {"done"}


def test_to_stop_a_run_that_has_ended_is_no_error(gateway, begin):
    run = begin()
    run.run(prompts(1), defaults=DEFAULTS)
    run.stop()


def test_a_request_whose_intent_was_being_written_is_not_sent_once_the_task_must_end(
    gateway, begin, monkeypatch
):
    real, writing, told = Bucket.put, threading.Event(), threading.Event()

    def put(self, name, body, **options):
        if name == "00000001.jsonl":
            writing.set()
            assert told.wait(10)
        return real(self, name, body, **options)

    monkeypatch.setattr(Bucket, "put", put)
    run, verdicts = begin(), []
    thread = threading.Thread(target=lambda: verdicts.append(run.run(prompts(20), defaults=DEFAULTS)[0]))
    thread.start()
    assert writing.wait(10)
    run.stop()
    told.set()
    thread.join(20)

    assert gateway.state.posts == 0
    assert (len(verdicts[0].untried), verdicts[0].failed) == (20, {})
    again, _ = begin("two").run(prompts(20), defaults=DEFAULTS)
    assert len(again.done) == gateway.state.posts == 20


def test_a_full_disk_fails_one_request_and_loses_none(gateway, batch, shelf, monkeypatch):
    real, full = ImageStore.store_one, []

    def store_one(self, source, *, index):
        if index == 0 and not full:
            full.append(index)
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, source, index=index)

    monkeypatch.setattr(ImageStore, "store_one", store_one)
    gateway.state.settings.latency = 0.3

    attempt = InMemoryAirflow().run_to_end(batch(prompts(4), on_error="continue", max_concurrency=4))

    assert (attempt.state, attempt.try_number) == ("success", 2)
    assert gateway.state.posts == len(shelf.images()) == 4


def test_a_bug_ends_the_batch_and_what_is_under_way_arrives_before(gateway, begin, shelf, monkeypatch):
    real = storing.Storing.store

    async def store(self, item, generation):
        if item.position == 0:
            raise RuntimeError("a bug")
        return await real(self, item, generation)

    monkeypatch.setattr(storing.Storing, "store", store)
    gateway.fault("hang", times=1, seconds=0.5, match="product 1")

    with pytest.raises(RuntimeError, match="a bug"):
        begin().run(prompts(20), defaults=DEFAULTS)

    assert len(shelf.images()) == gateway.state.posts - 1
    assert "00001.png" in shelf.images()


def test_a_request_paid_again_may_bring_other_bytes(gateway, batch, shelf, monkeypatch):
    real_of, real_put, drawn, failed = ImageSource.of, Bucket.put, [], []

    def other_bytes(image):
        drawn.append(image)
        return real_of(image.model_copy(update={"data": png(len(drawn))}))

    def put(self, name, body, **options):
        if name == "00001.png" and not failed:
            failed.append(name)
            raise TransferError("S3 is away for a moment")
        return real_put(self, name, body, **options)

    monkeypatch.setattr(ImageSource, "of", other_bytes)
    monkeypatch.setattr(Bucket, "put", put)
    task = batch(
        prompts(1),
        gateway="openai-compatible",
        model="Qwen/Qwen-Image",
        n=2,
        on_unknown_outcome="resubmit",
        retries=0,
    )

    assert InMemoryAirflow().run_to_end(task).state == "success"
    assert gateway.state.posts == 2
    assert shelf.images() == ["00000.png", "00001.png"]


def test_images_beyond_those_asked_for_have_places_of_their_own():
    store = storing.Storing(None, None, total=10, threads=None)
    items = [SimpleNamespace(first=first, request=SimpleNamespace(n=1)) for first in range(10)]
    places = [store._place(item, index) for item in items for index in range(4)]
    assert len(set(places)) == len(places)
    assert [store._place(item, 0) for item in items] == list(range(10))


def test_images_that_did_not_come_are_named(gateway, batch, shelf, caplog):
    gateway.fault("partial_failure", times=1, match="product 1")

    attempt = InMemoryAirflow().run_to_end(batch(prompts(3), n=3, model="qwen-image-2.0"))

    assert attempt.state == "success"
    (missing,) = attempt.xcoms["failures"]
    assert (missing["request"], missing["outcome"]) == (1, "partial")
    assert "1 images did not come" in caplog.text
    assert len(shelf.manifest()["failures"]) == 1


def test_a_gateway_that_takes_no_connection_is_given_up_soon(
    begin, gateway, qwenimage_connection, monkeypatch, caplog
):
    run = begin(on_error="continue")
    qwenimage_connection("tokenhot", host="http://127.0.0.1:9/tokenhot")
    run.settings = QwenImageHook("qwenimage_default").settings
    ordered, real = [], Pace.brake

    def brake(self, began, **said):
        before = self._quiet_until
        real(self, began, **said)
        now = asyncio.get_running_loop().time()
        if self._quiet_until != before:
            ordered.append(self._quiet_until - now)
            self._quiet_until = now + 0.01

    monkeypatch.setattr(Pace, "brake", brake)

    verdict, _ = run.run(prompts(200), defaults=DEFAULTS)

    assert isinstance(verdict.stopped, GatewayUnreachable)
    assert len(verdict.untried) > 180
    assert sum(ordered) < 600  # seconds
    assert caplog.text.count("The batch slows down") == 1
    assert "No connection to 127.0.0.1" in caplog.text


def test_jobs_of_a_connection_that_moved_wait_for_it_to_lead_back(gateway, batch, qwenimage_connection):
    gateway.state.settings.job_seconds = 0.05
    gateway.fault("429", on="poll", times=99)
    task = batch(prompts(2), gateway="dashscope", model="wan2.5-t2i-preview", size=None, job_timeout=0.2)
    task.retries = 9
    airflow = InMemoryAirflow()
    assert airflow.run(task).state == "up_for_retry"
    gateway.state.faults.clear()

    qwenimage_connection("dashscope-intl")
    moved = airflow.run(task)
    assert "the connection leads to dashscope-intl" in str(moved.error)
    assert "resubmit" not in str(moved.error)

    qwenimage_connection("dashscope")
    task.job_timeout = 60
    assert len(airflow.run(task).result) == 2
    assert gateway.state.posts == 2
