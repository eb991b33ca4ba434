"""A worker that is killed loses its life and no money."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from harness.processes import scripts, wait_until

COUNT, AT_ONCE = 40, 4
SCRIPT = Path(__file__).parent / "campaign.py"


@pytest.fixture
def worker(prefix, s3):
    """Start a batch in a process of its own."""
    with scripts(SCRIPT, path=SCRIPT.parent.parent.parent) as begin:

        def start(model="qwen-image-plus", **options):
            given = {"persist_to": prefix, "max_concurrency": AT_ONCE, "poll_interval": 0.05, **options}
            return begin([given, COUNT, model])

        yield start


def kill_when(process, reached):
    wait_until(reached, process)
    process.send_signal(signal.SIGKILL)
    process.wait()


def ended(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize("served", [("tokenhot", "qwen-image-plus"), ("dashscope", "wan2.5-t2i-preview")])
def test_after_kill_9_at_70_percent_a_retry_pays_for_what_is_missing(
    gateway, worker, shelf, qwenimage_connection, served
):
    gateway_name, model = served
    qwenimage_connection(gateway_name)
    gateway.state.settings.latency = 0.02
    gateway.state.settings.job_seconds = 0.1
    kill_when(worker(model), lambda: gateway.state.posts >= COUNT * 0.7)
    before = gateway.state.posts

    retried = ended(worker(model))

    # What was in flight is paid and of unknown outcome: named, and not bought again.
    assert gateway.state.posts <= COUNT
    unknown = [failure for failure in retried["failed"] if failure["outcome"] == "unknown"]
    assert len(unknown) == len(retried["failed"]) <= AT_ONCE
    assert retried["done"] + len(unknown) == COUNT
    assert before >= COUNT * 0.7

    told = ended(worker(model, on_unknown_outcome="resubmit"))

    assert gateway.state.posts <= COUNT + AT_ONCE
    assert (told["done"], told["failed"]) == (COUNT, [])
    assert len(shelf.images()) == len(told["uris"]) == COUNT
    assert [image["request"] for image in shelf.manifest()["images"]] == list(range(COUNT))


def test_killed_after_the_last_image_and_before_the_manifest_nothing_is_paid(
    gateway, worker, shelf, qwenimage_connection
):
    qwenimage_connection("tokenhot")
    ended(worker())
    shelf.client.delete_object(Bucket=shelf.bucket, Key=f"{shelf.key}manifest.json")

    ended(worker())

    assert gateway.state.posts == COUNT
    assert len(shelf.manifest()["images"]) == COUNT


def test_a_task_told_to_stop_begins_nothing_more_and_keeps_what_is_under_way(
    gateway, worker, shelf, qwenimage_connection
):
    qwenimage_connection("tokenhot")
    gateway.state.settings.latency = 0.6
    process = worker()
    wait_until(lambda: gateway.state.posts >= COUNT * 0.2, process)

    process.send_signal(signal.SIGTERM)
    stopped = ended(process)

    assert stopped["done"] == gateway.state.posts == len(shelf.images()) < COUNT
    assert stopped["failed"] == []
    assert "manifest.json" not in shelf.names()
    assert ended(worker())["done"] == gateway.state.posts == COUNT


def test_the_operator_hands_a_kill_on_to_its_run(batch):
    task = batch(["a red fox"])
    task.on_kill()  # before the run began there is nothing to stop
    told = []
    task._run = type("Run", (), {"stop": lambda _: told.append("stop")})()
    task.on_kill()
    assert told == ["stop"]
