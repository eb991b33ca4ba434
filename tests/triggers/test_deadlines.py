"""A job that takes longer than anybody waited is still ours: the next try asks for it again, for nothing."""

from __future__ import annotations

import pytest

from airflow_provider_qwenimage.exceptions import OutcomeUnknown
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from harness import InMemoryAirflow


@pytest.mark.parametrize("on_unknown_outcome", ["fail", "resubmit"])
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_job_past_its_deadline_is_resumed_and_never_bought_again(
    simulator, qwenimage_connection, deferrable, on_unknown_outcome
):
    settings = simulator.state.settings
    usual, settings.job_seconds = settings.job_seconds, 600
    airflow = InMemoryAirflow()
    task = QwenImageGenerateOperator(
        task_id="generate",
        prompt="a teapot",
        model="wan2.5-t2i-preview",
        qwenimage_conn_id=qwenimage_connection("dashscope"),
        poll_interval=0.05,
        job_timeout=0.1,
        deferrable=deferrable,
        on_unknown_outcome=on_unknown_outcome,
        retries=3,
    )
    try:
        late = airflow.run(task)
        if late.trigger is not None:
            airflow.fire(task, late.trigger)
            late = airflow.run(task)
    finally:
        settings.job_seconds = usual
    (job,) = simulator.state.jobs.list("dashscope")
    job.pending = job.seconds = 0  # the vendor gets there after all

    attempt = airflow.run_to_end(task)

    assert (late.state, type(late.error)) == ("up_for_retry", OutcomeUnknown)
    assert "A retry resumes it at no cost" in str(late.error)
    assert (attempt.state, attempt.try_number) == ("success", 2)
    assert attempt.xcoms["job_id"] == job.id
    assert simulator.state.posts == 1
