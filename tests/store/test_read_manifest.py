"""What a downstream task reads of a stored set, in one call."""

from __future__ import annotations

import os

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.manifests import read_manifest
from airflow_provider_qwenimage.models.manifest import Failure, Manifest, StoredImage

IMAGE = StoredImage(
    uri="s3://b/p/000-aa.png", index=0, content_type="image/png", bytes=3, sha256="aa", width=1, height=2
)
SET = Manifest(dag_id="d", images=(IMAGE,), failures=(Failure(index=1, reason="gone"),))


@pytest.fixture
def prefix(bucket, s3):
    s3.client().put_object(Bucket=bucket, Key="set/manifest.json", Body=SET.dump())
    return f"s3://{bucket}/set/"


@pytest.mark.parametrize("named", ["{}manifest.json", "{}", " {}manifest.json\n"])
def test_a_manifest_is_read_by_its_address_or_its_prefix(prefix, named):
    manifest = read_manifest(named.format(prefix))
    assert (manifest.images, manifest.failures) == (SET.images, SET.failures)


def test_the_xcom_key_of_a_task_names_it(prefix):
    assert read_manifest({"uri": f"{prefix}manifest.json"}).dag_id == "d"


def test_a_connection_of_another_name_may_read_it(prefix):
    os.environ["AIRFLOW_CONN_AWS_READER"] = os.environ.pop("AIRFLOW_CONN_AWS_DEFAULT")
    assert read_manifest(prefix, aws_conn_id="aws_reader").images


def test_a_set_that_is_not_complete_has_none_and_no_retry_waits_for_it(prefix):
    with pytest.raises(TransferError, match=r"manifest\.json once it is complete") as caught:
        read_manifest(f"{prefix}of-another/")
    assert isinstance(caught.value, AirflowFailException)


def test_what_is_no_manifest_is_refused_by_its_address(prefix, bucket, s3):
    s3.client().put_object(Bucket=bucket, Key="set/other.json", Body=b'{"name": "My app"}')
    with pytest.raises(InvalidRequest, match=r"other\.json: is not a manifest of this provider"):
        read_manifest(f"{prefix}other.json")


@pytest.mark.parametrize(
    "named", [None, "", "manifest.json", {"url": "s3://b/p/manifest.json"}, ["s3://b/p/"]]
)
def test_what_names_no_object_is_refused_and_s3_not_asked(named):
    with pytest.raises(InvalidRequest, match="uri: must be s3://"):
        read_manifest(named, aws_conn_id="no_such_connection")


def test_a_dag_file_may_import_it_for_nothing(in_subprocess):
    code = "import sys, airflow_provider_qwenimage.manifests; print('pydantic' in sys.modules, 'boto3' in sys.modules)"
    assert in_subprocess(code).split()[-2:] == ["False", "False"]
