"""Asset partitions in a whole Airflow: a market's Dag runs when its images are there."""

from __future__ import annotations

from e2e.airflow_cluster import Run, eventually

ROWS = "sku,market,name\nA-1,DE,a mug\nA-1,FR,a mug\nB-2,DE,a lamp\n"


def test_each_market_is_launched_with_its_own_images(airflow, gateway, rclone_s3):
    rclone_s3.client().put_object(Bucket="images", Key="markets.csv", Body=ROWS.encode())
    made = airflow.trigger("market_images", products="s3://images/markets.csv", bucket="images")
    assert airflow.wait_for(made) == "success"
    eventually(lambda: len(launches(airflow)) == 2, "both markets to be launched")

    found = launches(airflow)
    assert {market: airflow.wait_for(run) for market, run in found.items()} == {
        "DE": "success",
        "FR": "success",
    }
    images = {market: airflow.xcom(run, "launch") for market, run in found.items()}
    assert {
        market: [uri.partition("shards/")[2][len("00000/") :] for uri in uris]
        for market, uris in images.items()
    } == {
        "DE": ["DE/A-1.png", "DE/B-2.png"],
        "FR": ["FR/A-1.png"],
    }
    assert gateway.state.posts == gateway.state.billed == 3


def launches(airflow):
    """Return the runs of the consumer by the partition they are of."""
    runs = airflow.call("GET", "/dags/market_launch/dagRuns")["dag_runs"]
    return {each["partition_key"]: Run("market_launch", each["dag_run_id"]) for each in runs}
