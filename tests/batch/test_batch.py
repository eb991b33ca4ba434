"""Many requests in one task: each is paid once, kept as it arrives, and told in order."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_qwenimage.exceptions import InvalidRequest, OutcomeUnknown, TransferIncomplete
from batch.conftest import prompts
from harness import InMemoryAirflow


def test_a_batch_stores_every_image_in_the_order_of_its_requests(gateway, batch, shelf):
    attempt = InMemoryAirflow().run_to_end(batch(prompts(5)))

    assert attempt.error is None
    assert attempt.result == [f"s3://{shelf.bucket}/{shelf.key}0000{n}.png" for n in range(5)]
    told = [(image["index"], image["request"], image["prompt"]) for image in shelf.manifest()["images"]]
    assert told == [(n, n, f"product {n}") for n in range(5)]
    assert attempt.xcoms["manifest"] == {"uri": f"s3://{shelf.bucket}/{shelf.key}manifest.json"}
    assert gateway.state.posts == gateway.state.billed == 5


def test_generate_edit_and_sequence_requests_mix(gateway, batch, shelf):
    image = "https://assets.example/mug.png"
    rows = [
        {"prompt": "a mug", "n": 2, "model": "qwen-image-2.0"},
        {"prompt": "the mug on a table", "images": [image], "model": "qwen-image-edit-plus"},
        {"operation": "sequence", "prompt": "the mug's day", "model": "wan2.7-image", "n": 3},
    ]
    gateway.state.settings.models = ("wan2.7-image",)

    attempt = InMemoryAirflow().run_to_end(batch(rows, gateway="tokenhub"))

    assert attempt.error is None
    requests = [image["request"] for image in shelf.manifest()["images"]]
    assert requests == [0, 0, 1, 2, 2, 2]
    assert attempt.xcoms["usage"]["image_count"] == 6


def test_jobs_are_submitted_and_awaited_in_the_same_task(gateway, batch):
    gateway.state.settings.job_seconds = 0.2
    task = batch(prompts(4), gateway="dashscope", model="wan2.5-t2i-preview", size=None, poll_interval=0.05)
    task.requests = [{"prompt": f"product {n}"} for n in range(4)]

    attempt = InMemoryAirflow().run_to_end(task)

    assert attempt.error is None
    assert len(attempt.result) == 4
    assert gateway.state.posts == 4


def test_jobs_are_asked_for_within_the_poll_budget_of_their_account(gateway, batch):
    # As DashScope answers: what is beyond 20 polls a second is refused.
    gateway.state.settings.change({"job_seconds": 0, "poll_limit": 20})
    task = batch(prompts(45), gateway="dashscope", model="wan2.5-t2i-preview", size=None, max_concurrency=45)

    assert InMemoryAirflow().run_to_end(task).state == "success"
    assert (gateway.state.posts, gateway.state.polls) == (45, 45)
    assert gateway.state.max_polls_per_second <= 20


def test_images_inside_the_reply_are_stored(gateway, batch, shelf):
    attempt = InMemoryAirflow().run_to_end(
        batch(prompts(2), gateway="openai-compatible", model="Qwen/Qwen-Image")
    )

    assert attempt.error is None
    assert shelf.images() == ["00000.png", "00001.png"]


def test_duplicates_are_generated_once_each_and_named_apart(gateway, batch, shelf):
    attempt = InMemoryAirflow().run_to_end(batch(["a red fox"] * 3))

    assert gateway.state.posts == 3
    assert len(set(attempt.result)) == 3
    assert shelf.images() == ["00000.png", "00001.png", "00002.png"]


def test_a_new_run_with_the_same_prefix_pays_nothing(gateway, batch, shelf):
    first = InMemoryAirflow(run_id="monday").run_to_end(batch(prompts(3)))

    second = InMemoryAirflow(run_id="tuesday").run_to_end(batch(prompts(3)))

    assert second.result == first.result
    assert gateway.state.posts == 3
    assert len(shelf.manifest()["images"]) == 3


def test_a_clear_pays_nothing_unless_told_so(gateway, batch):
    airflow, task = InMemoryAirflow(), batch(prompts(3))
    airflow.run(task)
    airflow.clear(task)
    assert airflow.run(task).state == "success"
    assert gateway.state.posts == 3

    task.resume = False
    airflow.clear(task)
    assert airflow.run(task).state == "success"
    assert gateway.state.posts == 6


def test_without_resume_a_retry_still_pays_only_for_what_is_missing(gateway, batch):
    gateway.fault("500_internal_error", times=1, match="product 2")
    airflow, task = InMemoryAirflow(), batch(prompts(3), resume=False, max_concurrency=1)

    attempt = airflow.run_to_end(task)

    assert (attempt.state, attempt.try_number) == ("success", 2)
    assert gateway.state.billed == 3


def test_moderation_of_one_item_never_stops_the_others(gateway, batch, shelf):
    gateway.fault("moderation", times=9, match="product 1")

    attempt = InMemoryAirflow().run_to_end(batch(prompts(5), on_error="continue"))

    assert attempt.state == "success"
    assert [failure["request"] for failure in attempt.xcoms["failures"]] == [1]
    assert attempt.xcoms["failures"][0]["outcome"] == "refused"
    assert shelf.images() == ["00000.png", "00002.png", "00003.png", "00004.png"]
    assert [failure["index"] for failure in shelf.manifest()["failures"]] == [1]


@pytest.mark.parametrize("fault", ["moderation", "400_internal", "500_invalid_request"])
def test_refusals_of_single_rows_never_end_a_batch(gateway, batch, fault):
    gateway.fault(fault, times=99, match="bad")
    rows = [*[{"prompt": f"bad {number}"} for number in range(30)], *prompts(5)]

    attempt = InMemoryAirflow().run_to_end(batch(rows, on_error="continue", max_concurrency=2))

    assert attempt.state == "success"
    assert (len(attempt.result), gateway.state.billed) == (5, 5)


@pytest.mark.parametrize("fault", ["401", "arrearage", "503_model_not_found"])
def test_refusals_of_key_money_or_model_end_it(gateway, batch, fault):
    gateway.fault(fault, times=99)

    attempt = InMemoryAirflow().run_to_end(batch(prompts(40), on_error="continue", max_concurrency=1))

    assert attempt.state == "failed"
    assert gateway.state.posts == 10


def test_under_fail_nothing_more_begins_after_a_failure(gateway, batch, shelf):
    gateway.fault("moderation", times=9, match="product 1")

    attempt = InMemoryAirflow().run_to_end(batch(prompts(30), max_concurrency=1))

    assert (attempt.state, attempt.try_number) == ("failed", 1)
    assert isinstance(attempt.error, TransferIncomplete)
    assert "requests[1]" in str(attempt.error)
    assert gateway.state.posts < 30
    assert attempt.xcoms["failures"][0]["request"] == 1
    assert "manifest.json" not in shelf.names()


def test_an_unknown_outcome_is_listed_and_never_sent_again(gateway, batch):
    gateway.fault("504", times=1, match="product 2")
    airflow, task = InMemoryAirflow(), batch(prompts(4), max_concurrency=1)

    attempt = airflow.run_to_end(task)

    assert attempt.state == "failed"
    assert isinstance(attempt.error, OutcomeUnknown)
    assert "requests[2]" in str(attempt.error)
    assert "may have been billed" in str(attempt.error)
    assert gateway.state.posts == 4
    assert attempt.xcoms["failures"][0]["outcome"] == "unknown"
    airflow.clear(task)
    assert isinstance(airflow.run(task).error, OutcomeUnknown)
    assert gateway.state.posts == 4


def test_told_to_resubmit_an_unknown_outcome_is_sent_again(gateway, batch):
    gateway.fault("504", times=1, match="product 2")

    attempt = InMemoryAirflow().run_to_end(batch(prompts(4), on_unknown_outcome="resubmit"))

    assert (attempt.state, attempt.try_number) == ("success", 1)
    assert gateway.state.posts == 5


def test_a_new_run_may_resubmit_only_what_is_unknown(gateway, batch):
    gateway.fault("504", times=1, match="product 2")
    InMemoryAirflow().run_to_end(batch(prompts(4), on_error="continue"))

    attempt = InMemoryAirflow().run_to_end(batch(prompts(4), on_unknown_outcome="resubmit"))

    assert attempt.state == "success"
    assert len(attempt.result) == 4
    assert gateway.state.posts == 5


def test_a_refused_key_ends_the_batch_after_a_few_requests(gateway, batch):
    gateway.fault("401", times=99)

    attempt = InMemoryAirflow().run_to_end(batch(prompts(60), on_error="continue", max_concurrency=2))

    assert (attempt.state, attempt.try_number) == ("failed", 1)
    assert 10 <= gateway.state.posts <= 12
    assert "were not sent" in str(attempt.error)


def test_max_images_is_checked_before_the_first_request(gateway, batch, shelf):
    attempt = InMemoryAirflow().run_to_end(batch(prompts(3), n=4, model="qwen-image-2.0", max_images=11))

    assert isinstance(attempt.error, InvalidRequest)
    assert "ask for 12 images" in str(attempt.error)
    assert gateway.state.posts == 0
    assert shelf.names() == []


def test_the_estimate_is_logged_before_the_first_request(gateway, batch, caplog):
    caplog.set_level(logging.INFO)
    extra = {"price_per_image": {"qwen-image-2.0": 0.2, "currency": "CNY"}}

    attempt = InMemoryAirflow().run_to_end(batch(prompts(3), n=2, model="qwen-image-2.0", extra=extra))

    assert "3 requests for 6 images, about 1.20 CNY in all" in caplog.text
    assert (attempt.xcoms["usage"]["cost"], attempt.xcoms["usage"]["currency"]) == (1.2, "CNY")


def test_what_a_failed_batch_paid_is_told_stored_or_not(gateway, batch, caplog):
    caplog.set_level(logging.INFO)
    extra = {"price_per_image": {"qwen-image-2.0": 0.2, "currency": "CNY"}}
    gateway.fault("file_404", match="product 1", times=99)
    gateway.fault("moderation", match="product 2")

    attempt = InMemoryAirflow().run(batch(prompts(3), model="qwen-image-2.0", extra=extra, retries=0))

    assert attempt.state == "failed"
    assert gateway.state.billed == 2
    usage = attempt.xcoms["usage"]
    assert (usage["image_count"], usage["cost"], usage["currency"]) == (2, 0.4, "CNY")
    assert "0.40 CNY spent" in caplog.text


def test_another_batchs_journal_is_refused_with_the_difference(gateway, batch):
    InMemoryAirflow().run_to_end(batch(prompts(3)))
    changed = prompts(4)
    changed[1]["prompt"] = "something else"

    attempt = InMemoryAirflow().run_to_end(batch(changed))

    assert isinstance(attempt.error, InvalidRequest)
    assert "it has 3 requests and this batch 4; they differ at 1" in str(attempt.error)
    assert gateway.state.posts == 3


def test_an_image_that_cannot_be_stored_is_not_bought_again(gateway, batch):
    gateway.fault("404", times=1, on="file", match="product 1")

    attempt = InMemoryAirflow().run_to_end(batch(prompts(3)))

    assert (attempt.state, attempt.try_number) == ("success", 2)
    assert len(attempt.result) == 3
    assert gateway.state.posts == 3


def test_the_journal_keeps_no_signed_url_once_the_batch_is_done(gateway, batch, shelf):
    InMemoryAirflow().run_to_end(batch(prompts(2)))

    journal = shelf.journal()
    assert [entry["state"] for entry in journal] == ["done", "done"]
    assert "Signature" not in str(journal)


def test_the_task_state_tells_the_counts(gateway, batch):
    airflow, task = InMemoryAirflow(), batch(prompts(2))
    airflow.run(task)

    counts = airflow.stored(task)["qwenimage_batch"]
    assert (counts["requests"], counts["done"], counts["failed"], counts["in_flight"]) == (2, 2, 0, 0)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_throttled_batch_slows_down_and_finishes(gateway, batch, concurrency):
    gateway.fault("429_retry_after", times=3, seconds=0)

    attempt = InMemoryAirflow().run_to_end(batch(prompts(6), max_concurrency=concurrency))

    assert (attempt.state, attempt.try_number) == ("success", 1)
    assert gateway.state.billed == 6


def test_sizes_that_are_not_followed_are_told_once_for_the_whole_batch(gateway, batch, shelf, caplog):
    image = "https://assets.example/mug.png"
    rows = [{"prompt": f"mug {n}", "images": [image], "size": "2048*2048"} for n in range(3)]
    rows.append({"prompt": "a mug", "size": "512*512"})

    attempt = InMemoryAirflow().run_to_end(batch(rows, model="qwen-image-2.0"))

    assert attempt.error is None
    told = [(image["size"], image["asked_size"]) for image in shelf.manifest()["images"]]
    assert told == [("1024*1024", "2048*2048")] * 3 + [("512*512", "512*512")]
    (warning,) = [line for line in caplog.messages if "another size than asked for" in line]
    assert warning.startswith("3 of 4 images came in another size")
