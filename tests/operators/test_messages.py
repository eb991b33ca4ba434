"""What an error says names what a person has to go to, and what a retry cannot mend is not retried."""

from __future__ import annotations

import json
import os

import pytest

from airflow_provider_qwenimage.defaults import DOCUMENTATION
from airflow_provider_qwenimage.exceptions import NoConnection, TransferError
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.qwenimage import QwenImageEditOperator, QwenImageGenerateOperator
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator
from harness import InMemoryAirflow


def generate(conn_id, **arguments):
    given = {"prompt": "a cup", "model": "qwen-image-plus", "retries": 2, **arguments}
    return QwenImageGenerateOperator(task_id="generate", qwenimage_conn_id=conn_id, **given)


def said(task):
    """Run a task that must fail at once, and return what it says."""
    attempt = InMemoryAirflow().run(task)
    assert (attempt.state, attempt.try_number) == ("failed", 1), attempt.error
    return str(attempt.error)


def test_a_connection_that_does_not_exist_is_named(simulator):
    attempt = InMemoryAirflow().run(generate("qwen_prod"))
    assert isinstance(attempt.error, NoConnection)
    assert attempt.state == "failed"
    assert str(attempt.error) == (
        "qwenimage_conn_id: there is no connection 'qwen_prod'. Nothing was billed. "
        "Create it in Airflow, or name another one; then clear the task."
    )


def test_a_connection_of_another_type_is_not_asked_for_a_model(simulator):
    os.environ["AIRFLOW_CONN_WEB"] = json.dumps({"conn_type": "http", "host": "https://gw.example"})
    assert "the connection 'web' is of type 'http', not 'qwenimage'" in said(generate("web", model=None))


def test_a_mistake_in_a_connection_names_it(simulator, qwenimage_connection):
    conn_id = qwenimage_connection("tokenhot", conn_id="gw_eu", timeout="soon")
    message = said(generate(conn_id))
    assert message.startswith("extra.timeout: must be a number")
    assert message.endswith("Correct the connection 'gw_eu'.")


@pytest.mark.parametrize("fault", ["401", "404"])
def test_a_refusal_of_key_or_path_names_connection_host_port_and_path(simulator, qwenimage_connection, fault):
    conn_id = qwenimage_connection("tokenhot", conn_id="gw_eu")
    simulator.fault(fault)
    assert said(generate(conn_id)).endswith(
        f"It was sent by the connection 'gw_eu', which leads to {simulator.url}/tokenhot."
    )


def test_a_batch_names_the_connection_too(simulator, qwenimage_connection, s3, bucket):
    conn_id = qwenimage_connection("tokenhot", conn_id="gw_eu")
    simulator.fault("401", times=9)
    task = QwenImageBatchOperator(
        task_id="campaign", requests=["a cup"], model="qwen-image-plus", persist_to=f"s3://{bucket}/a/",
        qwenimage_conn_id=conn_id,
    )  # fmt: skip
    attempt = InMemoryAirflow().run(task)
    leads = f"It was sent by the connection 'gw_eu', which leads to {simulator.url}/tokenhot."
    assert str(attempt.error).endswith(f"{leads} A new run pays for what is missing.")
    (failure,) = attempt.xcoms["failures"]
    assert (failure["where"], failure["prompt"]) == ("requests[0]", "a cup")


def tasks_without(bucket, conn_id):
    """Tasks that name a bucket, a key or an AWS connection which is not there."""
    edit = {
        "task_id": "edit",
        "prompt": "paint it",
        "model": "qwen-image-edit-plus",
        "qwenimage_conn_id": conn_id,
    }
    row = {"task_id": "campaign", "model": "qwen-image-plus", "qwenimage_conn_id": conn_id, "retries": 2}
    image = "data:image/png;base64,AAAA"
    return {
        "place": generate(conn_id, persist_to="s3://not-there-at-all/a/"),
        "transfer": QwenImageToS3Operator(
            task_id="t", images=[image], s3_prefix="s3://not-there-at-all/a/", retries=2
        ),
        "copied": QwenImageToS3Operator(
            task_id="t", images=[f"s3://{bucket}/gone.png"], s3_prefix=f"s3://{bucket}/a/", retries=2
        ),
        "input": QwenImageEditOperator(**edit, images=f"s3://{bucket}/gone.png", retries=2),
        "file": QwenImageEditOperator(**edit, images="/nowhere/gone.png", retries=2),
        "rows": QwenImageBatchOperator(
            **row, requests=f"s3://{bucket}/gone.jsonl", persist_to=f"s3://{bucket}/b/"
        ),
        "batch": QwenImageBatchOperator(**row, requests=["a cup"], persist_to="s3://not-there-at-all/a/"),
    }


@pytest.mark.parametrize("what", ["place", "transfer", "copied", "input", "file", "rows", "batch"])
def test_what_is_not_there_is_not_looked_for_again(simulator, qwenimage_connection, s3, bucket, what):
    conn_id = qwenimage_connection("dashscope")
    message = said(tasks_without(bucket, conn_id)[what])
    assert "gone" in message or "not-there-at-all" in message
    assert simulator.state.posts == 0


def test_an_aws_connection_that_does_not_exist_is_named(simulator, qwenimage_connection):
    conn_id = qwenimage_connection("tokenhot")
    message = said(generate(conn_id, persist_to="s3://marketing/a/", aws_conn_id="aws_prod"))
    assert "the AWS connection 'aws_prod' gives no credentials, or does not exist" in message
    assert message.endswith("Create the connection in Airflow, or name another one in aws_conn_id.")
    assert simulator.state.posts == 0


def test_images_that_are_paid_wait_for_a_bucket_that_comes_back(simulator, qwenimage_connection, s3, bucket):
    simulator.state.settings.job_seconds = 0.1
    task = generate(
        qwenimage_connection("dashscope"), model="wan2.5-t2i-preview", persist_to=f"s3://{bucket}/a/", deferrable=True,
        poll_interval=0.1,
    )  # fmt: skip
    airflow = InMemoryAirflow()
    waiting = airflow.run(task)
    s3.client().delete_bucket(Bucket=bucket)
    airflow.fire(task, waiting.trigger)
    lost = airflow.run(task)
    assert (lost.state, type(lost.error).__name__) == ("up_for_retry", "TransferError"), lost.error
    assert isinstance(lost.error, TransferError)
    s3.client().create_bucket(Bucket=bucket)
    assert airflow.run_to_end(task).state == "success"
    assert simulator.state.posts == 1


def test_a_connection_that_is_lost_does_not_lose_the_job(simulator, qwenimage_connection):
    simulator.state.settings.job_seconds = 0.1
    conn_id = qwenimage_connection("dashscope")
    task = generate(conn_id, model="wan2.5-t2i-preview", deferrable=True, poll_interval=0.1)
    airflow = InMemoryAirflow()
    waiting = airflow.run(task)
    kept = os.environ.pop("AIRFLOW_CONN_QWENIMAGE_DEFAULT")
    airflow.fire(task, waiting.trigger)
    os.environ["AIRFLOW_CONN_QWENIMAGE_DEFAULT"] = kept
    assert airflow.run(task).state == "up_for_retry"
    assert airflow.run_to_end(task).state == "success"
    assert simulator.state.posts == 1


def visible(log):
    """The lines of a log that Airflow's page shows at once: what lies in a group is folded."""
    groups, shown = [], []
    for line in filter(str.strip, log.splitlines()):
        if "::group::" in line:
            groups.append(line)
        elif "::endgroup::" in line:
            groups[-1:] = []
        elif not groups:
            shown.append(line)
    return shown


FAULTY = {"refused": "401", "throttled": "429", "unknown": "504", "unreadable": "html_200"}


@pytest.mark.parametrize("fault", FAULTY.values(), ids=FAULTY)
@pytest.mark.parametrize("retries", [0, 2])
def test_the_last_line_of_a_failed_task_is_the_advice(
    simulator, qwenimage_connection, capsys, fault, retries
):
    os.environ["AIRFLOW__QWENIMAGE__LONGEST_WAIT"] = "1"
    conn_id = qwenimage_connection("tokenhot")
    simulator.fault(fault, times=99)
    attempt = InMemoryAirflow().run(generate(conn_id, retries=retries))
    last = visible(capsys.readouterr().out)[-1]
    told = f"{DOCUMENTATION}errors/#{type(attempt.error).__name__.lower()}"
    assert f"[error    ] {attempt.error} {told} [airflow" in last


def test_a_deployment_without_documentation_says_no_link(simulator, qwenimage_connection, capsys):
    os.environ["AIRFLOW__QWENIMAGE__DOCUMENTATION_URL"] = ""
    conn_id = qwenimage_connection("tokenhot")
    simulator.fault("401")
    attempt = InMemoryAirflow().run(generate(conn_id))
    last = visible(capsys.readouterr().out)[-1]
    assert f"[error    ] {attempt.error}" in last
    assert "errors/#" not in last


def test_what_is_not_ours_is_not_said_again(simulator, capsys):
    class Other(QwenImageGenerateOperator):
        def execute(self, context):
            raise KeyError("of another kind")

    InMemoryAirflow().run(Other(task_id="t", prompt="a cup"))
    assert "::endgroup::" in capsys.readouterr().out.splitlines()[-1]
