"""The record tells a retry from a clear, the same request from another, and nothing paid from something paid."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_qwenimage.exceptions import OutcomeUnknown, QwenImageError
from airflow_provider_qwenimage.models.requests import Asked, GenerateRequest
from airflow_provider_qwenimage.models.results import GeneratedImage, Generation, Job
from airflow_provider_qwenimage.payment.ledger import KEY, Ledger

NOW = datetime(2026, 11, 21, 5, tzinfo=UTC)
ASKED = Asked(operation="generate", model="wan2.6-t2i", prompt="a teapot")
JOB = Job(id="job-1", gateway="dashscope", asked=ASKED, submitted_at=NOW)


class Shelf(dict):
    """A task state store: strict JSON in, the same out."""

    def set(self, key, value):
        self[key] = value

    def delete(self, key):
        self.pop(key, None)


def ledger(store, *, life=2, **request):
    return Ledger(store, life=life, request=GenerateRequest(**{"prompt": "a teapot", **request}))


def generation(**fields):
    image = GeneratedImage(
        url="https://x.test/a.png",
        index=0,
        gateway="dashscope",
        model="m",
        prompt="p",
        created_at=NOW,
        **fields,
    )
    return Generation(images=(image,), gateway="dashscope", model="m")


def test_nothing_on_record_means_nothing_was_paid():
    assert ledger(Shelf()).entry() is None


def test_each_phase_is_found_by_the_next_try():
    store = Shelf()
    ledger(store).intend()
    assert ledger(store).entry().phase == "intent"
    ledger(store).keep(JOB)
    assert ledger(store).entry().job == JOB
    ledger(store).keep(generation())
    assert ledger(store).entry().generation == generation()


def test_a_clear_starts_a_new_life():
    store = Shelf()
    ledger(store, life=2).keep(generation())
    assert ledger(store, life=3).entry() is None


@pytest.mark.parametrize(
    "change",
    [{"prompt": "a kettle"}, {"seed": 0}, {"model": "wan2.7-image"}, {"parameters": {"watermark": True}}],
)
def test_another_request_starts_anew(change):
    store = Shelf()
    ledger(store).keep(generation())
    assert ledger(store, **change).entry() is None


@pytest.mark.parametrize("value", ["text", {"version": 2}, {"phase": "done"}, [1]])
def test_an_unreadable_record_is_an_error_and_never_retried(value):
    store = Shelf({KEY: value})
    with pytest.raises(OutcomeUnknown, match="cannot be read") as caught:
        ledger(store).entry()
    assert caught.value.final
    assert caught.value.may_be_billed


def test_images_that_came_as_bytes_stay_an_intent_until_they_are_stored():
    store = Shelf()
    ledger(store).intend()
    ledger(store).keep(generation(data=b"png"))
    assert ledger(store).entry().phase == "intent"


def test_what_was_not_billed_is_forgotten():
    store = Shelf()
    ledger(store).intend()
    ledger(store).forget()
    assert ledger(store).entry() is None


def test_no_image_bytes_and_only_json_go_into_the_record():
    import json

    store = Shelf()
    ledger(store).keep(generation())
    assert "data" not in json.dumps(store[KEY])


def test_a_record_that_cannot_be_written_after_payment_does_not_lose_the_images(caplog):
    class Broken(Shelf):
        def set(self, key, value):
            raise ConnectionError("the API server is away")

    ledger(Broken()).keep(generation())
    assert "could not be written" in caplog.text


def test_a_record_that_cannot_be_written_before_the_request_stops_it():
    class Broken(Shelf):
        def set(self, key, value):
            raise ConnectionError("the API server is away")

    with pytest.raises(ConnectionError):
        ledger(Broken()).intend()


class Away(Exception):
    """Something nobody foresaw."""


@pytest.mark.parametrize("state", ["intent", "submitted", "delivered"])
def test_without_a_record_whatever_is_raised_after_the_request_ends_the_task(state):
    with (
        pytest.raises(QwenImageError, match="Away") as caught,
        ledger(None).settling(state, on_unknown_outcome="fail"),
    ):
        raise Away("sk-secret-key-1234")
    assert caught.value.final
    assert caught.value.may_be_billed
    assert "sk-secret" not in str(caught.value)


def test_with_a_record_an_unforeseen_error_before_it_is_an_unknown_outcome():
    store = Shelf()
    ledger(store).intend()
    with (
        pytest.raises(OutcomeUnknown) as caught,
        ledger(store).settling("intent", on_unknown_outcome="fail"),
    ):
        raise RecursionError
    assert caught.value.final
    assert ledger(store).entry().phase == "intent"


@pytest.mark.parametrize("state", ["submitted", "delivered"])
def test_with_a_record_an_unforeseen_error_after_it_leaves_the_retry_to_airflow(state):
    with pytest.raises(Away), ledger(Shelf()).settling(state, on_unknown_outcome="fail"):
        raise Away


def test_told_to_resubmit_an_unforeseen_error_is_forgotten_and_retried():
    store = Shelf()
    ledger(store).intend()
    with (
        pytest.raises(OutcomeUnknown) as caught,
        ledger(store).settling("intent", on_unknown_outcome="resubmit"),
    ):
        raise RecursionError
    assert not caught.value.final
    assert ledger(store).entry() is None
