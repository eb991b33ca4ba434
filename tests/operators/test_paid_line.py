"""The log of a task that paid says so in one line, and what comes from elsewhere does not drown it."""

from __future__ import annotations

import re

import pytest

from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from harness import InMemoryAirflow


@pytest.fixture
def draw(simulator, qwenimage_connection):
    simulator.state.settings.job_seconds = 0.1

    def make(gateway, **arguments):
        prices = {"wan2.6-t2i": 0.2, "currency": "CNY"}
        given = {
            "prompt": "a secret teapot",
            "model": "wan2.6-t2i",
            "size": "1:1",
            "poll_interval": 0.1,
            "n": 2,
        }
        return QwenImageGenerateOperator(
            task_id="generate",
            qwenimage_conn_id=qwenimage_connection(gateway, price_per_image=prices),
            **{**given, **arguments},
        )

    return make


def paid(capsys):
    return re.findall(r"Paid: ([^\[]*?) +\[airflow", capsys.readouterr().out)


def test_a_task_says_in_one_line_what_it_paid_for(draw, capsys):
    attempt = InMemoryAirflow().run(draw("tokenhot"))
    request_id = attempt.xcoms["request_id"]
    (line,) = paid(capsys)
    pattern = (
        rf"generate with wan2\.6-t2i of tokenhot, n=2, size 1280\*1280, request id {request_id}, \d+\.\d s, "
    )
    assert re.fullmatch(rf"{pattern}cost 0\.4 CNY", line)


def test_a_deferred_task_says_its_job_and_then_what_came(draw, capsys):
    airflow = InMemoryAirflow()
    task = draw("dashscope", model="wan2.5-t2i-preview", deferrable=True)
    waiting = airflow.run(task)
    job_id = waiting.trigger.job["id"]
    assert f"Waiting for job {job_id} of dashscope in the triggerer." in capsys.readouterr().out
    airflow.fire(task, waiting.trigger)
    assert airflow.run(task).state == "success"
    (line,) = paid(capsys)
    assert f", job {job_id}, " in line
    assert re.search(r", \d+\.\d s", line)


def test_what_an_earlier_try_paid_for_is_not_said_again(draw, capsys, simulator, moto_s3, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", moto_s3.connection)
    moto_s3.client().create_bucket(Bucket="paid-line")
    simulator.fault("file_404", times=9, on="file")
    airflow, task = InMemoryAirflow(), draw("tokenhot", persist_to="s3://paid-line/a/", retries=1)
    airflow.run(task)
    airflow.run(task)
    assert len(paid(capsys)) == 1


def test_a_task_that_stores_makes_one_client(draw, capsys, s3, bucket):
    attempt = InMemoryAirflow().run(draw("tokenhot", persist_to=f"s3://{bucket}/a/"))
    assert attempt.state == "success"
    said = capsys.readouterr().out.count("credentials retrieved")
    assert said == 2  # the client's, and that of the link to the console
