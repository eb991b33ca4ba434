"""Files of the worker as a store: what dies, what runs at once, and what a file system lacks."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import threading
from pathlib import Path

import pytest

from airflow_provider_qwenimage.exceptions import TransferError
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.plugins import serving
from airflow_provider_qwenimage.storage.files import Files
from harness import InMemoryAirflow
from harness.processes import scripts, wait_until
from store.file_server import png

SCRIPT = Path(__file__).parent.parent / "batch" / "campaign.py"
COUNT, AT_ONCE = 40, 4


def sha(body):
    return hashlib.sha256(body).hexdigest()


def put(place, name, body, **options):
    return place.bucket.put(name, body, content_type="image/png", sha256=sha(body), **options)


def no_attributes(*_args):
    raise OSError(errno.ENOTSUP, "Operation not supported")


def no_links(*_args, **_options):
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.fixture
def worker(folder, simulator, qwenimage_connection):
    """Start a batch in a process of its own."""
    qwenimage_connection("tokenhot")
    simulator.state.settings.latency = 0.02
    with scripts(SCRIPT, path=SCRIPT.parent.parent.parent) as begin:

        def start(**options):
            given = {"persist_to": folder.prefix, "max_concurrency": AT_ONCE, **options}
            return begin([given, COUNT, "qwen-image-plus"])

        yield start


def ended(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def test_after_kill_9_at_70_percent_a_retry_pays_for_what_is_missing(folder, simulator, worker):
    killed = worker()
    wait_until(lambda: simulator.state.posts >= COUNT * 0.7, killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert "manifest.json" not in folder.names()

    retried = ended(worker())

    assert simulator.state.posts <= COUNT
    unknown = [failure for failure in retried["failed"] if failure["outcome"] == "unknown"]
    assert len(unknown) == len(retried["failed"]) <= AT_ONCE
    assert retried["done"] + len(unknown) == COUNT
    told = ended(worker(on_unknown_outcome="resubmit"))
    assert simulator.state.posts <= COUNT + AT_ONCE
    assert (told["done"], told["failed"], len(folder.images())) == (COUNT, [], COUNT)
    assert [image["request"] for image in folder.manifest()["images"]] == list(range(COUNT))


@pytest.mark.parametrize("call", ["fsync", "setxattr", "link", "replace"])
def test_dying_before_a_file_has_its_name_leaves_none(folder, call, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*_args, **_options):
        raise Killed

    put(folder, "a.png", png(1))
    with monkeypatch.context() as patched:
        patched.setattr(os, call, die)
        with pytest.raises(Killed):
            put(folder, "a.png" if call == "replace" else "b.png", png(2), exclusive=call != "replace")
    assert folder.read("a.png") == png(1)
    assert folder.bucket.names() == {"a.png": len(png(1))}


def test_what_a_killed_process_left_behind_is_nobody_s(folder, simulator, qwenimage_connection):
    qwenimage_connection("tokenhot")
    for name in ("", "journal/"):
        folder.put(f"{name}.qwenimage-{'0' * 32}.part", b"half an image")
    task = QwenImageBatchOperator(
        task_id="t", requests=["a mug"], model="qwen-image-plus", persist_to=folder.prefix
    )
    assert InMemoryAirflow().run_to_end(task).error is None
    assert set(folder.bucket.names()) == {"00000.png", "manifest.json"}


def test_a_name_that_no_file_may_have_is_refused_by_its_row_before_anything_is_paid(
    folder, simulator, qwenimage_connection
):
    qwenimage_connection("tokenhot")
    rows = [{"prompt": "a mug", "labels": {"sku": sku}} for sku in ("A-1", "A" * 252)]
    given = {"model": "qwen-image-plus", "persist_to": folder.prefix, "filename": "{labels[sku]}.{ext}"}
    attempt = InMemoryAirflow().run_to_end(QwenImageBatchOperator(task_id="t", requests=rows, **given))
    assert "requests[1], filename" in str(attempt.error)
    assert "requests[0]" not in str(attempt.error)
    assert simulator.state.posts == 0


@pytest.mark.parametrize("links", [True, False])
def test_of_many_writers_one_gets_a_name(folder, links, monkeypatch):
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    began, written = threading.Barrier(8), []

    def write(number):
        began.wait()
        written.append((put(folder, "1.jsonl", b"%d" % number, exclusive=True), number))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    (winner,) = [number for won, number in written if won]
    assert folder.read("1.jsonl") == b"%d" % winner
    assert folder.names() == ["1.jsonl"]


def test_a_file_that_somebody_has_written_to_tells_nothing_any_more(folder):
    put(folder, "a.png", png(1), metadata={"labels": "{}"})
    with (folder.folder / "a.png").open("r+b") as file:
        file.write(b"PNG!")
    with folder.bucket.open("a.png") as stored:
        assert (dict(stored.metadata), stored.sha256) == ({}, None)


def test_where_a_file_system_keeps_no_attributes_the_bytes_tell_the_digest(folder, monkeypatch):
    for call in ("setxattr", "listxattr"):
        monkeypatch.setattr(os, call, no_attributes)
    put(folder, "a.png", png(1), metadata={"labels": "{}"})
    with folder.bucket.open("a.png") as stored:
        assert dict(stored.metadata) == {"sha256": sha(png(1))}
        assert b"".join(stored.chunks()) == png(1)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(TransferError, match="no regular file"):
        Files().open(f"file://{tmp_path}/pipe.png")


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(folder, monkeypatch):
    def refuse(_path):
        raise PermissionError(errno.EACCES, "Permission denied")

    put(folder, "a.png", png(1))
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(TransferError, match="could not list") as caught:
        folder.bucket.names()
    assert caught.value.final


def test_the_gallery_serves_a_file_that_was_recorded_and_no_other(folder):
    put(folder, "a.png", png(1))
    kept = folder.put("mine.png", png(2))
    served = serving.image(f"{folder.prefix}a.png", sha256=sha(png(1)), aws_conn_id=None)
    assert (served.content_type, b"".join(served.chunks())) == ("image/png", png(1))
    # Whoever writes a record may know what a file holds; it was not stored by this provider all the same.
    for uri, digest in (
        (kept, sha(png(2))),
        (f"{folder.prefix}a.png", sha(png(2))),
        ("file:///etc/passwd", "0" * 64),
    ):
        with pytest.raises(serving.NotServed):
            serving.image(uri, sha256=digest, aws_conn_id=None)
