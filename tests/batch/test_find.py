"""Rows of unknown outcome: the gateway is asked once for all of them, or each again by its own key."""

from __future__ import annotations

import json

import pytest

from airflow_provider_qwenimage.exceptions import InvalidRequest, OutcomeUnknown
from airflow_provider_qwenimage.payment import claims
from batch.conftest import prompts
from harness import InMemoryAirflow

WITH_PROMPT, WITHOUT = "wan2.5-t2i-preview", "wan2.6-t2i"
LOST = {"gateway": "dashscope", "on_error": "continue", "poll_interval": 0.05, "max_concurrency": 4}


@pytest.fixture(autouse=True)
def _quick_jobs(gateway):
    gateway.state.settings.job_seconds = 0.05
    claims.RecordClaims._adopted.clear()


def asked_for_jobs(gateway):
    return [seen for seen in gateway.state.requests if seen.kind == "check"]


def test_the_next_try_finds_all_rows_whose_answers_were_lost(gateway, batch, shelf):
    gateway.fault("504", times=3)
    airflow = InMemoryAirflow()
    # Each try meets one of the faults at least, however many requests are under way when it does.
    given = {**LOST, "on_error": "fail", "retries": 3}
    task = batch(prompts(6), model=WITH_PROMPT, on_unknown_outcome="find", **given)

    attempt = airflow.run_to_end(task)

    assert attempt.error is None
    assert (attempt.state, gateway.state.posts) == ("success", 6)
    images = shelf.manifest()["images"]
    assert [image["prompt"] for image in images] == [f"product {number}" for number in range(6)]
    adopted = [image for image in images if "adopted_job" in image]
    assert len(adopted) == 3
    made = {
        job.id: job.reply["output"]["results"][0]["orig_prompt"]
        for job in gateway.state.jobs.list("dashscope")
    }
    assert all(made[image["adopted_job"]] == image["prompt"] for image in adopted)


def test_it_asks_once_for_all_of_them(gateway, batch):
    gateway.fault("504", times=3)
    airflow = InMemoryAirflow()
    task = batch(prompts(3), model=WITH_PROMPT, on_unknown_outcome="find", **LOST)
    airflow.run(task)
    gateway.state._requests.clear()

    assert airflow.run(task).state == "success"

    assert len(asked_for_jobs(gateway)) == 1


def test_two_rows_and_two_jobs_without_prompts_stay_unknown(gateway, batch):
    gateway.fault("504", times=2)
    task = batch(prompts(2), model=WITHOUT, on_unknown_outcome="find", **LOST)

    attempt = InMemoryAirflow().run_to_end(task)

    assert (attempt.state, gateway.state.posts) == ("failed", 2)
    assert "lists 2 jobs that may be it" in str(attempt.error)


def test_two_rows_of_one_prompt_and_their_jobs_stay_unknown(gateway, batch):
    gateway.fault("504", times=2)
    task = batch(["a mug", "a mug"], model=WITH_PROMPT, on_unknown_outcome="find", **LOST)

    attempt = InMemoryAirflow().run_to_end(task)

    assert (attempt.state, gateway.state.posts) == ("failed", 2)


def test_a_job_of_a_row_that_is_done_is_no_candidate(gateway, batch):
    gateway.fault("504", match="product 1")
    task = batch([*prompts(2), "product 0"], model=WITH_PROMPT, on_unknown_outcome="find", **LOST)

    attempt = InMemoryAirflow().run_to_end(task)

    assert (attempt.state, gateway.state.posts) == ("success", 3)


def test_with_fail_the_error_names_the_jobs_that_no_row_owns(gateway, batch):
    gateway.fault("504", match="product 1")
    task = batch(prompts(3), model=WITH_PROMPT, **{**LOST, "retries": 0})

    attempt = InMemoryAirflow().run_to_end(task)

    assert attempt.state == "success"  # on_error="continue" lets it pass
    task = batch(prompts(3), model=WITH_PROMPT, **{**LOST, "on_error": "fail", "retries": 0})
    attempt = InMemoryAirflow().run_to_end(task)
    (lost,) = (job for job in gateway.state.jobs.list("dashscope") if "product 1" in json.dumps(job.reply))
    assert isinstance(attempt.error, OutcomeUnknown)
    assert f"one job that may be it, or another's: {lost.id}" in str(attempt.error)
    assert gateway.state.posts == 3


def test_find_is_refused_for_a_row_that_nobody_can_be_asked_about(gateway, batch):
    rows = [{"prompt": "a"}, {"prompt": "b", "model": "qwen-image-max"}]
    task = batch(rows, model=WITH_PROMPT, on_unknown_outcome="find", **LOST)

    attempt = InMemoryAirflow().run_to_end(task)

    assert isinstance(attempt.error, InvalidRequest)
    assert gateway.state.posts == 0
    assert "idempotency_header" in str(attempt.error)
    assert "requests[1]" in str(attempt.error) or "row 2" in str(attempt.error).lower()


def test_where_all_requests_are_known_the_one_row_that_was_lost_is_found_without_a_prompt(
    gateway, batch, shelf, in_redis
):
    first = batch(["a seed"], model=WITHOUT, **LOST)
    assert InMemoryAirflow().run_to_end(first).state == "success"
    for name in shelf.names():
        shelf.client.delete_object(Bucket=shelf.bucket, Key=shelf.key + name)
    in_redis.whole_for(7200)
    gateway.fault("504", match="product 2")
    given = {**LOST, "on_error": "fail", "retries": 2}

    attempt = InMemoryAirflow().run_to_end(
        batch(prompts(4), model=WITHOUT, on_unknown_outcome="find", **given)
    )

    assert attempt.error is None
    assert (attempt.state, gateway.state.posts) == ("success", 5)
    images = shelf.manifest()["images"]
    (adopted,) = (image for image in images if "adopted_job" in image)
    assert adopted["prompt"] == "product 2"
    assert len({image["adopted_job"] if "adopted_job" in image else image["uri"] for image in images}) == 4
    (told,) = in_redis.client().scan_iter("*:told")
    assert list(in_redis.client().hgetall(told)) == [b"mark"]  # every request is accounted for


def keys_of(gateway):
    return [seen.headers.get("idempotency-key") for seen in gateway.state.requests if seen.kind == "generate"]


@pytest.fixture
def keyed(gateway, batch):
    gateway.state.settings.idempotency_header = "Idempotency-Key"
    return lambda **given: batch(prompts(3), extra={"idempotency_header": "Idempotency-Key"}, **given)


def test_a_row_with_a_key_is_asked_for_again_by_the_same_call(gateway, keyed, shelf):
    gateway.fault("504", times=2)

    assert InMemoryAirflow().run_to_end(keyed()).state == "success"

    assert (gateway.state.posts, gateway.state.billed, len(shelf.images())) == (5, 3, 3)
    assert len(set(keys_of(gateway))) == 3


def test_a_retry_asks_again_with_the_key_of_the_row(gateway, keyed, shelf):
    gateway.fault("504", match="product 1", times=4)

    attempt = InMemoryAirflow().run_to_end(keyed(on_error="continue", retries=2))

    assert attempt.state == "success"
    if attempt.try_number == 1:  # on_error="continue" let it pass: the next run asks again
        assert InMemoryAirflow().run_to_end(keyed()).state == "success"
    assert (gateway.state.billed, len(shelf.images())) == (3, 3)
    assert len(set(keys_of(gateway))) == 3


def test_a_row_that_is_asked_for_again_and_refused_stays_unknown(gateway, keyed, shelf):
    gateway.fault("504", match="product 1", times=3)
    gateway.fault("401", match="product 1", times=1)
    airflow = InMemoryAirflow()

    airflow.run(keyed())
    airflow.run(keyed())

    last = {entry["position"]: entry for entry in shelf.journal()}[1]
    assert last["state"] == "unknown"
    assert last["key"].startswith("Idempotency-Key=")
    assert InMemoryAirflow().run_to_end(keyed()).state == "success"
    assert gateway.state.billed == 3


def test_another_run_asks_with_the_key_a_row_was_sent_with(gateway, keyed):
    gateway.fault("504", match="product 1", times=3)
    airflow = InMemoryAirflow()
    task = keyed(retries=0)
    airflow.run(task)
    airflow.clear(task)

    assert airflow.run(task).state == "success"
    assert gateway.state.billed == 3
    assert len(set(keys_of(gateway))) == 3
