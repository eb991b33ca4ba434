"""``QwenImageToS3Operator`` as Airflow runs it."""

from __future__ import annotations

import json
import os

import httpx
import pytest
from airflow.sdk import Asset, BaseOperator

from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferIncomplete
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator
from harness import InMemoryAirflow, as_template, run_task
from store.file_server import Answer, png


class Gives(BaseOperator):
    """Returns what it was given."""

    def __init__(self, *, value, **kwargs):
        super().__init__(**kwargs)
        self.value = value

    def execute(self, context):
        return self.value


@pytest.fixture(autouse=True)
def _gateway(request):
    """A gateway connection that allows loopback, for every test that does not ask for another."""
    extra = {"gateway": "openai-compatible", "allow_private_hosts": True}
    fields = {"conn_type": "qwenimage", "host": "http://127.0.0.1:1", "extra": extra}
    os.environ["AIRFLOW_CONN_QWENIMAGE_DEFAULT"] = json.dumps(fields)


@pytest.fixture
def transfer(prefix):
    def make(**arguments):
        return QwenImageToS3Operator(**{"task_id": "transfer", "s3_prefix": prefix, **arguments})

    return make


def test_uris_come_back_in_input_order_with_what_was_stored(files, transfer, prefix, objects):
    attempt = run_task(transfer(images=files.images(3)))
    assert attempt.state == "success"
    assert [uri.startswith(f"{prefix}{index:03d}-") for index, uri in enumerate(attempt.result)] == [True] * 3
    assert attempt.xcoms["manifest"] == {"uri": f"{prefix}manifest.json"}
    assert [image["uri"] for image in attempt.xcoms["stored"]] == attempt.result
    assert set(attempt.xcoms) == {"return_value", "stored", "manifest"}
    written = json.loads(objects.read("manifest.json"))
    assert written["images"] == attempt.xcoms["stored"]
    assert (written["dag_id"], written["run_id"], written["task_id"], written["map_index"]) == (
        "harness", "manual__2026-11-21", "transfer", -1,
    )  # fmt: skip
    assert "Signature" not in json.dumps([attempt.xcoms, written])


def test_what_an_upstream_task_returns_is_taken(files, transfer):
    airflow = InMemoryAirflow()
    upstream = Gives(task_id="upstream", value=[files.images(2), [{"url": files.images(3)[2], "seed": 5}]])
    airflow.run(upstream)
    attempt = airflow.run(transfer(images=upstream.output))
    assert [image["seed"] for image in attempt.xcoms["stored"]] == [None, None, 5]


def test_the_outputs_of_a_mapped_task_are_one_set_in_order(files, transfer, dag):
    airflow = InMemoryAirflow()
    with dag:
        upstream = Gives.partial(task_id="upstream").expand(value=[files.images(2), [files.images(3)[2]]])
        task = transfer(images=upstream.output)
    for index in range(2):
        airflow.run(upstream, map_index=index)
    attempt = airflow.run(task)
    assert [image["url"].rpartition("/")[2] for image in attempt.xcoms["stored"]] == [
        "0.png",
        "1.png",
        "2.png",
    ]


def test_what_a_template_renders_is_taken(files, transfer, prefix):
    airflow = InMemoryAirflow(variables={"rule": "replace", "threads": "2"})
    airflow.run(Gives(task_id="upstream", value=files.images(2)))
    attempt = airflow.run(
        transfer(
            images="{{ ti.xcom_pull('upstream') }}",
            s3_prefix=f"{prefix}{{{{ run_id }}}}/{{{{ ti.task_id }}}}",
            filename="{% raw %}{index}-{sha8}.{ext}{% endraw %}",
            if_exists="{{ var.value.rule }}",
            max_concurrency="{{ var.value.threads }}",
            max_image_bytes="1000000",
            extra_args='{"ContentLanguage": "de"}',
        )
    )
    assert attempt.state == "success", attempt.error
    assert attempt.result[1].startswith(f"{prefix}manual__2026-11-21/transfer/1-")


def test_names_with_braces_need_no_escape(files, transfer):
    attempt = run_task(transfer(images=files.images(1), filename="{index:05d}.{ext}"))
    assert attempt.result[0].endswith("/00000.png")


def test_every_outlet_learns_of_the_set(files, transfer, prefix):
    outlets = [Asset("s3://assets/a"), Asset("s3://assets/b")]
    attempt = run_task(transfer(images=files.images(2), outlets=outlets))
    told = {"manifest": f"{prefix}manifest.json", "count": 2}
    assert [event["extra"] for event in attempt.outlet_events] == [told, told]


def test_no_xcom_is_pushed_when_none_is_wanted(files, transfer):
    attempt = run_task(transfer(images=files.images(1), do_xcom_push=False))
    assert (attempt.state, attempt.xcoms) == ("success", {})


def test_what_is_stored_is_pushed_before_the_error_and_the_manifest_is_not(files, transfer, objects):
    images = [*files.images(1), files.put("/x.png", b"<html>")]
    attempt = run_task(transfer(images=images, outlets=[Asset("s3://assets/a")]))
    assert isinstance(attempt.error, TransferIncomplete)
    assert [image["index"] for image in attempt.xcoms["stored"]] == [0]
    assert [failure["index"] for failure in attempt.xcoms["failures"]] == [1]
    assert "manifest" not in attempt.xcoms
    assert "manifest.json" not in objects.names()


def test_partial_success_is_success_with_failures(files, transfer, prefix):
    images = [*files.images(1), files.put("/x.png", b"<html>")]
    attempt = run_task(transfer(images=images, on_error="partial"))
    assert attempt.state == "success"
    assert len(attempt.result) == 1
    assert attempt.xcoms["manifest"] == {"uri": f"{prefix}manifest.json"}
    assert attempt.xcoms["failures"][0]["index"] == 1


def test_a_retry_completes_the_set(files, transfer, objects):
    files.put("/late.png", Answer(status=404), png(9))
    airflow = InMemoryAirflow()
    task = transfer(images=[*files.images(1), f"{files.url}/late.png"], retries=1)
    assert airflow.run(task).state == "up_for_retry"
    assert airflow.run(task).state == "success"
    assert len(objects.names()) == 3
    assert len(files.requests("/0.png")) == 1


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"images": []}, "images"),
        ({"images": [{"prompt": "p"}]}, "images[0]"),
        ({"s3_prefix": "gs://b/p"}, "s3_prefix"),
        ({"s3_prefix": None}, "s3_prefix"),
        ({"filename": "{name}"}, "filename"),
        ({"if_exists": "maybe"}, "if_exists"),
        ({"max_concurrency": "two"}, "max_concurrency"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"max_image_bytes": True}, "max_image_bytes"),
        ({"extra_args": "[1]"}, "extra_args"),
        ({"extra_args": {"Nonsense": 1}}, "extra_args"),
        ({"on_error": "ignore"}, "on_error"),
    ],
)
def test_bad_input_fails_the_task_at_once_and_names_the_field(files, transfer, arguments, field):
    attempt = run_task(transfer(**{"images": files.images(1), "retries": 3, **as_template(arguments)}))
    assert isinstance(attempt.error, InvalidRequest)
    assert attempt.error.field == field
    assert attempt.state == "failed"
    assert files.seen == []


def test_a_transfer_needs_no_gateway_connection(files, transfer):
    del os.environ["AIRFLOW_CONN_QWENIMAGE_DEFAULT"]
    attempt = run_task(transfer(images=files.images(1)))
    assert "allow_private_hosts" in attempt.error.failures[0]["reason"]
    assert files.seen == []


def test_the_constructor_takes_anything_and_connects_to_nothing():
    task = QwenImageToS3Operator(
        task_id="t", images="{{ x }}", s3_prefix="{{ y }}", max_concurrency="{{ z }}", if_exists="{{ w }}"
    )
    assert set(task.template_fields) >= {"images", "s3_prefix", "max_concurrency", "if_exists", "filename"}
    assert task.max_concurrency == "{{ z }}"


def test_mapped_transfers_name_their_objects_by_map_index(files, transfer, prefix):
    attempt = InMemoryAirflow().run(
        transfer(
            images=files.images(1),
            filename="{map_index}-{sha8}.{ext}",
            s3_prefix=f"{prefix}{{{{ ti.map_index }}}}/",
        ),
        map_index=3,
    )
    assert attempt.result[0].startswith(f"{prefix}3/3-")


class Draws(Gives):
    """Returns bare URLs and pushes their image objects, as an image operator does."""

    def execute(self, context):
        context["ti"].xcom_push(key="images", value=self.value)
        return [image["url"] for image in self.value]


def drawn(urls, prompt):
    return [{"url": url, "index": index, "prompt": prompt, "model": "wan"} for index, url in enumerate(urls)]


def test_bare_urls_find_the_image_objects_that_a_task_before_pushed(files, transfer, dag, objects, capsys):
    urls = files.images(3)
    airflow = InMemoryAirflow()
    with dag:
        draw = Draws.partial(task_id="draw").expand(
            value=[drawn(urls[:2], "a cat"), drawn(urls[2:], "a cup")]
        )
        pick = Gives(task_id="pick", value=urls)
        store = transfer(images=pick.output, filename="{model}-{index}.{ext}")
        draw >> pick
    for index in range(2):
        airflow.run(draw, map_index=index)
    airflow.run(pick)
    attempt = airflow.run(store)
    assert attempt.state == "success", attempt.error
    written = json.loads(objects.read("manifest.json"))
    assert [image["prompt"] for image in written["images"]] == ["a cat", "a cat", "a cup"]
    assert [uri.rpartition("/")[2] for uri in attempt.result] == ["wan-0.png", "wan-1.png", "wan-2.png"]
    assert "bare URLs" not in capsys.readouterr().out


def test_bare_urls_that_nobody_described_are_stored_and_said_once(files, transfer, dag, capsys):
    airflow = InMemoryAirflow()
    with dag:
        first = Draws(task_id="first", value=[])
        upstream = Gives(task_id="upstream", value=files.images(2))
        store = transfer(images=upstream.output)
        first >> upstream
    airflow.run(first)
    airflow.run(upstream)
    attempt = airflow.run(store)
    assert attempt.state == "success", attempt.error
    assert capsys.readouterr().out.count("2 of 2 images are bare URLs") == 1


def test_an_image_is_stored_where_what_is_told_of_it_cannot_be_read(
    files, transfer, dag, capsys, monkeypatch
):
    airflow = InMemoryAirflow()
    with dag:
        upstream = Gives(task_id="upstream", value=files.images(1))
        store = transfer(images=upstream.output)
    airflow.run(upstream)
    answer = airflow.api._xcoms
    refused = lambda request, *parts: (  # noqa: E731
        httpx.Response(403, json={"detail": "no"}) if "images" in parts else answer(request, *parts)
    )
    monkeypatch.setattr(airflow.api, "_xcoms", refused)
    attempt = airflow.run(store)
    assert attempt.state == "success", attempt.error
    assert "bare URLs" in capsys.readouterr().out
