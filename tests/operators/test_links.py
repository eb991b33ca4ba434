"""The addresses behind the extra links, as the task runner asks for them when a task ends."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_qwenimage.defaults import DOCUMENTATION
from airflow_provider_qwenimage.models.manifest import Outcome
from airflow_provider_qwenimage.operators import links
from airflow_provider_qwenimage.operators.links import BucketLink, DocumentationLink, ImagesLink, ManifestLink
from airflow_provider_qwenimage.operators.qwenimage import QwenImageEditOperator
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator
from operators.test_signatures import OPERATORS

DOCS = Path(__file__).parents[2] / "docs"


class Key:
    """What names a task instance."""

    dag_id, run_id, task_id, map_index = "d", "manual__2026-11-21T06:00:00+00:00", "g.store", -1


@pytest.fixture
def operator(dag):
    return QwenImageToS3Operator(task_id="store", images=[], s3_prefix="s3://bucket/p/", dag=dag)


@pytest.fixture
def ended(operator):
    operator.outcome = Outcome((), manifest="s3://bucket/a folder/manifest.json")
    return operator


def test_the_images_link_leads_to_the_tab(operator):
    link = ImagesLink().get_link(operator, ti_key=Key)
    assert link == "dags/d/runs/manual__2026-11-21T06%3A00%3A00%2B00%3A00/tasks/g.store/plugin/qwenimage"


def test_a_mapped_task_has_its_own_tab(operator):
    key = type("Mapped", (Key,), {"map_index": 3})
    assert ImagesLink().get_link(operator, ti_key=key).endswith("/tasks/g.store/mapped/3/plugin/qwenimage")


def test_links_are_below_the_address_airflow_has(operator):
    os.environ["AIRFLOW__API__BASE_URL"] = "https://airflow.example/path/"
    assert ImagesLink().get_link(operator, ti_key=Key).startswith("https://airflow.example/path/dags/d/")


def test_the_manifest_is_linked_where_there_is_one(operator, ended):
    address = urlsplit(ManifestLink().get_link(ended, ti_key=Key))
    assert address.path == "qwenimage/manifest"
    named = {"dag_id": ["d"], "run_id": [Key.run_id], "task_id": ["g.store"], "map_index": ["-1"]}
    assert parse_qs(address.query) == named


def test_without_a_manifest_there_is_nothing_to_link(operator):
    assert [link().get_link(operator, ti_key=Key) for link in (ManifestLink, BucketLink)] == ["", ""]


def aws(**extra):
    fields = {"conn_type": "aws", "login": "k", "password": "secret-key", "extra": extra}
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(fields)


def test_amazons_own_s3_has_a_console(ended):
    aws(region_name="eu-central-1")
    assert BucketLink().get_link(ended, ti_key=Key) == (
        "https://console.aws.amazon.com/s3/buckets/bucket?region=eu-central-1&prefix=a+folder%2F"
    )


def test_another_s3_server_has_no_console(ended):
    aws(region_name="us-east-1", endpoint_url="http://127.0.0.1:9000")
    assert BucketLink().get_link(ended, ti_key=Key) == ""


@pytest.mark.parametrize(
    ("operator", "page"), [(QwenImageToS3Operator, "transfer"), (QwenImageEditOperator, "edit")]
)
def test_the_documentation_of_an_operator_is_one_click_away(operator, page, dag):
    class Own(operator):
        """An author's own form of it, which is documented where ours is."""

    arguments = {"s3_prefix": "s3://bucket/p/"} if page == "transfer" else {"prompt": "p"}
    for kind in (operator, Own):
        task = kind(task_id=kind.__name__, images=[], dag=dag, **arguments)
        assert DocumentationLink().get_link(task, ti_key=Key) == f"{DOCUMENTATION}{page}/"


def test_a_deployment_shows_its_own_copy_of_the_documentation_or_none(operator):
    os.environ["AIRFLOW__QWENIMAGE__DOCUMENTATION_URL"] = "https://docs.example/qwenimage"
    assert DocumentationLink().get_link(operator, ti_key=Key) == "https://docs.example/qwenimage/transfer/"
    os.environ["AIRFLOW__QWENIMAGE__DOCUMENTATION_URL"] = ""
    assert DocumentationLink().get_link(operator, ti_key=Key) == ""


def test_every_page_an_operator_leads_to_is_there():
    assert [page for page in links._PAGES.values() if page and not (DOCS / f"{page}.md").exists()] == []
    assert {kind.__name__ for kind in OPERATORS} <= set(links._PAGES)
