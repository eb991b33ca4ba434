"""Which errors Airflow retries, when, and what a person reads about it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction

from airflow_provider_qwenimage.exceptions import (
    ContentRefused,
    GatewayUnreachable,
    ImageExpired,
    InvalidRequest,
    JobFailed,
    OutcomeUnknown,
    PermanentRefusal,
    TemporaryRefusal,
    TransferIncomplete,
    UnexpectedReply,
)
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from airflow_provider_qwenimage.retry_policy import QwenImageRetryPolicy

POLICY = QwenImageRetryPolicy()
RETRIED = [
    GatewayUnreachable("no connection"),
    TemporaryRefusal("overloaded", status=503),
    JobFailed("the job ended as FAILED", job=None),
    OutcomeUnknown("not finished after 3600 s", job_id="job-1"),
    TransferIncomplete("1 of 2 images could not be stored", failures=[]),
]
ENDED = [
    OutcomeUnknown("the answer was lost"),
    UnexpectedReply("a page of HTML"),
    JobFailed("the gateway does not know the job any more", job=None, billing="maybe"),
    PermanentRefusal("no money", status=400),
    ContentRefused("blocked", status=400),
    InvalidRequest("n", "must be at least 1"),
    ImageExpired("the link is dead"),
]


def decide(error, **context):
    return POLICY.evaluate(error, 1, 3, context or None)


@pytest.mark.parametrize("error", RETRIED, ids=repr)
def test_what_costs_nothing_is_retried(error):
    decision = decide(error)
    assert decision.action == RetryAction.RETRY
    assert decision.reason == str(error)


@pytest.mark.parametrize("error", ENDED, ids=repr)
def test_what_would_pay_again_or_be_refused_again_ends_the_task_and_says_why(error):
    decision = decide(error)
    assert decision.action == RetryAction.FAIL
    assert decision.reason == str(error)


@pytest.mark.parametrize("error", [ENDED[0], ENDED[1], ENDED[2]], ids=repr)
def test_told_to_resubmit_an_unknown_outcome_is_retried(error):
    task = QwenImageGenerateOperator(task_id="generate", prompt="p", on_unknown_outcome="resubmit")
    assert decide(error, task=task).action == RetryAction.RETRY


@pytest.mark.parametrize(("asked", "waited"), [(7, 7), (86400, 900), (None, None)])
def test_a_throttled_task_waits_as_the_gateway_asks_up_to_a_cap(asked, waited):
    decision = decide(TemporaryRefusal("throttled", status=429, retry_after=asked))
    assert decision.retry_delay == (None if waited is None else timedelta(seconds=waited))


def test_errors_that_are_not_ours_are_airflows_to_decide():
    assert decide(ValueError("x")).action == RetryAction.DEFAULT


def test_it_survives_serialization():
    again = QwenImageRetryPolicy.deserialize(QwenImageRetryPolicy(timedelta(minutes=2)).serialize())
    assert again.longest_wait == timedelta(minutes=2)


def test_operators_have_it_unless_they_are_told_otherwise():
    def policy_of(**arguments):
        return QwenImageGenerateOperator(task_id="generate", prompt="p", **arguments).retry_policy

    mine = QwenImageRetryPolicy(timedelta(minutes=1))
    assert isinstance(policy_of(), QwenImageRetryPolicy)
    assert policy_of(retry_policy=None) is None
    assert policy_of(retry_policy=mine) is mine
    assert policy_of(default_args={"retry_policy": mine}) is mine
