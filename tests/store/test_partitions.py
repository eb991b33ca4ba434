"""An event for each text of a label, as Airflow's partitioned assets expect."""

from __future__ import annotations

import json
import os

import airflow.sdk
import pytest
from airflow.sdk import Asset, AssetAlias

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator
from harness import run_task


@pytest.fixture(autouse=True)
def _gateway():
    extra = {"gateway": "openai-compatible", "allow_private_hosts": True}
    fields = {"conn_type": "qwenimage", "host": "http://127.0.0.1:1", "extra": extra}
    os.environ["AIRFLOW_CONN_QWENIMAGE_DEFAULT"] = json.dumps(fields)


@pytest.fixture
def transfer(prefix):
    def make(**arguments):
        given = {"task_id": "store", "s3_prefix": prefix, "outlets": [Asset("s3://marketing/markets")]}
        return QwenImageToS3Operator(**{**given, **arguments})

    return make


def labelled(files, *markets):
    return [
        {"url": url, "labels": {"season": "spring", **({"market": market} if market is not None else {})}}
        for url, market in zip(files.images(len(markets)), markets, strict=True)
    ]


def keys(attempt):
    return sorted(event.get("partition_key", "") or "" for event in attempt.outlet_events)


def test_outlets_get_an_event_for_each_partition(files, transfer, prefix):
    attempt = run_task(transfer(images=labelled(files, "DE", "FR", "DE", "日本/🦊"), partition_by="market"))

    assert attempt.error is None
    assert keys(attempt) == ["DE", "FR", "日本/🦊"]
    assert attempt.outlet_events[0]["extra"] == {
        "manifest": f"{prefix}manifest.json", "count": 4, "labels": {"season": "spring"},
        "partition_by": "market",
    }  # fmt: skip


def test_without_it_there_is_one_event_of_no_partition(files, transfer):
    attempt = run_task(transfer(images=labelled(files, "DE", "FR")))

    assert keys(attempt) == [""]
    assert "partition_by" not in attempt.outlet_events[0]["extra"]


@pytest.mark.parametrize("market", [None, " ", "x" * 251])
def test_an_image_of_no_partition_is_stored_all_the_same_and_told(files, transfer, market, capsys):
    attempt = run_task(transfer(images=labelled(files, "DE", market), partition_by="market"))

    assert len(attempt.result) == 2
    assert keys(attempt) == ["DE"]
    assert "1 of 2 images are of no partition" in capsys.readouterr().out


def test_an_alias_has_no_partitions_and_is_refused_when_the_dag_is_parsed(transfer):
    with pytest.raises(InvalidRequest, match="outlets: holds an AssetAlias"):
        transfer(images=[], partition_by="market", outlets=[AssetAlias("markets")])
    transfer(images=[], outlets=[AssetAlias("markets")])


@pytest.mark.parametrize("partition_by", ["market", "{{ 'market' }}"])
def test_an_airflow_without_them_is_named_before_anything_is_fetched(
    files, transfer, objects, monkeypatch, partition_by
):
    names = [name for name in airflow.sdk.__all__ if name != "PartitionedAtRuntime"]
    monkeypatch.setattr(airflow.sdk, "__all__", names)
    with pytest.raises(InvalidRequest, match=r"partition_by: .*needs Airflow 3\.3"):
        raise run_task(transfer(images=labelled(files, "DE"), partition_by=partition_by)).error
    assert (objects.names(), files.seen) == ([], [])


@pytest.mark.parametrize("partition_by", ["", None, "{{ none }}"])
def test_no_label_is_no_partition(files, transfer, partition_by):
    assert keys(run_task(transfer(images=labelled(files, "DE"), partition_by=partition_by))) == [""]
