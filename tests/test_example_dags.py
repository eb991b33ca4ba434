"""The example Dags are what readers copy, so they run here: real gateway replies over HTTP, real S3."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from airflow.dag_processing.dagbag import DagBag

from harness import InMemoryAirflow

EXAMPLES = Path(__file__).parent.parent / "example_dags"


@pytest.fixture(scope="module")
def dags():
    bag = DagBag(dag_folder=str(EXAMPLES))
    assert bag.import_errors == {}
    return bag.dags


def test_every_example_has_a_dag_and_says_what_to_set_up(dags):
    assert {Path(dag.fileloc).name for dag in dags.values()} == {path.name for path in EXAMPLES.glob("*.py")}
    assert [dag.dag_id for dag in dags.values() if "Set up" not in (dag.doc_md or "")] == []


def test_the_marketing_example_runs_daily_and_does_not_catch_up(dags):
    dag = dags["marketing_assets"]
    assert (dag.schedule, dag.catchup) == ("@daily", False)


def test_the_marketing_example_goes_from_prompts_to_a_manifest_in_s3(
    dags, rclone_s3, simulator, qwenimage_connection, capsys
):
    qwenimage_connection("tokenhot", model="qwen-image-plus")
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = rclone_s3.connection
    s3 = rclone_s3.client()
    if "marketing-assets" not in [each["Name"] for each in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket="marketing-assets")
    dag = dags["marketing_assets"]
    airflow = InMemoryAirflow(dag_id=dag.dag_id)
    generate, store, report = (dag.task_dict[name] for name in ("generate", "store", "report"))

    generated = [airflow.run_to_end(generate, map_index=index) for index in range(4)]
    stored, reported = airflow.run_to_end(store), airflow.run_to_end(report)

    assert [attempt.state for attempt in (*generated, stored, reported)] == ["success"] * 6
    uri = urlsplit(stored.xcoms["manifest"]["uri"])
    manifest = json.loads((rclone_s3.folder / uri.netloc / uri.path.lstrip("/")).read_text(encoding="utf-8"))
    assert [image["prompt"].partition(",")[0] for image in manifest["images"]] == [
        "Enamel camping mug",
        "Walnut desk lamp",
        "Linen tote bag",
        "Ceramic pour-over set",
    ]
    assert manifest["images"][0]["prompt"].endswith("a November morning")
    for attempt, image in zip(generated, manifest["images"], strict=True):
        path = urlsplit(image["uri"])
        content = (rclone_s3.folder / path.netloc / path.path.lstrip("/")).read_bytes()
        assert content == simulator.content(attempt.result[0])
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert [image["uri"] for image in reported.result] == stored.result
    assert stored.result[3] in capsys.readouterr().out


def test_the_example_of_the_readme_keeps_prompt_and_model(rclone_s3, simulator, qwenimage_connection):
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = rclone_s3.connection
    rclone_s3.client().create_bucket(Bucket="marketing")
    qwenimage_connection("tokenhub", model="wan2.6-t2i")
    readme = (EXAMPLES.parent / "README.md").read_text()
    names = {}
    exec(next(block for block in readme.split("```python\n")[1:]).partition("```")[0], names)  # noqa: S102
    airflow = InMemoryAirflow()
    for index in range(2):
        airflow.run(names["generate"], map_index=index)
    attempt = airflow.run(names["generate"].dag.task_dict["store"])
    assert attempt.state == "success", attempt.error
    told = [(image["prompt"], image["model"]) for image in attempt.xcoms["stored"]]
    assert told == [
        ("a blue teapot on a linen table", "wan2.6-t2i"),
        ("a red teapot in the snow", "wan2.6-t2i"),
    ]
