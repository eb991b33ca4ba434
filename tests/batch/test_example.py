"""The campaign example runs as it is copied: a file in S3 becomes images, one refused row and all."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

from harness import InMemoryAirflow

EXAMPLES = Path(__file__).parent.parent.parent / "example_dags"
FILE = EXAMPLES / "campaign_batch.py"


def test_the_campaign_goes_from_a_file_to_a_manifest(gateway, rclone_s3, qwenimage_connection, capsys):
    bag = DagBag(dag_folder=str(FILE))
    assert bag.import_errors == {}
    dag = bag.dags["campaign_batch"]
    qwenimage_connection("tokenhot", model="qwen-image-plus")
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = rclone_s3.connection
    client = rclone_s3.client()
    if "marketing-assets" not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket="marketing-assets")
    rows = b'{"prompt": "a mug"}\n{"prompt": "a bad mug [fault:moderation]"}\n{"prompt": "a lamp", "size": "16:9"}\n'
    client.put_object(Bucket="marketing-assets", Key="prompts.jsonl", Body=rows)
    airflow = InMemoryAirflow(dag_id=dag.dag_id)
    campaign, report = (airflow.run_to_end(dag.task_dict[name]) for name in ("campaign", "report"))

    assert campaign.state == report.state == "success"
    assert len(campaign.result) == 2
    assert report.result == {"images": 2, "failures": 1}
    assert "image 1: " in capsys.readouterr().out


def test_the_product_campaign_goes_from_a_list_to_images_named_by_market_and_sku(
    gateway, rclone_s3, qwenimage_connection, capsys
):
    bag = DagBag(dag_folder=str(EXAMPLES / "product_campaign.py"))
    assert bag.import_errors == {}
    dag = bag.dags["product_campaign"]
    price = {"qwen-image-plus": 0.2, "currency": "CNY"}
    qwenimage_connection("tokenhot", model="qwen-image-plus", price_per_image=price)
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = rclone_s3.connection
    client = rclone_s3.client()
    if "marketing-assets" not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket="marketing-assets")
    rows = (
        "sku,market,name,colour\nA/1,DE,a mug,red\nA/1,FR,a mug,red\n"
        "B-2,DE,a lamp [fault:moderation],blue\nB-2,FR,a lamp,blue\n"
    )
    client.put_object(Bucket="marketing-assets", Key="products.csv", Body=rows.encode())
    airflow = InMemoryAirflow(dag_id=dag.dag_id)

    planned = airflow.run_to_end(dag.task_dict["campaign.plan"])
    shards = [
        airflow.run_to_end(dag.task_dict["campaign.shards"], map_index=n) for n in range(len(planned.result))
    ]
    closed, report = (airflow.run_to_end(dag.task_dict[name]) for name in ("campaign.close", "report"))

    # The shard whose only product was refused is no reason to end the campaign.
    assert [attempt.state for attempt in (planned, *shards)] == ["success"] * 5, shards[2].error
    assert [uri.partition("shards/")[2] for uri in closed.result] == [
        "00000/DE/A-1.png",
        "00001/FR/A-1.png",
        "00003/FR/B-2.png",
    ]
    assert report.result == {"DE": 1, "FR": 2}
    assert "B-2 for DE: " in capsys.readouterr().out
