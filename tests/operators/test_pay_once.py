"""What one task may cost: the number of requests it sends, whatever happens to them and however often it is retried."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_qwenimage.exceptions import (
    ContentRefused,
    JobFailed,
    OutcomeUnknown,
    PermanentRefusal,
    TemporaryRefusal,
    UnexpectedReply,
)
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from airflow_provider_qwenimage.payment.ledger import KEY
from harness import InMemoryAirflow

UNKNOWN = ["drop_after", "reset_after", "hang", "500", "502", "503_empty", "504", "524"]
UNREADABLE = ["truncated_json", "truncated_body", "html_200", "empty_200", "zero_images", "null_data"]


@pytest.fixture
def gateway(simulator):
    simulator.state.reset()
    return simulator


def generate(conn_id, **arguments):
    given = {"prompt": "a teapot", "model": "qwen-image-plus", "retries": 3, **arguments}
    return QwenImageGenerateOperator(task_id="generate", qwenimage_conn_id=conn_id, **given)


def job(conn_id, **arguments):
    """A task whose model DashScope serves by job only."""
    given = {"model": "wan2.5-t2i-preview", "poll_interval": 0.05, **arguments}
    return generate(conn_id, **given)


@pytest.mark.parametrize("fault", [*UNKNOWN, "drop_before", "reset_before"])
def test_an_unknown_outcome_is_one_request_and_the_end_of_the_task(gateway, qwenimage_connection, fault):
    gateway.fault(fault, times=9, seconds=3)

    attempt = InMemoryAirflow().run_to_end(generate(qwenimage_connection("tokenhot", timeout=1)))

    assert gateway.state.total("posts") + gateway.state.total("dropped_on_accept") <= 1
    assert (attempt.state, attempt.try_number) == ("failed", 1)
    assert isinstance(attempt.error, (OutcomeUnknown, AirflowFailException))
    assert "may have been billed" in str(attempt.error)


@pytest.mark.parametrize("fault", UNREADABLE)
def test_a_reply_without_an_image_is_one_request_and_never_a_success(gateway, qwenimage_connection, fault):
    gateway.fault(fault, times=9)

    attempt = InMemoryAirflow().run_to_end(generate(qwenimage_connection("applerouter")))

    assert gateway.state.posts == 1
    assert attempt.state == "failed"
    assert isinstance(attempt.error, (UnexpectedReply, OutcomeUnknown))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("moderation", ContentRefused),
        ("moderation_sentence", ContentRefused),
        ("arrearage", PermanentRefusal),
        ("429_bill_overdue", PermanentRefusal),
        ("401", PermanentRefusal),
        ("500_invalid_request", PermanentRefusal),
        ("error_200_openai", PermanentRefusal),
    ],
)
def test_a_refusal_for_good_is_one_request(gateway, qwenimage_connection, fault, error):
    gateway.fault(fault, times=9)

    attempt = InMemoryAirflow().run_to_end(generate(qwenimage_connection("tokenhot")))

    assert gateway.state.posts == 1
    assert attempt.state == "failed"
    assert isinstance(attempt.error, error)
    assert "Nothing was billed" in str(attempt.error)


def test_a_fault_that_is_not_billed_is_retried_by_airflow_and_succeeds(gateway, qwenimage_connection):
    gateway.fault("500_internal_error", times=2)

    attempt = InMemoryAirflow().run_to_end(generate(qwenimage_connection("tokenhot")))

    assert (attempt.state, attempt.try_number) == ("success", 3)
    assert gateway.state.billed == 1


def test_a_throttled_task_waits_for_its_turn_and_uses_up_no_try(gateway, qwenimage_connection):
    gateway.fault("429_retry_after", times=2, seconds=0)

    attempt = InMemoryAirflow().run(generate(qwenimage_connection("tokenhot")))

    assert (attempt.state, attempt.try_number) == ("success", 1)
    assert (gateway.state.posts, gateway.state.billed) == (3, 1)


def test_a_turn_that_never_comes_becomes_the_tasks_retry_delay(gateway, qwenimage_connection, monkeypatch):
    monkeypatch.setenv("AIRFLOW__QWENIMAGE__LONGEST_WAIT", "5")
    gateway.fault("429_retry_after", seconds=40)
    airflow = InMemoryAirflow()
    task = generate(qwenimage_connection("tokenhot"))

    attempt = airflow.run(task)

    assert isinstance(attempt.error, TemporaryRefusal)
    assert "No turn came" in str(attempt.error)
    assert "Nothing was billed" in str(attempt.error)
    assert 30 < attempt.retry_delay <= 40
    assert airflow.stored(task) == {}
    assert (gateway.state.posts, gateway.state.billed) == (1, 0)


def test_a_worker_killed_between_request_and_answer_ends_the_task_with_the_reason(
    gateway, qwenimage_connection
):
    airflow = InMemoryAirflow()
    task = generate(qwenimage_connection("tokenhot"))
    airflow.run(task)
    record = airflow.stored(task)[KEY]
    record["phase"], record["generation"] = "intent", None
    airflow.lose_report(task)
    gateway.state.reset()

    attempt = airflow.run_to_end(task)

    assert gateway.state.posts == 0
    assert attempt.state == "failed"
    assert "An earlier try sent this request at" in str(attempt.error)


def test_told_to_resubmit_a_retry_pays_again(gateway, qwenimage_connection):
    gateway.fault("504", times=1)

    attempt = InMemoryAirflow().run_to_end(
        generate(qwenimage_connection("tokenhot"), on_unknown_outcome="resubmit")
    )

    assert (attempt.state, attempt.try_number) == ("success", 2)
    assert gateway.state.posts == 2


def test_a_worker_killed_after_the_answer_replays_the_same_images(gateway, qwenimage_connection):
    airflow = InMemoryAirflow()
    task = generate(qwenimage_connection("tokenhot"))
    first = airflow.run(task)
    airflow.lose_report(task)

    second = airflow.run(task)

    assert gateway.state.posts == 1
    assert second.result == first.result
    assert second.xcoms["images"] == first.xcoms["images"]


def test_a_clear_pays_anew(gateway, qwenimage_connection):
    airflow = InMemoryAirflow()
    task = generate(qwenimage_connection("tokenhot"))
    airflow.run(task)
    airflow.clear(task)

    assert airflow.run(task).state == "success"
    assert gateway.state.posts == 2


def test_an_edited_prompt_pays_anew(gateway, qwenimage_connection):
    airflow = InMemoryAirflow()
    task = generate(qwenimage_connection("tokenhot"))
    airflow.run(task)
    airflow.lose_report(task)
    task.prompt = "a kettle"

    assert airflow.run(task).state == "success"
    assert gateway.state.posts == 2


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_job_is_submitted_once_and_its_images_arrive(gateway, qwenimage_connection, deferrable):
    task = job(qwenimage_connection("dashscope"), deferrable=deferrable, n=2)

    attempt = InMemoryAirflow().run_to_end(task)

    assert attempt.error is None
    assert len(attempt.result) == 2
    assert attempt.xcoms["job_id"]
    assert gateway.state.posts == 1


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_worker_killed_mid_poll_resumes_its_job(gateway, qwenimage_connection, deferrable):
    airflow = InMemoryAirflow()
    task = job(qwenimage_connection("dashscope"), deferrable=True)
    airflow.run(task)
    airflow.lose_report(task)
    task.deferrable = deferrable

    attempt = airflow.run_to_end(task)

    assert attempt.state == "success"
    assert gateway.state.posts == 1


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_failed_job_was_not_billed_and_is_submitted_anew(gateway, qwenimage_connection, deferrable):
    gateway.fault("job_failed", times=1)

    attempt = InMemoryAirflow().run_to_end(job(qwenimage_connection("dashscope"), deferrable=deferrable))

    assert (attempt.state, attempt.try_number) == ("success", 2)
    assert (gateway.state.posts, gateway.state.billed) == (2, 1)


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_job_the_gateway_lost_ends_the_task_typed(gateway, qwenimage_connection, deferrable):
    gateway.fault("job_unknown", times=9)

    attempt = InMemoryAirflow().run_to_end(job(qwenimage_connection("dashscope"), deferrable=deferrable))

    assert attempt.state == "failed"
    assert isinstance(attempt.error, JobFailed)
    assert gateway.state.posts == 1


@pytest.mark.parametrize(
    "fault", ["429", "500", "502", "504", "drop_after", "reset_after", "html_200", "truncated_json"]
)
def test_a_poll_that_fails_never_fails_the_job(gateway, qwenimage_connection, fault):
    gateway.fault(fault, times=2, on="poll")

    attempt = InMemoryAirflow().run_to_end(job(qwenimage_connection("dashscope")))

    assert attempt.error is None
    assert gateway.state.posts == 1


def test_a_job_past_its_deadline_says_that_it_goes_on(gateway, qwenimage_connection):
    gateway.fault("job_stuck", times=9)

    attempt = InMemoryAirflow().run_to_end(job(qwenimage_connection("dashscope"), job_timeout=0.3))

    assert attempt.state == "failed"
    assert "goes on at the gateway" in str(attempt.error)
    assert attempt.error.job_id


def below_3_3(task):
    """Take the task state store out of the context, as in Airflow below 3.3."""
    execute = task.execute
    object.__setattr__(task, "execute", lambda context: execute({**context, "task_state_store": None}))
    return task


def test_without_a_state_store_an_unknown_outcome_still_ends_the_task(gateway, qwenimage_connection):
    gateway.fault("504", times=9)

    attempt = InMemoryAirflow().run_to_end(below_3_3(generate(qwenimage_connection("tokenhot"))))

    assert (attempt.state, gateway.state.posts) == ("failed", 1)


@pytest.mark.parametrize("store", [True, False])
def test_an_execution_timeout_while_waiting_for_the_answer_pays_once(gateway, qwenimage_connection, store):
    gateway.fault("hang", times=9, seconds=3)
    task = generate(qwenimage_connection("tokenhot"), execution_timeout=timedelta(seconds=1))

    attempt = InMemoryAirflow().run_to_end(task if store else below_3_3(task))

    assert attempt.state == "failed"
    assert isinstance(attempt.error, OutcomeUnknown)
    assert gateway.state.posts == 1


class FailedJobs(BaseHTTPRequestHandler):
    """Accepts every job and says at the first poll that it failed, with the code of its server."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts += 1
        self._answer(task_status="PENDING")

    def do_GET(self):
        self._answer(task_status="FAILED", code=self.server.code, message="the reason")

    def _answer(self, **output):
        body = json.dumps({"output": {"task_id": "t-1", **output}, "request_id": "job-r"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Keep quiet."""


@contextmanager
def failing_jobs(code):
    server = ThreadingHTTPServer(("127.0.0.1", 0), FailedJobs)
    server.posts, server.code = 0, code
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("code", "tries"),
    [("InvalidParameter", 1), ("Arrearage", 1), ("InternalError.Timeout", 1), ("InternalError.Algo", 3)],
)
def test_a_failed_job_is_submitted_anew_only_where_that_may_help(
    qwenimage_connection, code, tries, deferrable
):
    with failing_jobs(code) as server:
        conn_id = qwenimage_connection("dashscope", host=f"http://127.0.0.1:{server.server_port}")
        airflow = InMemoryAirflow()
        task = job(conn_id, deferrable=deferrable, retries=2)
        attempt = airflow.run_to_end(task)

    assert (attempt.state, server.posts) == ("failed", tries)
    assert isinstance(attempt.error, JobFailed)
    assert (attempt.error.code, attempt.error.billing) == (code, "no")
    assert (attempt.error.job.id, attempt.error.job.request_id) == ("t-1", "job-r")
    assert KEY not in airflow.stored(task)


def test_what_is_paid_stays_paid_when_the_connection_moves(gateway, qwenimage_connection):
    airflow = InMemoryAirflow()
    task = generate(qwenimage_connection("tokenhot"))
    first = airflow.run(task)
    generate(qwenimage_connection("tokenhub"))

    again = airflow.run(task)

    assert (again.state, again.result) == ("success", first.result)
    assert gateway.state.posts == 1


def test_a_job_of_a_connection_that_moved_waits_for_it_to_lead_back(gateway, qwenimage_connection):
    gateway.state.settings.job_seconds = 0.05
    gateway.fault("429", on="poll", times=99)
    airflow = InMemoryAirflow()
    qwenimage_connection("dashscope")
    task = generate("qwenimage_default", model="wan2.5-t2i-preview", job_timeout=0.2, retries=9)
    assert airflow.run(task).state == "up_for_retry"
    gateway.state.faults.clear()

    qwenimage_connection("dashscope-intl")
    moved = airflow.run(task)
    advice = "Let the connection lead there again to have its images. A retry resumes it at no cost."
    assert str(moved.error).endswith(advice)

    qwenimage_connection("dashscope")
    task.job_timeout = 60
    assert len(airflow.run(task).result) == 1
    assert gateway.state.posts == 1
