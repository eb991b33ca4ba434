"""A campaign: many batches, one bill, one manifest; whatever dies, nothing is paid twice."""

from __future__ import annotations

import csv
import io
import json
import sys

import pytest
from airflow.sdk import DAG, Asset, timezone
from pyarrow import parquet

from airflow_provider_qwenimage.manifests import read_manifest
from airflow_provider_qwenimage.operators.campaign import qwen_image_campaign
from batch.conftest import Shelf
from harness import InMemoryAirflow


class Campaign:
    """A Dag with one campaign, run as Airflow would: plan, each shard, close."""

    def __init__(self, arguments):
        with DAG("harness", schedule=None, start_date=timezone.datetime(2026, 1, 1)) as dag:
            self.group = qwen_image_campaign("spring", **arguments)
        self.plan, self.shards, self.close = (
            dag.task_dict[f"spring.{name}"] for name in ("plan", "shards", "close")
        )

    def planned(self, airflow):
        return airflow.run_to_end(self.plan)

    def work(self, airflow, *indexes):
        count = len(airflow.api.xcoms["spring.plan", -1]["return_value"])
        return [airflow.run_to_end(self.shards, map_index=index) for index in indexes or range(count)]

    def run(self, run_id="monday"):
        airflow = InMemoryAirflow(run_id=run_id)
        planned = self.planned(airflow)
        assert planned.error is None
        assert [attempt.error for attempt in self.work(airflow)] == [None] * len(planned.result)
        return airflow.run_to_end(self.close)


@pytest.fixture
def campaign(prefix, qwenimage_connection):
    def make(requests, **arguments):
        given = {"model": "qwen-image-2.0", "persist_to": prefix, "shards": 3, "retries": 1, **arguments}
        conn_id = qwenimage_connection("tokenhot")
        return Campaign({"requests": requests, "qwenimage_conn_id": conn_id, **given})

    return make


def products(count):
    return [{"prompt": f"product {number}", "labels": {"sku": f"A-{number}"}} for number in range(count)]


def table(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def test_a_campaign_is_many_batches_and_one_set_in_row_order(gateway, campaign, prefix, shelf):
    requests = products(8)
    requests[3]["n"] = 2
    group = campaign(requests, outlets=[Asset("s3://marketing/spring")], labels={"season": "spring"})
    attempt = group.run()

    assert attempt.error is None
    assert gateway.state.billed == 9
    manifest = read_manifest(attempt.xcoms["manifest"])
    assert [image.uri for image in manifest.images] == attempt.result
    assert [image.index for image in manifest.images] == list(range(9))
    assert [image.model_extra["request"] for image in manifest.images] == [0, 1, 2, 3, 3, 4, 5, 6, 7]
    assert [image.labels["sku"] for image in manifest.images][-1] == "A-7"
    assert len({uri.rpartition("/")[0] for uri in attempt.result}) == 3
    assert attempt.xcoms["usage"]["image_count"] == 9
    assert (manifest.task_id, manifest.map_index, manifest.failures) == ("spring.close", -1, ())
    assert attempt.outlet_events[0]["extra"] == {
        "manifest": f"{prefix}manifest.json", "count": 9, "labels": {"season": "spring"},
    }  # fmt: skip
    assert sorted(name for name in shelf.names() if name.startswith("plan/")) == [
        "plan/00000.planned", "plan/00001.planned", "plan/00002.planned", "plan/campaign.json",
    ]  # fmt: skip


def test_what_follows_reads_the_manifest_of_the_group(campaign):
    group = campaign(products(2))
    assert group.group.output.operator is group.close
    assert group.group.output["manifest"].key == "manifest"


def test_a_new_run_pays_nothing_and_closes_the_same_set(gateway, campaign):
    first = campaign(products(5)).run()
    second = campaign(products(5)).run("tuesday")

    assert gateway.state.posts == 5
    assert second.result == first.result
    assert second.xcoms["usage"]["image_count"] == 5


def test_rows_added_at_the_end_are_all_that_is_paid(gateway, campaign, shelf):
    first = campaign(products(6)).run()
    second = campaign(products(9)).run("tuesday")

    assert gateway.state.posts == 9
    assert second.result[:6] == first.result
    assert [image["labels"]["sku"] for image in shelf.manifest()["images"]] == [f"A-{n}" for n in range(9)]
    assert campaign(products(9), shards=7).run("wednesday").result == second.result
    assert gateway.state.posts == 9


def test_a_changed_row_in_the_middle_is_refused_by_its_place_and_column(gateway, campaign, shelf):
    campaign(products(6)).run()
    before = shelf.manifest()
    requests = products(8)
    requests[2]["prompt"] = "another product"
    requests[4] |= {"size": "16:9", "labels": {"sku": "new"}}
    attempt = campaign(requests).planned(InMemoryAirflow(run_id="tuesday"))

    assert "requests[2]: prompt" in str(attempt.error)
    assert "requests[4]: labels, size" in str(attempt.error)
    assert "requests[3]" not in str(attempt.error)
    assert "Nothing was billed" in str(attempt.error)
    assert (gateway.state.posts, shelf.manifest()) == (6, before)


@pytest.mark.parametrize(("change", "said"), [
    (lambda requests: requests[:4], "2 rows at the end are gone: 4 are left of 6"),
    (lambda requests: requests[1:], "1 rows at the end are gone"),
    (lambda requests: [{"prompt": "first"}, *requests], "requests[0]: labels, prompt"),
])  # fmt: skip
def test_rows_that_went_or_moved_are_refused(campaign, change, said):
    campaign(products(6)).run()
    attempt = campaign(change(products(6))).planned(InMemoryAirflow(run_id="tuesday"))

    assert said in str(attempt.error)


def test_another_model_is_another_campaign(campaign):
    campaign(products(2)).run()
    attempt = campaign(products(2), model="qwen-image-plus").planned(InMemoryAirflow(run_id="tuesday"))

    assert "requests[0]: an argument of the campaign, or the model of the connection" in str(attempt.error)


def test_other_labels_are_told_and_buy_nothing(gateway, campaign, shelf):
    campaign(products(4)).run()
    requests = products(4)
    requests[2]["labels"] = {"sku": "new"}
    campaign(requests).run("tuesday")

    assert gateway.state.posts == 4
    assert [image["labels"]["sku"] for image in shelf.manifest()["images"]] == ["A-0", "A-1", "new", "A-3"]


def test_a_bad_row_of_the_third_shard_is_named_by_its_line_and_nothing_is_sent(
    gateway, campaign, shelf, bucket
):
    rows = [{"name": f"mug {n}", "size": "16:9"} for n in range(9)]
    rows[7]["size"] = "huge"
    uri = Shelf(shelf.client, f"s3://{bucket}/").put("rows.csv", table(rows))
    attempt = campaign(uri, prompt_template="a {name}").planned(InMemoryAirflow())

    assert "line 9, size: must look like" in str(attempt.error)
    assert gateway.state.posts == 0
    assert shelf.names() == []


def test_a_label_that_is_none_and_names_given_twice_are_named_by_their_lines(
    gateway, campaign, shelf, bucket
):
    rows = [{"prompt": "mug", "sku": "A/1"}, {"prompt": "lamp", "labels": {"sku": {"en": "B"}}},
            {"prompt": "jug", "sku": "C"}, {"prompt": "cup", "sku": "A 1"}]  # fmt: skip
    text = "\n".join(json.dumps(row) for row in rows).encode()
    uri = Shelf(shelf.client, f"s3://{bucket}/").put("rows.jsonl", text)
    attempt = campaign(uri, extra_columns="labels", filename="{labels[sku]}.{ext}").planned(InMemoryAirflow())

    assert "2 of 4 cannot be sent" in str(attempt.error)
    assert "line 2, labels.sku: must be text, got an object" in str(attempt.error)
    assert "line 4, filename: gives line 1 and this row the name A-1.png" in str(attempt.error)
    assert (gateway.state.posts, shelf.names()) == (0, [])


def test_a_template_for_a_column_that_no_row_has_is_named_with_what_there_is(
    gateway, campaign, shelf, bucket
):
    uri = Shelf(shelf.client, f"s3://{bucket}/").put("rows.csv", b"name,color\nmug,red\nlamp,blue\n")
    attempt = campaign(uri, prompt_template="a {colour} {name}").planned(InMemoryAirflow())

    assert "prompt_template: names {colour}, a column that no row has; line 2 has name, color" in str(
        attempt.error
    )
    assert (gateway.state.posts, shelf.names()) == (0, [])


def test_labels_of_any_text_reach_the_set(gateway, campaign, shelf):
    texts = ["a/b", "🦊 红色", "x" * 3000, '"\n2']
    requests = [{"prompt": "a mug", "labels": {"text": text}} for text in texts]
    attempt = campaign(requests).run()

    assert attempt.error is None
    assert [image["labels"]["text"] for image in shelf.manifest()["images"]] == texts
    refused = campaign(requests, filename="{labels[text]}.{ext}").planned(InMemoryAirflow(run_id="tuesday"))
    assert "requests[2], filename: makes a name longer than an object's may be" in str(refused.error)


def test_rows_keep_the_lines_their_author_wrote_them_on(gateway, campaign, shelf, bucket):
    rows = [{"name": f"mug {n}"} for n in range(5)] + [{"name": "bad [fault:moderation]"}]
    uri = Shelf(shelf.client, f"s3://{bucket}/").put("rows.csv", table(rows))
    attempt = campaign(uri, prompt_template="a {name}", extra_columns="labels", on_error="continue").run()

    (failure,) = attempt.xcoms["failures"]
    assert (failure["request"], failure["where"], failure["labels"]) == (
        5,
        "line 7",
        {"name": "bad [fault:moderation]"},
    )
    (missing,) = read_manifest(attempt.xcoms["manifest"]).failures
    assert (missing.index, missing.labels) == (5, {"name": "bad [fault:moderation]"})


def test_a_campaign_of_which_nothing_came_is_no_success(gateway, campaign, shelf):
    group, airflow = (
        campaign([{"prompt": "bad [fault:moderation]"}] * 2, on_error="continue"),
        InMemoryAirflow(),
    )
    group.planned(airflow)
    assert [attempt.state for attempt in group.work(airflow)] == ["success"] * 2
    attempt = airflow.run_to_end(group.close)

    assert "None of the 2 images of the campaign came" in str(attempt.error)
    assert "manifest.json" not in shelf.names()


def test_a_worker_that_is_killed_leaves_its_shard_to_the_next_and_the_others_alone(gateway, campaign):
    group, airflow = campaign(products(9)), InMemoryAirflow()
    group.planned(airflow)
    first, second = group.work(airflow, 0, 1)
    gateway.fault("500_internal_error", times=1, match="product 7")
    failed = airflow.run(group.shards, map_index=2)
    airflow.lose_report(group.shards, map_index=2)

    assert failed.state == "up_for_retry"
    assert airflow.run_to_end(group.close).state != "success"
    assert group.work(airflow, 2)[0].state == "success"
    airflow.clear(group.shards, map_index=0)
    assert group.work(airflow, 0)[0].result == first.result
    airflow.clear(group.close)
    closed = airflow.run_to_end(group.close)
    assert closed.result[:6] == [*first.result, *second.result]
    assert len(closed.result) == gateway.state.billed == 9


@pytest.mark.parametrize("refused", [
    ({"max_images": 7}, "max_images: allows 7, and the campaign asks for 8 images"),
    ({"max_cost": 0.5}, "max_cost: allows 0.5 CNY, and what is to be sent may cost 0.8"),
    ({"filename": "x.{ext}"}, "requests[1], filename: gives requests[0] and this row the name x.png"),
    ({"shards": "{{ 0 }}"}, "shards: must be at least 1"),
])  # fmt: skip
def test_what_is_of_the_whole_campaign_is_refused_before_anything_is_sent(
    gateway, campaign, qwenimage_connection, shelf, refused
):
    arguments, said = refused
    group = campaign(products(8), **arguments)
    qwenimage_connection("tokenhot", price_per_image={"qwen-image-2.0": 0.1, "currency": "CNY"})
    attempt = group.planned(InMemoryAirflow())

    assert said in str(attempt.error)
    assert (gateway.state.posts, shelf.names()) == (0, [])


def test_all_shards_together_spend_no_more_than_the_campaign_may(gateway, campaign, qwenimage_connection):
    gateway.fault("drop_after", match="product 0")
    group = campaign(products(8), max_cost=0.8, on_unknown_outcome="resubmit", on_error="continue", retries=0)
    qwenimage_connection("tokenhot", price_per_image={"qwen-image-2.0": 0.1, "currency": "CNY"})
    airflow = InMemoryAirflow()
    planned = group.planned(airflow)
    group.work(airflow)

    assert [each["max_cost"] for each in planned.result] == pytest.approx([0.2, 0.3, 0.3])
    assert (
        gateway.state.billed == 8
    )  # the answer of the first is lost; its shard has nothing left to ask again with
    ((failure,), *_) = (airflow.api.xcoms["spring.shards", index].get("failures") for index in range(3))
    assert "max_cost: allows 0.2 CNY" in failure["reason"]


def test_images_are_named_by_their_labels_in_the_folder_of_their_shard(gateway, campaign):
    attempt = campaign(products(3), filename="{labels[sku]}.{ext}").run()

    assert [uri.rpartition("shards/")[2] for uri in attempt.result] == [
        "00000/A-0.png",
        "00001/A-1.png",
        "00002/A-2.png",
    ]


def test_the_manifest_is_a_table_too_where_it_is_asked_for(campaign, shelf):
    requests = products(4)
    requests[1]["labels"] = {}
    campaign(requests, manifest_format="parquet").run()

    table = parquet.read_table(io.BytesIO(shelf.read("manifest.parquet"))).to_pylist(maps_as_pydicts="strict")
    told = shelf.manifest()["images"]
    for name in ("uri", "index", "request", "sha256", "prompt", "model", "width", "cost", "labels"):
        assert [row[name] for row in table] == [image.get(name) for image in told]


def test_a_table_that_no_worker_can_write_is_refused_before_anything_is_sent(
    gateway, campaign, shelf, monkeypatch
):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    attempt = campaign(products(2), manifest_format="parquet").planned(InMemoryAirflow())

    assert "manifest_format: 'parquet' needs pyarrow" in str(attempt.error)
    assert (gateway.state.posts, shelf.names()) == (0, [])


def test_a_table_of_somebody_else_is_no_place_for_ours(gateway, campaign, shelf):
    shelf.put("manifest.parquet", b"theirs")
    attempt = campaign(products(2), manifest_format="parquet").planned(InMemoryAirflow())

    assert "manifest_format: 'parquet' would replace" in str(attempt.error)
    assert (gateway.state.posts, shelf.names()) == (0, ["manifest.parquet"])


def test_a_table_is_removed_once_it_is_not_renewed(campaign, shelf):
    campaign(products(2), manifest_format="parquet").run()
    campaign(products(3)).run("tuesday")

    assert "manifest.parquet" not in shelf.names()


def test_consumers_are_told_of_each_market(campaign, shelf):
    markets = ["DE", "FR", "DE", "JP/🦊"]
    requests = [
        row | {"labels": {"market": market}} for row, market in zip(products(4), markets, strict=True)
    ]
    attempt = campaign(requests, partition_by="market", outlets=[Asset("s3://marketing/spring")]).run()

    assert sorted(event["partition_key"] for event in attempt.outlet_events) == ["DE", "FR", "JP/🦊"]
    (told,) = {json.dumps(event["extra"]) for event in attempt.outlet_events}
    assert json.loads(told) == {
        "manifest": attempt.xcoms["manifest"]["uri"], "count": 4, "partition_by": "market",
    }  # fmt: skip


def test_rows_of_no_market_are_named_before_anything_is_sent(gateway, campaign, shelf, bucket):
    text = b"prompt,market\na mug,DE\na lamp,\na jug," + b"x" * 251 + b"\n"
    uri = Shelf(shelf.client, f"s3://{bucket}/").put("rows.csv", text)
    attempt = campaign(uri, extra_columns="labels", partition_by="market").planned(InMemoryAirflow())

    assert "line 3, labels.market: is named by partition_by and is not there" in str(attempt.error)
    assert "line 4, labels.market: is named by partition_by: must have 250 characters at most" in str(
        attempt.error
    )
    assert (gateway.state.posts, shelf.names()) == (0, [])


@pytest.mark.parametrize("name", ["plan/notes.txt", "manifest.json", "plan/campaign.json"])
def test_what_somebody_else_keeps_there_stays(gateway, campaign, shelf, name):
    shelf.put(name, b'{"name": "theirs"}')
    attempt = campaign(products(2)).planned(InMemoryAirflow())

    assert "persist_to: " in str(attempt.error)
    assert (gateway.state.posts, shelf.names()) == (0, [name])


def test_a_shard_may_read_no_more_than_the_rows_of_the_campaign_could(
    gateway, campaign, shelf, bucket, tmp_path
):
    picture = tmp_path / "photos" / "mug.png"
    rows = [
        {
            "prompt": "x",
            "images": ["https://h.example/a.png", "s3://photos/a.png"],
            "model": "qwen-image-edit-plus",
        }
    ]
    of_list = campaign(rows).planned(InMemoryAirflow()).result
    uri = Shelf(shelf.client, f"s3://{bucket}/").put("rows.jsonl", json.dumps({"prompt": "x"}).encode())
    of_file = campaign(uri, persist_to=f"s3://{bucket}/other/").planned(InMemoryAirflow()).result

    assert of_list[0]["inputs_from"] == ["https", "s3://photos/"]
    assert of_file[0]["inputs_from"] == ["data", "http", f"s3://{bucket}/"]
    assert not picture.exists()


def test_a_plan_that_died_before_its_last_word_is_made_anew(gateway, campaign, shelf):
    campaign(products(6)).planned(InMemoryAirflow())
    shelf.client.delete_object(Bucket=shelf.bucket, Key=f"{shelf.key}plan/campaign.json")

    assert len(campaign(products(7), shards=2).run().result) == gateway.state.posts == 7


def test_a_shard_that_was_worked_on_is_not_cut_again_though_the_plan_is_gone(gateway, campaign, shelf):
    campaign(products(6)).run()
    shelf.client.delete_object(Bucket=shelf.bucket, Key=f"{shelf.key}plan/campaign.json")
    group, airflow = campaign(products(6), shards=2), InMemoryAirflow(run_id="tuesday")
    group.planned(airflow)

    assert "is the journal of another batch" in str(group.work(airflow, 0)[0].error)
    assert gateway.state.posts == 6


def test_a_shard_without_a_manifest_is_named(gateway, campaign, shelf):
    group, airflow = campaign(products(4), shards=2), InMemoryAirflow()
    group.planned(airflow)
    group.work(airflow, 0)
    attempt = airflow.run_to_end(group.close)

    assert "Shard 00001 is not complete" in str(attempt.error)
    assert "manifest.json" not in shelf.names()
