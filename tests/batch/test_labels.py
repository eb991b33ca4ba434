"""Rows carry names of their own to everything that tells of their images; another name buys nothing."""

from __future__ import annotations

import json

import pytest

from batch.conftest import prompts
from harness import InMemoryAirflow


def rows(*skus):
    return [{"prompt": f"product {number}", "labels": {"sku": sku}} for number, sku in enumerate(skus)]


def told(shelf):
    return [(image["uri"].rpartition("/")[2], image["labels"]) for image in shelf.manifest()["images"]]


def header(shelf, name):
    answer = shelf.client.head_object(Bucket=shelf.bucket, Key=shelf.key + name)
    return json.loads({key.lower(): value for key, value in answer["Metadata"].items()}.get("labels", "{}"))


def test_labels_of_rows_reach_manifest_journal_object_and_failures(gateway, batch, shelf):
    requests = [*rows("A-1", "B/2"), {"prompt": "bad [fault:moderation]", "labels": {"sku": "C-3"}}]
    attempt = InMemoryAirflow().run_to_end(batch(requests, labels={"season": "spring"}, on_error="continue"))

    assert attempt.state == "success"
    assert told(shelf) == [
        ("00000.png", {"season": "spring", "sku": "A-1"}),
        ("00001.png", {"season": "spring", "sku": "B/2"}),
    ]
    assert header(shelf, "00001.png") == {"season": "spring", "sku": "B/2"}
    assert [line["images"][0]["labels"]["sku"] for line in shelf.journal() if line["state"] == "done"] == [
        "A-1",
        "B/2",
    ]
    (failure,) = attempt.xcoms["failures"]
    assert (
        failure["labels"] == shelf.manifest()["failures"][0]["labels"] == {"season": "spring", "sku": "C-3"}
    )


def test_other_labels_on_a_new_run_buy_nothing_and_replace_the_old(gateway, batch, shelf):
    InMemoryAirflow().run_to_end(batch(rows("A", "B", "C")))
    attempt = InMemoryAirflow(run_id="again").run_to_end(batch(rows("A", "new", "C")))

    assert (attempt.state, gateway.state.posts) == ("success", 3)
    assert [labels for _, labels in told(shelf)] == [{"sku": "A"}, {"sku": "new"}, {"sku": "C"}]
    assert header(shelf, "00001.png") == {"sku": "new"}

    InMemoryAirflow(run_id="once more").run_to_end(batch(prompts(3)))

    assert gateway.state.posts == 3
    assert [labels for _, labels in told(shelf)] == [{}, {}, {}]
    assert header(shelf, "00001.png") == {}


def test_images_are_named_by_their_labels(gateway, batch, shelf):
    attempt = InMemoryAirflow().run_to_end(batch(rows("A/1", "红色"), filename="{labels[sku]}/{index}.{ext}"))

    assert attempt.result == [
        f"s3://{shelf.bucket}/{shelf.key}{name}" for name in ("A-1/0.png", "红色/1.png")
    ]
    again = InMemoryAirflow(run_id="again").run_to_end(
        batch(rows("A/1", "红色"), filename="{labels[sku]}/{index}.{ext}")
    )
    assert (again.result, gateway.state.posts) == (attempt.result, 2)


def test_another_label_in_a_name_is_another_object_with_the_same_bytes(gateway, batch, shelf):
    first = InMemoryAirflow().run_to_end(batch(rows("A"), filename="{labels[sku]}.{ext}"))
    second = InMemoryAirflow(run_id="again").run_to_end(batch(rows("B"), filename="{labels[sku]}.{ext}"))

    assert gateway.state.posts == 1
    assert [uri.rpartition("/")[2] for uri in (*first.result, *second.result)] == ["A.png", "B.png"]
    assert shelf.read("A.png") == shelf.read("B.png")
    assert told(shelf) == [("B.png", {"sku": "B"})]


@pytest.mark.parametrize(
    ("filename", "said"),
    [
        (
            "{labels[sku]}.{ext}",
            "requests[2], filename: gives requests[0] and this row the name A-1.png; add {index} to it",
        ),
        ("x.{ext}", "requests[1], filename: gives requests[0] and this row the name x.png"),
        (
            "{sha8}.{ext}",
            "filename: holds {sha8}; known before a request are index, ext, map_index and labels[…]",
        ),
        ("{labels[long]}", "requests[3], filename: makes a name longer than an object's may be"),
    ],
)
def test_two_rows_of_one_name_are_named_before_the_first_request(gateway, batch, shelf, filename, said):
    requests = [*rows("A/1", "B", "A-1"), {"prompt": "x", "labels": {"sku": "D", "long": "x" * 3000}}]
    attempt = InMemoryAirflow().run_to_end(batch(requests, filename=filename))

    assert said in str(attempt.error)
    assert gateway.state.posts == 0
    assert shelf.names() == []


def test_two_images_of_one_row_need_an_index(gateway, batch):
    attempt = InMemoryAirflow().run_to_end(
        batch([{"prompt": "x", "n": 2}], model="qwen-image-2.0", filename="x.{ext}")
    )

    assert "requests[0], filename: gives two images of this row the name x.png" in str(attempt.error)


def test_an_image_of_somebody_else_under_such_a_name_is_not_replaced(gateway, batch, shelf):
    shelf.put("A.png", b"theirs")
    attempt = InMemoryAirflow().run_to_end(batch(rows("A"), filename="{labels[sku]}.{ext}"))

    assert "is not an image of this provider" in str(attempt.error)
    assert (gateway.state.posts, shelf.read("A.png")) == (0, b"theirs")
