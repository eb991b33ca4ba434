"""What OpenLineage hears of a task, with that provider installed."""

from __future__ import annotations

import pytest

from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator
from harness import InMemoryAirflow


def told(task):
    found = task.get_openlineage_facets_on_complete(None)
    return (
        [(each.namespace, each.name) for each in found.inputs],
        [(each.namespace, each.name, each.outputFacets["outputStatistics"]) for each in found.outputs],
    )


def test_a_task_that_stores_tells_its_prefix_with_files_and_bytes(
    simulator, qwenimage_connection, s3, bucket
):
    conn_id = qwenimage_connection("tokenhot")
    ran = []  # Airflow runs a copy of the task, and it is the copy that is asked
    task = QwenImageGenerateOperator(
        task_id="generate",
        prompt="a teapot",
        model="wan2.6-t2i",
        size="1:1",
        n=2,
        persist_to=f"s3://{bucket}/a/b/",
        qwenimage_conn_id=conn_id,
        on_success_callback=lambda context: ran.append(context["task"]),
    )
    attempt = InMemoryAirflow().run(task)
    inputs, ((namespace, name, facts),) = told(*ran)
    assert (inputs, namespace, name) == ([], f"s3://{bucket}", "a/b")
    assert facts.fileCount == 2
    assert facts.size == sum(image["bytes"] for image in attempt.xcoms["stored"])


def test_objects_in_s3_are_inputs_and_links_of_a_gateway_are_not():
    images = [
        "https://gw.example/a.png?sig=secret",
        [{"uri": "s3://b/k.png", "url": "https://x"}, "s3://b/j.png"],
    ]
    inputs, outputs = told(QwenImageToS3Operator(task_id="t", images=images, s3_prefix="s3://bucket/p/"))
    assert inputs == [("s3://b", "j.png"), ("s3://b", "k.png")]
    assert outputs == []


@pytest.mark.parametrize("persist_to", [None, "s3://bucket/p/"])
def test_a_task_that_stored_nothing_has_no_output(persist_to):
    task = QwenImageGenerateOperator(task_id="t", prompt="a teapot", persist_to=persist_to)
    assert told(task) == ([], [])
