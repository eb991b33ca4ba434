"""Self-hosted engines: inline images, relative URLs that take the key, and the key that goes nowhere else."""

from __future__ import annotations

import base64
import os

import pytest

from airflow_provider_qwenimage.exceptions import BlockedHost, TransferError, UnexpectedReply
from airflow_provider_qwenimage.gateway.connection import read
from airflow_provider_qwenimage.images.download import Downloads, Limits
from airflow_provider_qwenimage.operators.qwenimage import QwenImageEditOperator, QwenImageGenerateOperator
from airflow_provider_qwenimage.transfers.qwenimage_to_s3 import QwenImageToS3Operator
from harness import InMemoryAirflow
from operators.pictures import picture, served

ENGINE = "openai-compatible"


@pytest.fixture
def engine(simulator):
    simulator.state.reset()
    before = simulator.state.settings.image_format
    yield simulator
    simulator.state.settings.image_format = before


@pytest.fixture
def prefix(moto_s3):
    """Return an empty prefix, with ``aws_default`` leading to it."""
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = moto_s3.connection
    client = moto_s3.client()
    client.create_bucket(Bucket="engines")
    for entry in client.list_objects_v2(Bucket="engines").get("Contents", ()):
        client.delete_object(Bucket="engines", Key=entry["Key"])
    return "s3://engines/set/"


def generate(conn_id, **arguments):
    given = {"prompt": "a teapot", "model": "Qwen/Qwen-Image", "size": "512x512", **arguments}
    return QwenImageGenerateOperator(task_id="generate", qwenimage_conn_id=conn_id, **given)


def read_object(moto_s3, uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return moto_s3.client().get_object(Bucket=bucket, Key=key)


def test_inline_images_are_asked_for_and_stored(engine, qwenimage_connection, moto_s3, prefix):
    attempt = InMemoryAirflow().run(generate(qwenimage_connection(ENGINE), n=2, persist_to=prefix))
    assert attempt.error is None
    body = engine.state.bodies[-1]
    assert body == {
        "model": "Qwen/Qwen-Image",
        "prompt": "a teapot",
        "size": "512x512",
        "n": 2,
        "response_format": "b64_json",
    }
    assert [uri.rpartition(".")[2] for uri in attempt.result] == ["png", "png"]
    assert read_object(moto_s3, attempt.result[0])["Body"].read()[:8] == b"\x89PNG\r\n\x1a\n"
    assert engine.state.total("files") == 0


def test_a_jpeg_is_told_by_its_bytes(engine, qwenimage_connection, moto_s3, prefix):
    engine.state.settings.image_format = "jpeg"
    attempt = InMemoryAirflow().run(generate(qwenimage_connection(ENGINE), persist_to=prefix))
    assert attempt.error is None
    (uri,) = attempt.result
    assert uri.endswith(".jpg")
    assert read_object(moto_s3, uri)["ContentType"] == "image/jpeg"


def test_inline_images_without_a_place_to_store_them_are_kept_and_not_bought_again(
    engine, qwenimage_connection
):
    attempt = InMemoryAirflow().run_to_end(generate(qwenimage_connection(ENGINE), retries=2))
    assert isinstance(attempt.error, UnexpectedReply)
    assert "Set persist_to" in str(attempt.error)
    assert (attempt.try_number, engine.state.posts) == (1, 1)
    assert "response_format" not in engine.state.bodies[-1]


def test_a_relative_url_is_fetched_with_the_key(engine, qwenimage_connection, moto_s3, prefix):
    engine.fault("relative_url")
    task = QwenImageEditOperator(
        task_id="edit",
        prompt="brighter",
        images=_data_url(),
        model="Qwen/Qwen-Image-Edit",
        persist_to=prefix,
        qwenimage_conn_id=qwenimage_connection(ENGINE),
    )
    attempt = InMemoryAirflow().run(task)
    assert attempt.error is None
    (uri,) = attempt.result
    assert read_object(moto_s3, uri)["ContentType"] == "image/png"
    assert engine.state.settings.key not in str(attempt.xcoms)


def test_the_transfer_fetches_a_relative_url_with_the_key_too(engine, qwenimage_connection, prefix):
    engine.fault("relative_url")
    airflow = InMemoryAirflow()
    first = airflow.run(generate(qwenimage_connection(ENGINE)))
    assert first.result[0].startswith(f"{engine.url}/{ENGINE}/v1/images/")
    second = airflow.run(QwenImageToS3Operator(task_id="store", images=first.result, s3_prefix=prefix))
    assert second.error is None
    assert len(second.result) == 1


def test_a_signed_url_is_fetched_without_the_key(engine, qwenimage_connection, prefix):
    task = generate(qwenimage_connection(ENGINE), persist_to=prefix, parameters={"response_format": "url"})
    assert InMemoryAirflow().run(task).error is None
    assert engine.state.total("files") == 1
    assert engine.state.total("authorization_on_files") == 0


def test_a_path_on_the_engines_disk_says_how_to_get_the_image(engine, qwenimage_connection):
    engine.fault("server_path")
    attempt = InMemoryAirflow().run(generate(qwenimage_connection(ENGINE)))
    assert isinstance(attempt.error, UnexpectedReply)
    assert "a path on its own disk; set persist_to, which asks for b64_json" in str(attempt.error)


def test_an_engine_on_a_private_address_says_which_permission_is_missing(
    engine, qwenimage_connection, prefix
):
    conn_id = qwenimage_connection(ENGINE, allow_private_hosts=False)
    task = generate(conn_id, persist_to=prefix, parameters={"response_format": "url"})
    attempt = InMemoryAirflow().run(task)
    assert isinstance(attempt.error, TransferError)
    assert "Set allow_private_hosts in the qwenimage connection" in str(attempt.error)
    assert engine.state.total("files") == 0


def test_an_engines_own_parameters_pass_untouched(engine, qwenimage_connection, prefix):
    own = {"num_inference_steps": 28, "true_cfg_scale": 4.0, "kwargs": '{"lora": "poster"}'}
    task = generate(
        qwenimage_connection(ENGINE), seed=0, negative_prompt="text", parameters=own, persist_to=prefix
    )
    assert InMemoryAirflow().run(task).error is None
    body = engine.state.bodies[-1]
    assert own.items() <= body.items()
    assert (body["seed"], body["negative_prompt"]) == (0, "text")


def test_a_seed_is_on_record_only_where_xinference_read_it(engine, qwenimage_connection, prefix, capsys):
    conn_id = qwenimage_connection("xinference", host=f"{engine.url}/{ENGINE}")
    made = InMemoryAirflow().run(generate(conn_id, seed=7, size="512x512", persist_to=prefix))
    edit = QwenImageEditOperator(
        task_id="edit",
        prompt="brighter",
        images=_data_url(),
        model="Qwen/Qwen-Image-Edit",
        seed=7,
        persist_to=f"{prefix}edit/",
        qwenimage_conn_id=conn_id,
    )
    edited = InMemoryAirflow().run(edit)

    assert (made.error, edited.error) == (None, None)
    assert [run.xcoms["images"][0]["seed"] for run in (made, edited)] == [7, None]
    assert "seed: has no effect on an edit, Xinference does not read it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("base_url", "url", "sent"),
    [
        ("http://engine:8000", "http://engine:8000/v1/images/7/content", True),
        ("http://engine:8000/", "http://ENGINE:8000/v1/images/7/content", True),
        ("http://engine", "http://engine:80/v1/images/7/content", True),
        ("https://gw.example/proxy", "https://gw.example/proxy/v1/images/7/content", True),
        ("https://gw.example/proxy/v1", "https://gw.example/proxy/v1/images/7/content", True),
        ("http://engine:8000", "http://engine:8001/v1/images/7/content", False),
        ("http://engine:8000", "https://engine:8000/v1/images/7/content", False),
        ("http://engine:8000", "http://engine.evil.example:8000/v1/images/7/content", False),
        ("http://engine:8000", "http://engine:8000@evil.example/v1/images/7/content", False),
        ("http://engine:8000", "http://user@engine:8000/v1/images/7/content", False),
        ("http://engine:8000", "http://engine:port/v1/images/7/content", False),
        ("http://engine:8000", "http://engine:8000/files/7.png", False),
        ("http://engine:8000", "http://engine:8000/v1/images-of-others/7", False),
        ("http://engine:8000", "http://engine:8000/v1/images/../../files/7.png", False),
        ("http://engine:8000", "http://engine:8000/v1/images/%2e%2E/files/7.png", False),
        ("https://gw.example/proxy", "https://gw.example/v1/images/7/content", False),
    ],
)
def test_the_key_goes_to_the_gateways_own_images_and_nowhere_else(base_url, url, sent):
    headers = settings(base_url).headers_for(url)
    assert headers == ({"Authorization": "Bearer sk-engine"} if sent else {})


def test_an_engine_without_a_key_is_asked_without_one():
    assert settings("http://engine", password=None).headers_for("http://engine/v1/images/7/content") == {}


def test_a_redirect_to_another_host_loses_the_key_for_good():
    files, elsewhere_files = {"/v1/images/2/content": picture()}, {}
    with served(files) as (engine, asked), served(elsewhere_files) as (elsewhere, asked_elsewhere):
        files["/v1/images/1/content"] = f"{elsewhere}/hop"
        elsewhere_files["/hop"] = f"{engine}/v1/images/2/content"
        fetched(engine)
    assert [headers.get("Authorization") for _, headers in asked] == ["Bearer sk-engine", None]
    assert [headers.get("Authorization") for _, headers in asked_elsewhere] == [None]


def test_a_redirect_within_the_gateways_images_keeps_the_key():
    files = {"/v1/images/1/content": "/v1/images/2/content", "/v1/images/2/content": picture()}
    with served(files) as (engine, asked):
        fetched(engine)
    assert [headers.get("Authorization") for _, headers in asked] == ["Bearer sk-engine"] * 2


def test_a_download_that_knows_no_connection_sends_no_key():
    with served({"/v1/images/1/content": picture()}) as (engine, asked):
        fetched(engine, downloads=Downloads(limits=Limits(allow_private_hosts=True)))
    assert "Authorization" not in asked[0][1]


def test_the_key_does_not_open_private_addresses():
    with served({"/v1/images/1/content": picture()}) as (engine, asked):
        guarded = Downloads(authorize=settings(engine).headers_for)
        with guarded, pytest.raises(BlockedHost):
            guarded.fetch(f"{engine}/v1/images/1/content")
    assert asked == []


def settings(base_url, *, password="sk-engine"):  # noqa: S107
    return read(host=base_url, port=None, schema=None, password=password, extra={})


def fetched(base_url, *, downloads=None):
    limits = Limits(allow_private_hosts=True)
    downloads = downloads or Downloads(limits=limits, authorize=settings(base_url).headers_for)
    with downloads, downloads.fetch(f"{base_url}/v1/images/1/content"):
        return


def _data_url():
    return f"data:image/png;base64,{base64.b64encode(picture()).decode()}"


def test_a_gateway_that_is_no_engine_is_never_shown_its_own_key_again():
    """Its images lie with an object store, even where that answers under the API's own address."""
    extra = {"gateway": "tokenhot"}
    gateway = read(host="https://gw.test", port=None, schema=None, password="sk-tokenhot", extra=extra)
    assert gateway.headers_for("https://gw.test/v1/images/x/content") == {}
