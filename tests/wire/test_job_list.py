"""The list of jobs: what is read of it, when it is whole, and what a job's document tells of what was asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_qwenimage import catalog
from airflow_provider_qwenimage.exceptions import (
    GatewayUnreachable,
    OutcomeUnknown,
    PermanentRefusal,
    TemporaryRefusal,
    UnexpectedReply,
)
from airflow_provider_qwenimage.wire import flows
from airflow_provider_qwenimage.wire.job_list import JobFacts, list_jobs, look
from airflow_provider_qwenimage.wire.protocol import Reply
from wire.reading import NOW, conduct
from wire.test_flows import CALL, GOOD, REQUEST, Driven, generate

SINCE = datetime.fromtimestamp(NOW, UTC)
FIRST, SECOND = "jobs/200_listed_first_page.json", "jobs/200_listed_second_page.json"


def listed(*answers, since=SINCE, model="wan2.5-t2i-preview", **settings):
    return Driven(list_jobs(model=model, since=since, conduct=conduct(), **settings), answers)


def test_a_listed_job_has_model_time_state_and_the_request_that_submitted_it():
    driven = listed("jobs/200_listed.json")

    running, done = driven.value.jobs
    assert (done.id, done.model, done.at) == ("t-1", "wan2.5-t2i-preview", SINCE)
    assert (done.state, done.request_id, running.state) == ("SUCCEEDED", "submit-1", "RUNNING")
    assert driven.value.whole
    (call,) = driven.calls
    assert call.path == "/api/v1/tasks?page_no=1&page_size=100&model_name=wan2.5-t2i-preview"
    assert not call.billable


def test_nothing_listed_is_a_whole_list():
    driven = listed("jobs/200_listed_empty.json", model=None)
    assert driven.value == ((), True)
    assert "model_name" not in driven.calls[0].path


def test_pages_are_read_to_the_end():
    driven = listed(FIRST, SECOND)
    assert [job.id for job in driven.value.jobs] == ["t-4", "t-3", "t-2", "t-1"]
    assert driven.value.whole


def test_newest_first_the_pages_end_at_the_first_that_is_too_old():
    driven = listed(FIRST, since=SINCE + timedelta(seconds=90))
    assert [job.id for job in driven.value.jobs] == ["t-4", "t-3"]
    assert driven.value.whole


def test_oldest_first_an_old_job_says_nothing_of_those_after_it():
    driven = listed("jobs/200_listed_oldest_first.json", SECOND)
    assert len(driven.calls) == 2


def test_a_list_that_is_not_read_to_its_end_is_not_whole():
    assert not listed(FIRST, pages=1).value.whole


def test_a_row_that_cannot_be_placed_in_time_makes_a_list_that_is_not_whole():
    driven = listed("jobs/200_listed_without_time.json")
    assert [job.id for job in driven.value.jobs] == ["t-6"]
    assert not driven.value.whole


def test_the_reason_of_a_failed_job_is_no_refusal_of_the_list():
    assert [job.state for job in listed("jobs/200_listed_failed.json").value.jobs] == ["FAILED"]


def test_too_many_at_once_are_waited_for():
    throttled = "dashscope/429_rate_quota.json"
    assert len(listed(throttled, throttled, "jobs/200_listed.json").value.jobs) == 2
    assert isinstance(listed(throttled, throttled, throttled).error, TemporaryRefusal)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("dashscope/401_invalid_api_key.json", PermanentRefusal),
        ("jobs/200_pending.json", UnexpectedReply),
        ("proxies/502_bad_gateway.html", OutcomeUnknown),
        (GatewayUnreachable("no connection"), GatewayUnreachable),
    ],
    ids=str,
)
def test_what_is_no_list_is_an_error(answer, error):
    assert isinstance(listed(answer).error, error)


@pytest.mark.parametrize(
    ("answer", "facts"),
    [
        ("jobs/200_succeeded_naming_prompt.json", JobFacts("SUCCEEDED", True, frozenset({"a fox"}), 1)),
        ("jobs/200_succeeded_partly.json", JobFacts("SUCCEEDED", True, frozenset({"a fox"}), 2)),
        ("jobs/200_succeeded_choices.json", JobFacts("SUCCEEDED", True)),
        ("jobs/200_running.json", JobFacts("RUNNING", False)),
        ("jobs/200_failed_in_output.json", JobFacts("FAILED", True, frozenset(), 1)),
        ("jobs/200_unknown.json", JobFacts("UNKNOWN", True, shown=False)),
        ("dashscope/429_rate_quota.json", JobFacts("UNREADABLE", False, shown=False)),
        ("proxies/502_bad_gateway.html", JobFacts("UNREADABLE", False, shown=False)),
    ],
)
def test_a_jobs_document_tells_what_was_asked_or_nothing_of_it(answer, facts):
    driven = Driven(look("t-1/x"), [answer])
    assert driven.value == facts
    assert driven.calls[0].path == "/api/v1/tasks/t-1%2Fx"


def keyed(*answers, **settings):
    """A request under an idempotency key, and what it did."""
    flow = flows.generate(
        REQUEST,
        replace(CALL, keyed=True),
        gateway=catalog.gateway("tokenhot"),
        base_url="https://gw.example",
        conduct=conduct(**settings),
    )
    return Driven(flow, answers)


LOST = OutcomeUnknown("the answer was lost")


@pytest.mark.parametrize("lost", [LOST, "proxies/502_bad_gateway.html", "proxies/524_timeout.html"], ids=str)
def test_under_a_key_a_lost_answer_is_asked_for_again(lost):
    driven = keyed(lost, GOOD, attempts=1)
    assert (len(driven.calls), driven.pauses) == (2, [1.0])
    assert driven.value.images


def test_under_a_key_it_is_asked_for_a_few_times_and_is_unknown_then():
    driven = keyed(*[LOST] * 3)
    assert (len(driven.calls), driven.error.keyed) == (3, True)


@pytest.mark.parametrize(
    "last",
    [
        GatewayUnreachable("no connection"),
        "dashscope/429_rate_quota.json",
        "dashscope/401_invalid_api_key.json",
    ],
    ids=str,
)
def test_a_lost_answer_does_not_become_free_because_the_next_question_was_turned_away(last):
    driven = keyed(LOST, last, attempts=1)
    assert isinstance(driven.error, OutcomeUnknown)
    assert driven.error.may_be_billed


def test_a_refusal_of_the_request_itself_is_the_answer_to_its_key():
    assert isinstance(keyed(LOST, "dashscope/400_data_inspection.json").error, PermanentRefusal)


def test_a_conflict_under_a_key_is_waited_for():
    busy = Reply(409, {"content-type": "application/json"}, b'{"error": {"message": "in progress"}}')
    assert keyed(busy, GOOD).value.images
    assert isinstance(generate(busy).error, PermanentRefusal | OutcomeUnknown)
