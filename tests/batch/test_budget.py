"""A batch and its money: what it may cost is known before it sends, and is never exceeded."""

from __future__ import annotations

import pytest

from airflow_provider_qwenimage.batch.running import BatchRun
from airflow_provider_qwenimage.exceptions import BudgetExceeded, InvalidRequest
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.models.manifest import Origin
from airflow_provider_qwenimage.models.options import BatchOptions
from batch.conftest import prompts
from harness import InMemoryAirflow

DEFAULTS = {"model": "qwen-image-plus"}
PRICED = {"price_per_image": {"qwen-image-plus": 1, "currency": "CNY"}}


@pytest.fixture
def begin(prefix, qwenimage_connection):
    qwenimage_connection("tokenhot", **PRICED)

    def make(**options):
        given = BatchOptions(persist_to=prefix, max_concurrency=1, **options)
        settings = QwenImageHook("qwenimage_default").settings
        return BatchRun(settings, given, Origin(dag_id="d", task_id="t", run_id="one"))

    return make


def test_a_batch_that_may_cost_more_than_max_cost_sends_nothing(begin, gateway):
    with pytest.raises(BudgetExceeded, match="max_cost: allows 3 CNY, and what is to be sent may cost 4"):
        begin(max_cost=3).run(prompts(4), defaults=DEFAULTS)
    assert gateway.state.posts == 0


def test_what_is_paid_already_does_not_count(begin, gateway):
    gateway.fault("moderation", match="product 3")
    begin(max_cost=4, on_error="continue").run(prompts(4), defaults=DEFAULTS)

    verdict, _ = begin(max_cost=1).run(prompts(4), defaults=DEFAULTS)

    assert len(verdict.done) == 4
    assert gateway.state.billed == 4


def test_a_batch_whose_cost_nobody_knows_is_refused_by_its_models_name(begin, gateway):
    with pytest.raises(InvalidRequest, match="max_cost: cannot be kept: the model 'wan9' has no price"):
        begin(max_cost=3).run(prompts(2), defaults={**DEFAULTS, "model": "wan9"})
    assert gateway.state.posts == 0


def test_a_request_paid_again_has_to_be_paid_of_the_same_money(begin, gateway):
    gateway.fault("drop_after", match="product 0")
    verdict, _ = begin(max_cost=2, on_unknown_outcome="resubmit", on_error="continue").run(
        prompts(2), defaults=DEFAULTS
    )
    (failed,) = verdict.failed.values()
    assert isinstance(failed.error, BudgetExceeded)
    assert gateway.state.billed == 2


def test_a_job_that_is_over_holds_no_seat_and_no_money(in_redis, batch, gateway):
    gateway.state.settings.job_seconds = 0.05
    gateway.fault("job_failed", match="product 1")
    extra = {**PRICED, "budget": {"per_day": 9}, "limits": {"concurrency": 2}}
    task = batch(
        prompts(3), gateway="dashscope", extra=extra, poll_interval=0.05, on_error="continue", retries=0
    )

    assert InMemoryAirflow().run_to_end(task).state == "success"

    client = in_redis.client()
    assert list(client.scan_iter("*seats*")) == []
    (counter,) = client.scan_iter("*spent*")
    assert int(client.get(counter)) == 2_000_000
    assert gateway.state.billed == 2


def test_jobs_of_a_batch_wait_for_seats_and_not_for_those_that_are_over(batch, gateway, monkeypatch):
    # A seat that nobody gives back comes free after three minutes.
    monkeypatch.setenv("AIRFLOW__QWENIMAGE__LONGEST_WAIT", "30")
    gateway.state.settings.job_seconds = 0.05
    task = batch(
        prompts(4),
        gateway="dashscope",
        extra={"limits": {"concurrency": 1}},
        poll_interval=0.05,
        max_concurrency=4,
    )

    assert InMemoryAirflow().run_to_end(task).state == "success"
    assert gateway.state.billed == 4
