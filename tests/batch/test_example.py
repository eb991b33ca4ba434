"""The campaign example runs as it is copied: a file in S3 becomes images, one refused row and all."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

from harness import InMemoryAirflow

FILE = Path(__file__).parent.parent.parent / "example_dags" / "campaign_batch.py"


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
