"""A bucket is shared: what others put where a batch would work is never deleted and never replaced."""

from __future__ import annotations

import json

import pytest

from airflow_provider_qwenimage.exceptions import InvalidRequest
from harness.airflow import InMemoryAirflow

PROMPTS = ["a teapot", "a kettle"]


def refused(gateway, batch, shelf, *named, **options):
    """Run a batch that must be refused unpaid, and leave everything as it was."""
    before = {name: shelf.read(name) for name in shelf.names()}
    attempt = InMemoryAirflow().run_to_end(batch(PROMPTS, **options))
    assert isinstance(attempt.error, InvalidRequest)
    for text in ("persist_to", *named):
        assert text in str(attempt.error)
    assert gateway.state.posts == 0
    assert {name: shelf.read(name) for name in shelf.names()} == before


@pytest.mark.parametrize("name", ["journal/2026-11-20.txt", "journal/readme.md", "journal/00000001.csv"])
def test_a_folder_journal_of_somebody_else_is_refused(gateway, batch, shelf, name):
    shelf.put(name, b"somebody's notes")
    refused(gateway, batch, shelf, name)


def test_segments_without_their_header_are_nobody_s_to_delete(gateway, batch, shelf):
    shelf.put("journal/00000001.jsonl", b'{"position":0,"state":"delivered"}\n')
    refused(gateway, batch, shelf, "00000001.jsonl", "batch.json")


def test_an_image_at_our_names_that_we_did_not_write_is_refused(gateway, batch, shelf):
    shelf.put("00001.png", b"somebody's picture")
    refused(gateway, batch, shelf, "00001.png")


@pytest.mark.parametrize("text", [b'{"app": "shop"}', b"no json", b'{"version": 1}'])
def test_a_manifest_that_we_did_not_write_is_refused(gateway, batch, shelf, text):
    shelf.put("manifest.json", text)
    refused(gateway, batch, shelf, "manifest.json")


def test_resume_false_deletes_only_what_is_the_journal_s_own(gateway, batch, shelf):
    assert InMemoryAirflow().run_to_end(batch(PROMPTS)).state == "success"
    shelf.put("journal/notes.txt", b"somebody's notes")
    before = gateway.state.posts
    attempt = InMemoryAirflow(run_id="another").run_to_end(batch(PROMPTS, resume=False))
    assert isinstance(attempt.error, InvalidRequest)
    assert gateway.state.posts == before
    assert "journal/notes.txt" in shelf.names()


def test_neighbours_that_are_in_nobody_s_way_stay(gateway, batch, shelf, request):
    others = {
        "journal/2025/old.txt": b"deeper",
        "logo.png": b"a picture of another name",
        "000010.csv": b"no image",
        "00099.png": b"a picture of no place in this batch",
    }
    if request.node.callspec.params["s3"] == "moto_s3":  # plain files have no object of a folder's name
        others["journal/"] = b""  # how consoles make a folder
    for name, body in others.items():
        shelf.put(name, body)
    assert InMemoryAirflow().run_to_end(batch(PROMPTS)).state == "success"
    assert {name: shelf.read(name) for name in others} == others
    assert json.loads(shelf.read("manifest.json"))["version"] == 1


def test_a_batch_goes_on_among_its_own_objects(gateway, batch, shelf):
    assert InMemoryAirflow().run_to_end(batch(PROMPTS)).state == "success"
    assert InMemoryAirflow(run_id="next").run_to_end(batch(PROMPTS)).state == "success"
    assert gateway.state.posts == len(PROMPTS)
    assert InMemoryAirflow(run_id="anew").run_to_end(batch(PROMPTS, resume=False)).state == "success"
    assert gateway.state.posts == 2 * len(PROMPTS)


def gone(shelf, name):
    shelf.client.delete_object(Bucket=shelf.bucket, Key=shelf.key + name)


def test_an_image_that_is_gone_is_fetched_again_while_its_link_lives(gateway, batch, shelf):
    gateway.fault("moderation", times=1, match="a kettle")
    assert InMemoryAirflow().run_to_end(batch(PROMPTS, max_concurrency=1)).state == "failed"
    gone(shelf, "00000.png")
    attempt = InMemoryAirflow(run_id="next").run_to_end(batch(PROMPTS))
    assert attempt.state == "success"
    assert shelf.images() == ["00000.png", "00001.png"]
    assert [image["index"] for image in shelf.manifest()["images"]] == [0, 1]
    assert gateway.state.posts == len(PROMPTS) + 1  # the refused one is asked for again, the other is not


def test_an_image_that_is_gone_for_good_is_named_and_not_bought_again(gateway, batch, shelf):
    assert InMemoryAirflow().run_to_end(batch(PROMPTS)).state == "success"
    gone(shelf, "00001.png")
    attempt = InMemoryAirflow(run_id="next").run_to_end(batch(PROMPTS, on_error="continue"))
    assert attempt.state == "success"
    assert attempt.result == [f"s3://{shelf.bucket}/{shelf.key}00000.png"]
    assert [image["index"] for image in shelf.manifest()["images"]] == [0]
    assert [failure["index"] for failure in shelf.manifest()["failures"]] == [1]
    assert "gone from the bucket" in attempt.xcoms["failures"][0]["reason"]
    assert gateway.state.posts == len(PROMPTS)
