"""The journal is in S3 before money is spent, and what dies while writing it loses nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from airflow_provider_qwenimage.batch import segments as segments_module
from airflow_provider_qwenimage.batch.entries import Entry, Header
from airflow_provider_qwenimage.batch.journal import Journal, folder_of
from airflow_provider_qwenimage.batch.segments import Segments, line_of
from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.models.manifest import Origin
from airflow_provider_qwenimage.storage.prefix import Bucket
from airflow_provider_qwenimage.storage.s3 import S3

HEADER = Header(requests=("a", "b", "c"), origin=Origin(dag_id="d", run_id="r", task_id="t"), life=2)


@pytest.fixture
def folder(s3, prefix):
    with S3() as opened:
        yield Bucket(folder_of(prefix), opened)


def write(folder, *entries, header=HEADER, **options):
    async def note():
        journal = Journal(folder, header=header, **options)
        async with journal.writing():
            for entry in entries:
                await journal.commit(entry)
        return journal

    return asyncio.run(note())


def test_a_committed_entry_is_in_s3_and_read_back(folder):
    write(folder, Entry(position=0, state="intent"), Entry(position=1, state="refused", reason="no"))

    entries = Journal(folder, header=HEADER).entries

    assert {position: entry.state for position, entry in entries.items()} == {0: "intent", 1: "refused"}


def test_a_note_that_nobody_waited_for_is_written_at_the_end(folder):
    async def note():
        journal = Journal(folder, header=HEADER)
        async with journal.writing():
            journal.note(Entry(position=2, state="unknown", reason="lost"))

    asyncio.run(note())

    assert Journal(folder, header=HEADER).entries[2].reason == "lost"


def test_what_happens_together_is_written_together(folder):
    async def note():
        journal = Journal(folder, header=HEADER)
        async with journal.writing():
            await asyncio.gather(*(journal.commit(Entry(position=n, state="intent")) for n in range(200)))

    asyncio.run(note())

    assert len(folder.names()) <= 3


def test_the_last_entry_of_a_request_counts_also_after_a_merge(folder, monkeypatch):
    monkeypatch.setattr(segments_module, "_MERGED", 4)
    states = ("intent", "refused", "intent", "done")
    write(folder, *(Entry(position=0, state=state) for state in states), Entry(position=1, state="intent"))

    assert sorted(folder.names()) == ["00000001-00000004.jsonl", "00000005.jsonl", "batch.json"]
    entries = Journal(folder, header=HEADER).entries
    assert (entries[0].state, entries[1].state) == ("done", "intent")


class Killed(BaseException):
    """What stands for the end of the process."""


def append(folder, *entries):
    segments = Segments(folder)
    segments.begin(HEADER)
    for entry in entries:
        segments.append([line_of(entry)])


def test_a_merge_that_fails_is_no_failure_of_what_was_written(folder, monkeypatch):
    monkeypatch.setattr(segments_module, "_MERGED", 3)
    with monkeypatch.context() as away:
        away.setattr(Bucket, "delete", lambda *_: (_ for _ in ()).throw(TransferError("SlowDown")))
        append(folder, *(Entry(position=place, state="intent") for place in range(4)))
    assert len(Journal(folder, header=HEADER).entries) == 4


def test_what_s3_kept_of_a_lost_answer_does_not_take_back_what_came_later(folder, monkeypatch):
    """The reviewer's case: a refusal that was written, believed lost, and merged past."""
    real = Bucket.put

    def put(self, name, body, **options):
        written = real(self, name, body, **options)
        if name == "00000002.jsonl":
            raise TransferError("read timeout")
        return written

    monkeypatch.setattr(Bucket, "put", put)
    segments = Segments(folder)
    segments.begin(HEADER)
    segments.append([line_of(Entry(position=0, state="intent"))])
    with pytest.raises(TransferError):
        segments.append([line_of(Entry(position=0, state="refused"))])
    segments.append([line_of(Entry(position=0, state="done"))])
    segments.replace([Entry(position=0, state="done")])

    assert Segments(folder).entries()[0].state == "done"


def test_dying_between_a_merge_and_its_deletions_changes_nothing(folder, monkeypatch):
    monkeypatch.setattr(segments_module, "_MERGED", 3)
    monkeypatch.setattr(Bucket, "delete", lambda *_: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        append(folder, *(Entry(position=0, state=state) for state in ("intent", "refused", "intent")))
    monkeypatch.undo()

    journal = write(folder, Entry(position=0, state="done"))

    assert journal.entries[0].state == "done"
    assert Journal(folder, header=HEADER).entries[0].state == "done"


def test_an_entry_that_cannot_be_written_is_an_error_for_who_waits_and_no_intent(folder, monkeypatch):
    async def note():
        journal = Journal(folder, header=HEADER)
        async with journal.writing():
            monkeypatch.setattr(
                Bucket, "put", lambda *_, **__: (_ for _ in ()).throw(TransferError("S3 is away"))
            )
            with pytest.raises(TransferError):
                await journal.commit(Entry(position=0, state="intent"))
            monkeypatch.undo()
            journal.note(Entry(position=1, state="done"))

    asyncio.run(note())

    found = {p: e.state for p, e in Journal(folder, header=HEADER).entries.items()}
    # Taken back, in case S3 kept the intent all the same.
    assert found == {0: "refused", 1: "done"}


def test_whatever_the_writer_runs_into_nobody_waits_for_ever(folder, monkeypatch):
    async def note():
        journal = Journal(folder, header=HEADER)
        async with journal.writing():
            with monkeypatch.context() as broken:
                broken.setattr(Bucket, "put", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("plugin")))
                for _ in range(2):
                    with pytest.raises(TransferError, match="RuntimeError: plugin") as caught:
                        await asyncio.wait_for(journal.commit(Entry(position=0, state="intent")), 5)
                    assert not caught.value.may_be_billed
            await journal.commit(Entry(position=0, state="intent"))

    asyncio.run(note())

    assert Journal(folder, header=HEADER).entries[0].state == "intent"


def test_a_second_writer_is_noticed_where_the_server_can_tell(moto_s3, folder, s3):
    if s3 is not moto_s3:
        assert Segments(folder).header() is None  # rclone ignores the condition; nothing to notice
        return
    first = Journal(folder, header=HEADER)
    second = Journal(folder, header=HEADER)
    first._segments.append([line_of(Entry(position=0, state="intent"))])

    with pytest.raises(TransferError, match="Another run writes"):
        second._segments.append([line_of(Entry(position=1, state="intent"))])


def test_another_batch_is_refused_and_the_difference_named(folder):
    write(folder)

    with pytest.raises(InvalidRequest, match=r"of d/t/r: they differ at 1 \(counted from 0\)"):
        Journal(folder, header=HEADER.model_copy(update={"requests": ("a", "x", "c")}))


def test_a_foreign_or_damaged_journal_is_no_empty_one(folder):
    write(folder, Entry(position=0, state="done"))
    text = b'{"position": 0, "state": "paid twice"}\n'
    folder.put(
        "00000009.jsonl", text, content_type="application/json", sha256=hashlib.sha256(text).hexdigest()
    )

    with pytest.raises(InvalidRequest, match="cannot be read"):
        Journal(folder, header=HEADER)


def test_another_batch_is_refused_without_resume_too(folder):
    write(folder, Entry(position=0, state="done"))

    with pytest.raises(InvalidRequest, match="they differ at 2"):
        Journal(
            folder, header=HEADER.model_copy(update={"requests": ("a", "b", "x"), "life": 9}), resume=False
        )


@pytest.mark.parametrize(("life", "kept"), [(2, True), (5, False)])
def test_without_resume_only_a_retry_goes_on(folder, life, kept):
    write(folder, Entry(position=0, state="done"))

    journal = Journal(folder, header=HEADER.model_copy(update={"life": life}), resume=False)

    assert bool(journal.entries) is kept


def test_closing_leaves_one_object_that_says_the_same(folder):
    journal = write(
        folder, *(Entry(position=n, state="intent") for n in range(3)), Entry(position=1, state="done")
    )

    journal.close(complete=True)

    assert len(folder.names()) == 2
    again = Journal(folder, header=HEADER).entries
    assert [again[place].state for place in range(3)] == ["intent", "done", "intent"]


def test_a_line_is_plain_json_without_what_is_not_known():
    assert set(json.loads(line_of(Entry(position=3, state="intent")))) == {"position", "state", "at"}


def test_a_request_to_an_engine_that_names_no_model_is_read_back(folder):
    image = {"url": "https://img.test/a.png", "index": 0, "gateway": "openai-compatible", "model": None}
    image |= {"prompt": "a mug", "created_at": "2026-11-21T05:00:00Z"}
    generation = {"images": [image], "gateway": "openai-compatible", "model": None, "usage": {}}
    entry = Entry.model_validate({"position": 0, "state": "delivered", "generation": generation})
    write(folder, entry)
    assert write(folder).entries[0].generation.images[0].model is None
