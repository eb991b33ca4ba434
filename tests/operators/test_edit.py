"""Input images arrive at every gateway in the shape it takes, in the author's order, and only when the model takes them."""

from __future__ import annotations

import base64
import json
import os
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.gateway.inputs import encoded
from airflow_provider_qwenimage.operators.qwenimage import QwenImageEditOperator
from harness import InMemoryAirflow
from operators.pictures import BLUE, GREEN, RED, opened, order_drawn, picture, served

INLINING = ["tokenhot", "onetoken", "applerouter", "dashscope", "dashscope-intl", "dashscope-compatible"]
GATEWAYS = [*INLINING, "tokenhub", "openai-compatible"]
DATA_URL = "data:image/png;base64," + base64.b64encode(picture()).decode()


@pytest.fixture
def gateway(simulator):
    simulator.state.settings.job_seconds = 0.1
    return simulator


@pytest.fixture
def stored(s3, bucket):
    """Put bytes into S3 and return their URI."""

    def put(name, content):
        s3.client().put_object(Bucket=bucket, Key=f"photos/{name}", Body=content)
        return f"s3://{bucket}/photos/{name}"

    return put


def edit(conn_id, images, **arguments):
    given = {
        "prompt": "put image 1 beside image 2",
        "model": "qwen-image-2.0",
        "poll_interval": 0.05,
        **arguments,
    }
    return QwenImageEditOperator(task_id="edit", qwenimage_conn_id=conn_id, images=images, **given)


def on(gateway):
    """Return what an edit needs beside its images: engines are asked for URLs, so that the result can be looked at."""
    if gateway == "openai-compatible":
        return {"model": "Qwen/Qwen-Image-Edit", "parameters": {"response_format": "url"}}
    return {}


def images_of(body):
    """Return the input images of a body, whatever its shape."""
    if "input" not in body:
        given = body.get("image", body.get("images", ()))
        return [given] if isinstance(given, str) else list(given)
    if "images" in body["input"]:
        return body["input"]["images"]
    return [part["image"] for part in body["input"]["messages"][0]["content"] if "image" in part]


@pytest.mark.parametrize("name", GATEWAYS)
def test_two_images_in_s3_reach_every_gateway_in_order(gateway, qwenimage_connection, stored, name):
    first, second = stored("red.png", picture(RED)), stored("blue.png", picture(BLUE))
    conn_id = qwenimage_connection(name)
    for images, drawn in (([first, second], [RED, BLUE]), ([second, first], [BLUE, RED])):
        attempt = InMemoryAirflow().run(edit(conn_id, images, **on(name)))
        assert attempt.error is None
        (url,) = attempt.result
        assert order_drawn(gateway.content(url), 2) == drawn


@pytest.mark.parametrize("name", GATEWAYS)
def test_two_urls_reach_every_gateway_in_order(gateway, qwenimage_connection, name):
    files = {"/red.png": picture(RED), "/blue.png": picture(BLUE)}
    with served(files) as (base, asked):
        task = edit(qwenimage_connection(name), [f"{base}/blue.png", f"{base}/red.png"], **on(name))
        attempt = InMemoryAirflow().run(task)
        paths = [path for path, _ in asked]

    assert attempt.error is None
    (url,) = attempt.result
    assert order_drawn(gateway.content(url), 2) == [BLUE, RED]
    assert paths == ["/blue.png", "/red.png"], (
        "each is fetched once: by the gateway, or by us where it takes files"
    )
    if name != "openai-compatible":
        assert images_of(gateway.state.bodies[-1]) == [f"{base}/blue.png", f"{base}/red.png"]
    assert all("Authorization" not in headers for _, headers in asked)


@pytest.mark.parametrize("name", INLINING)
def test_an_image_in_s3_is_inlined_with_the_type_its_bytes_have(gateway, qwenimage_connection, stored, name):
    photo = picture(GREEN, kind="JPEG")
    attempt = InMemoryAirflow().run(edit(qwenimage_connection(name), stored("photo.png", photo)))
    assert attempt.error is None
    (sent,) = images_of(gateway.state.bodies[-1])
    assert sent == "data:image/jpeg;base64," + base64.b64encode(photo).decode()


def test_a_gateway_that_takes_only_urls_gets_signed_ones(gateway, qwenimage_connection, stored, s3):
    uris = [stored("red one.png", picture(RED)), stored("blue.png", picture(BLUE))]
    attempt = InMemoryAirflow().run(edit(qwenimage_connection("tokenhub"), uris))
    assert attempt.error is None
    for sent, uri in zip(images_of(gateway.state.bodies[-1]), uris, strict=True):
        parts = urlsplit(sent)
        assert sent.startswith(f"{s3.url}/")
        assert uri.rpartition("/")[2].replace(" ", "%20") in parts.path
        query = parse_qs(parts.query)
        assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
        assert query["X-Amz-Expires"] == ["3600"]
    assert "X-Amz" not in str(attempt.xcoms)


def test_a_retry_replays_although_the_signed_urls_differ(gateway, qwenimage_connection, moto_s3):
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = moto_s3.connection
    moto_s3.client().create_bucket(Bucket="replayed")
    moto_s3.client().put_object(Bucket="replayed", Key="red.png", Body=picture())
    airflow = InMemoryAirflow()
    task = edit(qwenimage_connection("tokenhub"), "s3://replayed/red.png", retries=1)

    first = airflow.run(task)
    airflow.lose_report(task)
    second = airflow.run(task)

    assert (first.state, second.state, second.result) == ("success", "success", first.result)
    assert gateway.state.posts == 1


def test_an_engine_gets_files_in_a_multipart_form(gateway, qwenimage_connection, stored, tmp_path):
    contents = [picture(RED), picture(BLUE), picture(GREEN, kind="JPEG"), picture(GREEN, kind="WEBP")]
    local = tmp_path / "blue.png"
    local.write_bytes(contents[1])
    with served({"/green": contents[2]}) as (base, _):
        images = [stored("red", contents[0]), str(local), f"{base}/green", _data_url(contents[3])]
        conn_id = qwenimage_connection("openai-compatible")
        attempt = InMemoryAirflow().run(edit(conn_id, images, **on("openai-compatible")))
    assert attempt.error is None
    seen = gateway.state.requests[-1]
    assert seen.path.endswith("/v1/images/edits")
    assert seen.headers["content-type"].startswith("multipart/form-data")
    assert seen.body["images"] == [f"<{len(content)} bytes>" for content in contents]
    assert order_drawn(gateway.content(attempt.result[0]), 4)[:2] == [RED, BLUE]


def test_an_engine_on_a_private_address_needs_the_permission_and_the_error_says_so(
    gateway, qwenimage_connection
):
    with served({"/red.png": picture()}) as (base, asked):
        conn_id = qwenimage_connection("openai-compatible", allow_private_hosts=False)
        attempt = InMemoryAirflow().run(edit(conn_id, f"{base}/red.png", **on("openai-compatible")))
    assert isinstance(attempt.error, InvalidRequest)
    assert attempt.error.field == "images[0]"
    assert "allow_private_hosts" in str(attempt.error)
    assert (asked, gateway.state.posts) == ([], 0)


@pytest.mark.parametrize("name", ["tokenhot", "openai-compatible"])
def test_data_urls_and_local_files_are_checked_and_inlined(gateway, qwenimage_connection, tmp_path, name):
    local = tmp_path / "blue.bin"
    local.write_bytes(picture(BLUE))
    attempt = InMemoryAirflow().run(edit(qwenimage_connection(name), [DATA_URL, str(local)], **on(name)))
    assert attempt.error is None
    assert order_drawn(gateway.content(attempt.result[0]), 2) == [RED, BLUE]


@pytest.mark.parametrize("where", ["s3", "data", "disk"])
def test_a_box_beyond_an_image_that_passes_through_the_worker_is_refused(
    gateway, qwenimage_connection, stored, tmp_path, where
):
    path = tmp_path / "red.png"
    path.write_bytes(picture(size=(400, 300)))
    data = "data:image/png;base64," + base64.b64encode(picture(size=(400, 300))).decode()
    image = {"s3": stored("red.png", picture(size=(400, 300))), "data": data, "disk": str(path)}[where]
    arguments = {"model": "wan2.7-image", "size": "1K", "retries": 2}
    conn_id = qwenimage_connection("tokenhot")
    attempt = InMemoryAirflow().run(
        edit(conn_id, [image, image], boxes=[[], [[0, 0, 300, 400]]], **arguments)
    )
    assert isinstance(attempt.error, InvalidRequest)
    assert attempt.error.field == "boxes[1]"
    assert "[0, 0, 300, 400] reaches beyond the image, which is 400*300" in str(attempt.error)
    assert (attempt.state, gateway.state.posts) == ("failed", 0)
    assert InMemoryAirflow().run(edit(conn_id, image, boxes=[[[0, 0, 400, 300]]], **arguments)).error is None


def test_a_box_of_a_photo_that_is_stored_lying_is_measured_upright(gateway, qwenimage_connection, stored):
    photo = stored("photo.jpg", picture(size=(400, 300), kind="JPEG"))
    arguments = {"model": "wan2.7-image", "size": "1K", "boxes": [[[0, 0, 300, 400]]]}
    assert InMemoryAirflow().run(edit(qwenimage_connection("tokenhot"), photo, **arguments)).error is None


def test_boxes_are_drawn_into_the_image_they_belong_to(gateway, qwenimage_connection):
    images = [_data_url(picture(colour, (1024, 1024))) for colour in (BLUE, GREEN)]
    boxes = "[[], [[0, 0, 1024, 1024]]]"  # as a template renders it
    task = edit(qwenimage_connection("tokenhot"), images, boxes=boxes, model="wan2.7-image", size="1K")
    attempt = InMemoryAirflow().run(task)
    assert attempt.error is None
    assert gateway.state.bodies[-1]["parameters"]["bbox_list"] == [[], [[0, 0, 1024, 1024]]]
    image = opened(gateway.content(attempt.result[0])).convert("RGB")
    width, height = image.size
    framed = [image.getpixel((x, height - 2)) == RED for x in (width // 4, width * 3 // 4)]
    assert framed == [False, True]


def test_images_are_templated_and_mapped(gateway, qwenimage_connection, dag):
    conn_id = qwenimage_connection("tokenhot")
    airflow = InMemoryAirflow(dag_id=dag.dag_id)
    with dag:
        task = QwenImageEditOperator.partial(
            task_id="edit",
            prompt="brighter",
            model="qwen-image-2.0",
            qwenimage_conn_id=conn_id,
            params={"photo": DATA_URL},
        ).expand(images=["{{ params.photo }}", [_data_url(picture(BLUE)), "{{ params.photo }}"]])
    results = [airflow.run(task, map_index=index) for index in (0, 1)]
    assert [attempt.error for attempt in results] == [None, None]
    assert order_drawn(gateway.content(results[0].result[0]), 1) == [RED]
    assert order_drawn(gateway.content(results[1].result[0]), 2) == [BLUE, RED]


def test_the_images_of_mapped_tasks_become_one_list(gateway, qwenimage_connection, dag):
    conn_id = qwenimage_connection("tokenhot")
    airflow = InMemoryAirflow(dag_id=dag.dag_id)
    with dag:
        first = QwenImageEditOperator.partial(
            task_id="first", prompt="brighter", model="qwen-image-2.0", qwenimage_conn_id=conn_id
        ).expand(images=[DATA_URL, _data_url(picture(BLUE))])
        second = edit(conn_id, first.output)
    urls = [url for index in (0, 1) for url in airflow.run(first, map_index=index).result]
    assert airflow.run(second).error is None
    assert images_of(gateway.state.bodies[-1]) == urls


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("/no/such/photo.png", "cannot be read on this worker: No such file or directory"),
        ("/", "cannot be read on this worker: Is a directory"),
        ("ftp://host/photo.png", "must be an http(s) URL, s3://bucket/key, a data: URL or a local path"),
        ("data:image/png;base64,AAAA", "are not an image"),
        ("data:text/html,<html>no</html>", "an HTML page"),
        (DATA_URL[:-400], "truncated"),
        ("s3://nothing", "names a bucket and no key"),
        ("s3:///x", "must look like s3://"),
    ],
)
def test_what_is_no_image_is_refused_without_a_request(
    gateway, qwenimage_connection, reference, said, moto_s3
):
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = moto_s3.connection
    attempt = InMemoryAirflow().run_to_end(edit(qwenimage_connection(), [DATA_URL, reference], retries=2))
    assert isinstance(attempt.error, InvalidRequest)
    assert attempt.error.field == "images[1]"
    assert said in str(attempt.error)
    assert "base64,AAAA" not in str(attempt.error)
    assert (attempt.try_number, gateway.state.posts) == (1, 0)


@pytest.mark.parametrize("name", ["tokenhot", "tokenhub", "dashscope"])
@pytest.mark.parametrize(
    ("content", "model", "said"),
    [
        (picture(size=(383, 400)), "qwen-image-2.0", "383*400 has a side outside 384 to 3072"),
        (picture(size=(3073, 400)), "qwen-image-2.0", "3073*400 has a side outside 384 to 3072"),
        (picture(size=(2000, 249)), "wan2.7-image", "narrower than the ratio 1:8"),
        (picture(kind="TIFF"), "wan2.7-image", "TIFF is not one of JPEG, PNG, BMP, WEBP"),
        (picture() + bytes(10 * 2**20), "qwen-image-2.0", "more than the 10 MiB that qwen-image-2.0 takes"),
        (b"<html><body>sign in</body></html>", "qwen-image-2.0", "an HTML page"),
        (picture()[:500], "qwen-image-2.0", "truncated"),
    ],
)
def test_an_object_the_model_does_not_take_is_refused_without_a_request(  # noqa: PLR0917
    gateway, qwenimage_connection, moto_s3, name, content, model, said
):
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = moto_s3.connection
    client = moto_s3.client()
    client.create_bucket(Bucket="limits")
    client.put_object(Bucket="limits", Key="good.png", Body=picture())
    client.put_object(Bucket="limits", Key="bad.png", Body=content)
    images = ["s3://limits/good.png", "s3://limits/bad.png"]
    attempt = InMemoryAirflow().run(edit(qwenimage_connection(name), images, model=model))
    assert isinstance(attempt.error, InvalidRequest)
    assert attempt.error.field == "images[1]"
    assert said in str(attempt.error)
    assert gateway.state.posts == 0


def test_an_object_above_the_limit_is_refused_by_its_length_before_it_is_read(gateway, qwenimage_connection):
    with served({"/bucket/photo.png": (picture(), 11 * 2**20)}) as (base, asked):
        fields = {"conn_type": "aws", "login": "key", "password": "secret", "extra": {"endpoint_url": base}}
        os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(fields)
        attempt = InMemoryAirflow().run(edit(qwenimage_connection(), "s3://bucket/photo.png"))
    assert isinstance(attempt.error, InvalidRequest)
    assert "images[0]: has more than the 10 MiB that qwen-image-2.0 takes" in str(attempt.error)
    assert (len(asked), gateway.state.posts) == (1, 0)


def test_an_edit_waits_in_the_triggerer_too(gateway, qwenimage_connection, stored):
    images = [stored("blue.png", picture(BLUE)), stored("red.png", picture(RED))]
    task = edit(qwenimage_connection("dashscope"), images, model="wan2.7-image", deferrable=True)
    attempt = InMemoryAirflow().run_to_end(task)
    assert attempt.error is None
    assert order_drawn(gateway.content(attempt.result[0]), 2) == [BLUE, RED]
    assert (gateway.state.posts, gateway.state.total("polls") > 0) == (1, True)


def test_an_engine_takes_what_the_vendor_would_refuse(gateway, qwenimage_connection):
    images = [_data_url(picture(size=(64, 64)))]
    conn_id = qwenimage_connection("openai-compatible")
    attempt = InMemoryAirflow().run(
        edit(conn_id, images, **{**on("openai-compatible"), "model": "qwen-image-edit"})
    )
    assert attempt.error is None


@pytest.mark.parametrize("key", ["no-such-key.png", "no-such-bucket"])
def test_a_key_that_does_not_exist_is_refused_without_a_request(
    gateway, qwenimage_connection, s3, bucket, key
):
    uri = f"s3://{key}/photo.png" if key == "no-such-bucket" else f"s3://{bucket}/{key}"
    attempt = InMemoryAirflow().run(edit(qwenimage_connection(), uri))
    assert isinstance(attempt.error, InvalidRequest)
    assert f"images[0]: S3 did not read {uri}: NoSuch" in str(attempt.error)
    assert gateway.state.posts == 0


def test_an_s3_that_does_not_answer_is_retried_and_costs_nothing(gateway, qwenimage_connection, moto_s3):
    extra = {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"max_attempts": 0}}}
    fields = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(fields)
    attempt = InMemoryAirflow().run(edit(qwenimage_connection(), "s3://bucket/photo.png", retries=1))
    assert attempt.state == "up_for_retry"
    assert isinstance(attempt.error, TransferError)
    assert not attempt.error.may_be_billed
    assert gateway.state.posts == 0


@pytest.mark.parametrize("reference", [DATA_URL, "/somewhere/photo.png"])
def test_a_gateway_that_takes_only_urls_is_given_no_bytes(gateway, qwenimage_connection, reference):
    attempt = InMemoryAirflow().run(edit(qwenimage_connection("tokenhub"), reference))
    assert isinstance(attempt.error, InvalidRequest)
    assert "TokenHub takes input images by URL only" in str(attempt.error)
    assert "Put the image into S3" in str(attempt.error)
    assert gateway.state.posts == 0


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"boxes": [[]]}, "boxes"),
        ({"boxes": [[], [[1, 2, 3]]]}, "boxes.1.0"),
        ({"boxes": [[], [[9, 9, 1, 1]]]}, "boxes"),
        ({"n": 9}, "n"),
        ({"size": "100*100"}, "size"),
        ({"images": []}, "images"),
        ({"images": [DATA_URL] * 10}, "images"),
        ({"images": 7}, "images"),
        ({"model": "wan2.6-t2i"}, "model"),
    ],
)
def test_what_the_vendor_would_refuse_is_refused_before_any_image_is_read(
    gateway, qwenimage_connection, arguments, field
):
    with served({"/a.png": picture()}) as (base, asked):
        given = {"images": [f"{base}/a.png", DATA_URL], "model": "wan2.7-image", **arguments}
        attempt = InMemoryAirflow().run(edit(qwenimage_connection(), **given))
    assert isinstance(attempt.error, InvalidRequest)
    assert attempt.error.field == field
    assert (asked, gateway.state.posts) == ([], 0)


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://cdn.example/a%20b.png?x=1&y=%2F", "https://cdn.example/a%20b.png?x=1&y=%2F"),
        (
            "https://cdn.example/写真/図.png?名=一",
            "https://cdn.example/%E5%86%99%E7%9C%9F/%E5%9B%B3.png?%E5%90%8D=%E4%B8%80",
        ),
        ("https://bücher.example:8443/a b%20c.png", "https://xn--bcher-kva.example:8443/a%20b%20c.png"),
    ],
)
def test_a_url_is_sent_as_it_is_and_what_is_not_ascii_encoded(url, sent):
    assert encoded(url) == sent


def _data_url(content):
    kind = "jpeg" if content[:2] == b"\xff\xd8" else "webp" if content[:4] == b"RIFF" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def warnings_of_sizes(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if "another size than asked for" in line]


@pytest.mark.parametrize(
    ("model", "asked"),
    [("qwen-image-2.0", "1024*1024"), ("qwen-image-3.0", "2048*2048"), ("wan2.7-image", "1024*1024")],
)
def test_a_size_that_is_not_followed_is_told_once_and_with_every_image(
    gateway, qwenimage_connection, capsys, model, asked
):
    conn_id = qwenimage_connection("dashscope")
    attempt = InMemoryAirflow().run(edit(conn_id, DATA_URL, model=model, size=asked, n=2))
    assert attempt.error is None
    told = [(image["size"], image["asked_size"]) for image in attempt.xcoms["images"]]
    assert told == [("400*400", asked)] * 2
    (warning,) = warnings_of_sizes(capsys)
    assert f"2 of 2 images came in another size than asked for: 2 of 400*400 instead of {asked}" in warning


def test_where_the_reply_says_no_size_the_stored_bytes_do(gateway, qwenimage_connection, capsys, s3, bucket):
    task = edit(
        qwenimage_connection("tokenhot"), DATA_URL, size="1024*1024", n=2, persist_to=f"s3://{bucket}/a/"
    )
    attempt = InMemoryAirflow().run(task)
    assert attempt.error is None
    for key in ("images", "stored"):
        told = [(image["size"], image["asked_size"]) for image in attempt.xcoms[key]]
        assert told == [("400*400", "1024*1024")] * 2
    assert len(warnings_of_sizes(capsys)) == 1


def test_a_size_that_came_as_asked_or_that_nobody_can_know_is_not_warned_about(
    gateway, qwenimage_connection, capsys
):
    for conn_id, arguments in (
        ("tokenhot", {"size": "1024*1024"}),  # the reply says no size and nothing is stored
        ("dashscope", {"size": None}),
        ("dashscope", {"model": "wan2.7-image", "size": "2K"}),
        ("dashscope", {"model": "qwen-image-edit-plus", "size": "512*768"}),
    ):
        attempt = InMemoryAirflow().run(edit(qwenimage_connection(conn_id), DATA_URL, **arguments))
        assert attempt.error is None
    assert warnings_of_sizes(capsys) == []
