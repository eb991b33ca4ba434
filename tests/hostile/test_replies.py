"""A gateway is somebody else's server: whatever it answers is read, or refused in our words."""

from __future__ import annotations

import json
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZipFile

import pytest

from airflow_provider_qwenimage import catalog
from airflow_provider_qwenimage.exceptions import OutcomeUnknown, PermanentRefusal, UnexpectedReply
from airflow_provider_qwenimage.gateway.connection import read
from airflow_provider_qwenimage.gateway.probe import _read
from airflow_provider_qwenimage.wire.documents import LONGEST_PLAIN, documents, is_too_much
from airflow_provider_qwenimage.wire.harvest import harvest
from airflow_provider_qwenimage.wire.items import Found
from airflow_provider_qwenimage.wire.protocol import Reply
from airflow_provider_qwenimage.wire.refusals import classify
from wire.reading import BASE, FOLDER, NOW

LINK = "https://img.example.com/a.png"
PNG = (FOLDER / "engines/200_file.png").read_bytes()


def answer(body, status=200, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def refused(body, status=200, **headers):
    reply = answer(body, status, **headers)
    return classify(reply, documents(reply), now=NOW)


def read_whole(body, **headers):
    reply = answer(body, **headers)
    found = documents(reply)
    assert classify(reply, found, now=NOW) is None
    return harvest(reply, found, served_from=BASE)


def nested(levels, within=b""):
    return b'{"a":' * levels + (within or b"1") + b"}" * levels


@pytest.mark.parametrize("levels", [65, 1_000, 5_000, 50_000])
def test_json_that_is_nested_without_end_is_no_reply(levels):
    deep = nested(levels)

    with pytest.raises(UnexpectedReply, match="broken or truncated JSON"):
        read_whole(deep)
    assert type(refused(deep, 500)) is OutcomeUnknown
    assert type(refused(deep, 400)) is PermanentRefusal
    frames = b"data:" + deep + b'\n\ndata:{"data": [{"url": "' + LINK.encode() + b'"}]}\n\n'
    assert [slot.url for slot in read_whole(frames).slots] == [LINK]


def test_the_test_of_a_connection_reads_nothing_that_is_nested_without_end():
    settings = read(host="https://gw.example", port=None, schema=None, password="k", extra={})

    works, said = _read(answer(nested(5_000)), settings)
    assert not works
    assert "not like an API" in said


@pytest.mark.parametrize("count", ["9" * 5_000, "9" * 400, "1e999", "-1e999", "1e308", "NaN", "Infinity"])
def test_a_count_that_is_no_count_counts_nothing(count):
    for spelled in (count, f'"{count}"'):
        body = f'{{"data": [{{"url": "{LINK}", "seed": {spelled}}}], "usage": {{"image_count": {spelled}}}}}'
        found = read_whole(body.encode())

        assert found.usage.image_count is None
        assert [(slot.url, slot.seed) for slot in found.slots] == [(LINK, None)]


def test_half_a_character_and_nul_are_replaced_when_a_document_is_read():
    cut = "a fox \\ud83d and \\u0000"
    body = f"""{{"request_id": "r\\ud83d", "output": {{"choices": [{{"message": {{"content": [
        {{"text": "{cut}"}}, {{"image": "{LINK}", "revised_prompt": "{cut}"}}]}}}}]}}}}"""

    found = read_whole(body.encode())

    assert found.texts == ("a fox \ufffd and \ufffd",)
    assert [slot.revised_prompt for slot in found.slots] == ["a fox \ufffd and \ufffd"]
    assert found.request_id == "r\ufffd"
    whole = read_whole(f'{{"data": [{{"url": "{LINK}", "revised_prompt": "\\ud83d\\ude00"}}]}}'.encode())
    assert [slot.revised_prompt for slot in whole.slots] == ["\U0001f600"]
    error = refused(b'{"code": "Invalid\\udc00", "message": "bad \\ud83d"}', 400)
    str(error).encode()
    assert error.code == "Invalid\ufffd"


def test_a_long_reply_is_read_only_where_it_holds_inline_images():
    small = b'{"data":[' + b"{}," * (LONGEST_PLAIN // 3) + b'{"url":"' + LINK.encode() + b'"}]}'
    with pytest.raises(UnexpectedReply, match="MiB that hold no image"):
        read_whole(small)
    with pytest.raises(UnexpectedReply, match=r"0\.3 MiB that hold no image"):
        read_whole(b'{"data":[' + b"0," * 150_000 + b"0]}")
    padding = b" " * LONGEST_PLAIN
    assert is_too_much(b'{"x":"' + padding + b'"}')
    assert not is_too_much(b'{"b64_json":"' + b"iVBORw0K" * (LONGEST_PLAIN // 8) + b'"}')
    wrapped = (b"A" * 76 + b"\\r\\n") * (LONGEST_PLAIN // 80)
    assert not is_too_much(b'{"b64_json":"' + wrapped + b'"}')


@pytest.mark.parametrize(
    "link",
    [
        "https://",
        "https:///a.png",
        "http://127.0.0.1 error: upstream timeout",
        "https://[::1/a.png",
        "https://h.example:port/a.png",
        "https://h.example:0/a.png",
        "https://.../",
        "https://h.example/a\nb.png",
        'https://h.example/"a.png',
        "https://help.example.com/zh/model-studio/error-code.html",
        f"https://h.example/{'a' * 9000}.png",
        "ftp://h.example/a.png",
        "failed/timeout",
        "/error",
        "timeout",
        "BM was not available",
    ],
)
def test_what_is_no_address_of_an_image_is_no_success(link):
    for body in ({"data": [{"url": link}]}, {"data": [link]}, {"output": [{"content": link}]}):
        with pytest.raises(UnexpectedReply):
            read_whole(body)


@pytest.mark.parametrize(
    "link",
    [
        LINK,
        "http://192.0.2.7:8080/a",
        "https://[2001:db8::1]/a.png",
        "https://b.oss-cn-beijing.aliyuncs.com/7d/a.png?Expires=1&Signature=a%3D",
        "https://cdn.example/view?id=7",
        "https://bücher.example/a.png",
    ],
)
def test_the_address_of_an_image_is_one(link):
    assert [slot.url for slot in read_whole({"data": [{"url": link}]}).slots] == [link]


def test_a_relative_url_is_an_image_only_where_the_gateway_serves_images():
    reply = answer({"data": [{"url": "/v1/images/42/content"}]})
    found = documents(reply)

    assert harvest(reply, found, served_from=BASE).slots[0].url == f"{BASE}/v1/images/42/content"
    with pytest.raises(UnexpectedReply, match="not an image: /v1/images/42/content"):
        harvest(reply, found, served_from=None)
    assert [name for name, row in catalog.gateways().items() if row.serves_images] == ["openai-compatible"]


def test_codes_and_ids_are_bounded_and_hold_no_key():
    key = "sk-abcdef0123456789"
    said = {"code": f"Invalid {key} " + "c" * 900, "message": "m", "request_id": f"r {key} " + "r" * 900}
    for error in (
        refused(said, 400),
        refused({"error": {"message": "m", "code": "x", "request_id": said["request_id"]}}, 400),
        refused(b"", 500, x_request_id=said["request_id"]),
    ):
        told = f"{error} {error.facts()}"
        assert key not in told
        assert len(error.code or "") <= 101
        assert len(error.request_id or "") <= 129
    with pytest.raises(UnexpectedReply) as raised:
        read_whole({"task_id": f"{key}\n" + "t" * 900})
    assert key not in str(raised.value)
    assert "\n" not in raised.value.job_id


def archived(*files, packed=ZIP_DEFLATED):
    out = BytesIO()
    with ZipFile(out, "w", packed) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return out.getvalue()


def test_an_archive_that_would_fill_the_memory_is_not_unpacked():
    bomb = archived(("a.bmp", PNG + bytes(64 * 2**20)))
    assert len(bomb) < 2**17

    with pytest.raises(UnexpectedReply, match=r"not an image: a\.bmp"):
        read_whole(bomb)
    with pytest.raises(UnexpectedReply, match="packed in a way no image is"):
        read_whole(archived(("a.png", PNG), packed=ZIP_LZMA))


@pytest.mark.parametrize("place", range(0, 200, 7))
def test_a_damaged_archive_keeps_what_is_whole(place):
    whole = archived(("a.png", PNG), ("b.png", PNG + b"b"))
    body = whole[:place] + b"\xff" + whole[place + 1 :]
    try:
        slots = read_whole(body).slots
    except UnexpectedReply:
        return
    assert all(slot.data in (PNG, PNG + b"b") for slot in slots if isinstance(slot, Found))
