"""The example Dags for edits and series do what their text says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from harness import InMemoryAirflow
from operators.pictures import BLUE, GREEN, RED, opened, order_drawn, picture

EXAMPLES = Path(__file__).parents[2] / "example_dags"


@pytest.fixture
def run(rclone_s3, simulator):
    """Load an example and return the run it would have, with S3 as the simulator's neighbour."""
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = rclone_s3.connection
    simulator.state.reset()

    def load(name):
        bag = DagBag(dag_folder=str(EXAMPLES / f"{name}.py"))
        assert bag.import_errors == {}
        return bag.dags[name], InMemoryAirflow(dag_id=name)

    return load


@pytest.mark.parametrize("gateway", ["tokenhot", "tokenhub", "dashscope"])
def test_every_photo_is_staged_on_the_scene(run, rclone_s3, simulator, qwenimage_connection, gateway):
    qwenimage_connection(gateway)
    s3 = rclone_s3.client()
    if "product-photos" not in [each["Name"] for each in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket="product-photos")
    for key, colour in (
        ("products/raw/cup.png", RED),
        ("products/raw/lamp.png", GREEN),
        ("scenes/table.png", BLUE),
    ):
        s3.put_object(Bucket="product-photos", Key=key, Body=picture(colour))
    dag, airflow = run("product_photo_edit")

    assert airflow.run(dag.task_dict["pairs"]).error is None
    staged = [airflow.run_to_end(dag.task_dict["stage"], map_index=index) for index in (0, 1)]

    assert [attempt.error for attempt in staged] == [None, None]
    uris = [uri for attempt in staged for uri in attempt.result]
    contents = [(rclone_s3.folder / uri.removeprefix("s3://")).read_bytes() for uri in uris]
    assert [order_drawn(content, 2) for content in contents] == [[RED, BLUE], [GREEN, BLUE]]
    assert (simulator.state.posts, simulator.state.billed) == (2, 2)


def test_the_seasons_come_in_order_from_one_request(run, rclone_s3, simulator, qwenimage_connection, capsys):
    qwenimage_connection("tokenhub")
    rclone_s3.client().create_bucket(Bucket="seasonal-images")
    dag, airflow = run("seasonal_sequence")

    drawn, report = airflow.run_to_end(dag.task_dict["draw"]), airflow.run(dag.task_dict["report"])

    assert [drawn.error, report.error] == [None, None]
    assert list(report.result) == ["spring", "summer", "autumn", "winter"]
    assert list(report.result.values()) == drawn.result
    steps = [
        opened((rclone_s3.folder / uri.removeprefix("s3://")).read_bytes()).text["step"]
        for uri in drawn.result
    ]
    assert steps == ["1", "2", "3", "4"]
    assert simulator.state.posts == 1
    assert f"winter: {drawn.result[3]}" in capsys.readouterr().out


def test_a_poster_is_drawn_once_and_translated_for_each_market(
    run, rclone_s3, simulator, qwenimage_connection
):
    qwenimage_connection("dashscope")
    simulator.state.settings.job_seconds = 0.1
    rclone_s3.client().create_bucket(Bucket="localised-posters")
    dag, airflow = run("localised_poster")

    drawn = airflow.run_to_end(dag.task_dict["draw"])
    translated = [airflow.run_to_end(dag.task_dict["translate"], map_index=index) for index in range(4)]

    assert [attempt.error for attempt in (drawn, *translated)] == [None] * 5
    (poster,) = drawn.result
    prompts = [image["prompt"] for attempt in translated for image in attempt.xcoms["images"]]
    assert [prompt.partition(":")[0] for prompt in prompts] == ["en → zh", "en → ja", "en → fr", "en → es"]
    assert [uri.split("/")[-2] for attempt in translated for uri in attempt.result] == [
        "zh",
        "ja",
        "fr",
        "es",
    ]
    sizes = {
        opened((rclone_s3.folder / uri.removeprefix("s3://")).read_bytes()).size
        for uri in (poster, *translated[0].result)
    }
    assert sizes == {(1104, 1472)}
    assert (simulator.state.posts, simulator.state.billed) == (5, 5)


def assets(s3):
    client = s3.client()
    if "marketing-assets" not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket="marketing-assets")
    return client


def test_what_is_rejected_with_a_comment_is_edited_once_within_its_cost_and_asked_about_again(
    run, rclone_s3, simulator, qwenimage_connection
):
    prices = {"wan2.6-t2i": 0.2, "qwen-image-edit-plus": 0.9, "currency": "CNY"}
    qwenimage_connection("tokenhot", price_per_image=prices)
    assets(rclone_s3)
    dag, airflow = run("approve_campaign")

    def ran(task_id, map_index=-1):
        attempt = airflow.run(dag.task_dict[task_id], map_index=map_index)
        assert attempt.error is None
        return attempt

    ran("generate")
    drafts = [image["uri"] for image in ran("store").xcoms["stored"]]
    assert ran("pick").state == "awaiting_input"
    comments = {drafts[1]: "a blue mug", drafts[2]: "a red mug"}
    airflow.answer(dag.task_dict["pick"], "Approve the chosen", approved=[drafts[0]], comments=comments)
    ran("pick")
    assert len(ran("wishes").result) == 2
    revised = [uri for index in (0, 1) for uri in ran("revise", index).result]
    assert ran("pick_again").state == "awaiting_input"
    again = airflow.api.xcoms["pick_again", -1]["candidates"]
    assert [(image["uri"], image["prompt"]) for image in again] == list(
        zip(revised, comments.values(), strict=True)
    )
    airflow.answer(dag.task_dict["pick_again"], "Approve the chosen", approved=[revised[1]], comments={})
    ran("pick_again")
    ran("approved")
    published = ran("publish")
    assert [image["sha256"] for image in published.xcoms["stored"]] == [
        image["sha256"]
        for image in (*airflow.api.xcoms["pick", -1]["candidates"], *again)
        if image["uri"] in (drafts[0], revised[1])
    ]
    assert (simulator.state.posts, simulator.state.billed) == (3, 6)


def test_a_revision_above_its_cost_is_not_bought(run, rclone_s3, simulator, qwenimage_connection):
    qwenimage_connection("tokenhot", price_per_image={"qwen-image-edit-plus": 1.1, "currency": "CNY"})
    dag, airflow = run("approve_campaign")
    assets(rclone_s3).put_object(Bucket="marketing-assets", Key="drafts/0.png", Body=picture(BLUE))
    wish = {"images": ["s3://marketing-assets/drafts/0.png"], "prompt": "a blue mug"}
    airflow.api.xcoms["wishes", -1] = {"return_value": [wish]}
    attempt = airflow.run(dag.task_dict["revise"], map_index=0)
    assert type(attempt.error).__name__ == "BudgetExceeded"
    assert simulator.state.posts == 0
