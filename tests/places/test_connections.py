"""What is missing between a worker and a store is named, before anything is paid and without a secret."""

from __future__ import annotations

import json
import os

import pytest

from airflow_provider_qwenimage.exceptions import TransferError
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from airflow_provider_qwenimage.storage.prefix import Bucket
from airflow_provider_qwenimage.storage.s3 import S3
from harness import InMemoryAirflow


@pytest.fixture
def servers_wanted(request):
    return request.config.getoption("stores", default=False)


@pytest.mark.parametrize(
    ("prefix", "extra"), [("gs://conn@images/x/", "[gcs]"), ("abfs://conn@images/x/", "[azure]")]
)
def test_a_store_that_the_worker_does_not_know_says_what_to_install(
    servers_wanted, simulator, qwenimage_connection, prefix, extra
):
    if servers_wanted:
        pytest.skip("here it is installed")
    qwenimage_connection("tokenhot")
    task = QwenImageGenerateOperator(task_id="t", prompt="a mug", model="qwen-image-plus", persist_to=prefix)
    attempt = InMemoryAirflow().run_to_end(task)
    assert isinstance(attempt.error, TransferError)
    assert f"Install airflow-provider-qwenimage{extra}" in str(attempt.error)
    assert "Nothing was sent or billed" in str(attempt.error)
    assert (attempt.error.final, simulator.state.posts) == (True, 0)


@pytest.mark.parametrize("prefix", ["gs://nowhere@images/x/", "abfs://nowhere@images/x/"])
def test_a_connection_that_does_not_exist_is_named(servers_wanted, prefix):
    if not servers_wanted:
        pytest.skip("what would look for it is not installed")
    with pytest.raises(TransferError, match="There is no connection 'nowhere'") as caught:
        Bucket(prefix, S3(None))
    assert caught.value.final


def test_a_key_that_is_refused_is_not_told(servers_wanted, request):
    if not servers_wanted:
        pytest.skip("what would show it is not installed")
    fields = json.loads(request.getfixturevalue("azurite"))
    told = fields["extra"]["connection_string"]
    key = told.partition("AccountKey=")[2].partition(";")[0]
    wrong = f"A{key[1:]}" if key[0] != "A" else f"B{key[1:]}"
    fields["extra"]["connection_string"] = told.replace(key, wrong)
    os.environ["AIRFLOW_CONN_WRONG"] = json.dumps(fields)
    with pytest.raises(TransferError, match="abfs:// did not list") as caught:
        Bucket("abfs://wrong@images/x/", S3(None)).names()
    assert caught.value.status == 403
    assert wrong not in str(caught.value)
