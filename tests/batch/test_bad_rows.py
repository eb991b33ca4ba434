"""What would fail at the gateway, or here, is told as a bad row, before the first request and all at once."""

from __future__ import annotations

import base64
import datetime as dt
import json
import tracemalloc

import pytest

from airflow_provider_qwenimage.batch.items import read_batch, rows_of
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.storage.s3 import S3
from harness import InMemoryAirflow
from operators.pictures import picture

EDIT = "qwen-image-edit-plus"


@pytest.fixture(autouse=True)
def no_s3(request, monkeypatch):
    """A check that asks S3 for anything about an input image fails."""
    if "shelf" not in request.fixturenames:
        monkeypatch.setattr(S3, "_connected", lambda _: pytest.fail("S3 was asked"))


@pytest.fixture
def read(qwenimage_connection):
    """Read rows: a list, or the bytes of an object and the ending of its name."""

    def reading(rows, ending="jsonl", *, gateway="dashscope", **defaults):
        settings = QwenImageHook(qwenimage_connection(gateway)).settings
        requests, opened = rows, None
        if isinstance(rows, bytes):
            requests, opened = f"s3://bucket/rows.{ending}", lambda _: Stored(rows)
        return read_batch(
            rows_of(requests, opened), defaults={"model": "qwen-image-plus", **defaults}, settings=settings
        )

    return reading


@pytest.fixture
def refused(read):
    """Read rows and return what is said of the bad ones."""

    def reading(*args, **kwargs):
        with pytest.raises(InvalidRequest) as caught:
            read(*args, **kwargs)
        return str(caught.value)

    return reading


class Stored:
    """An object in pieces that cut characters and lines in two."""

    def __init__(self, body):
        self.body = body

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def chunks(self):
        return (self.body[start : start + 7] for start in range(0, len(self.body), 7))


def lines(*rows):
    return b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)


def edit(image, **more):
    return {"prompt": "x", "model": EDIT, "images": [image], **more}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b'{"prompt": "x", "parameters": {"a": NaN}}', "parameters: cannot be sent as JSON"),
        (b'{"prompt": "x", "parameters": {"a": "\\ud800"}}', "parameters: cannot be sent as JSON"),
        (b'{"prompt": "bad \\ud800"}', "prompt: cannot be sent as JSON"),
        (b'{"prompt": "x", "model": "\\ud800"}', "model: cannot be sent as JSON"),
        (b'{"prompt": "x", "size": "\\ud800"}', "size: must look like"),
        (b'{"prompt": "x", "\\ud800": 1}', "request: input should be a valid string"),
        (b"[" * 100_000, "row: is nested too deeply"),
        (
            b'{"prompt": "x", "parameters": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}",
            "parameters: is nested too deeply",
        ),
        (b'{"prompt": "x", "images": "[{[1]: 2}]"}', "images: must be a list or an object"),
        (edit("ftp://host/x.png"), "images[0]: must be an http(s) URL"),
        (edit("s3://"), "images[0]: must look like s3://"),
        (edit("s3://bucket"), "images[0]: s3://bucket names a bucket and no key"),
        (edit("s3://bucket/"), "images[0]: s3://bucket/ names a bucket and no key"),
        (edit("/no/such.png"), "images[0]: /no/such.png cannot be read on this worker: No such file"),
        (edit("/"), "images[0]: / cannot be read on this worker: Is a directory"),
        (edit("a\0b.png"), "images[0]: must be an http(s) URL"),
        (edit("data:image/png;base64,AAAA"), "images[0]: "),
        (edit("https://"), "images[0]: https:// names no host"),
        (edit("https://[é/x.png"), "images[0]: https://… names no host"),
        (edit("https://é:x/x.png"), "images[0]: https://é:x/x.png names no host"),
        (edit("https://é\ud800.example/"), "images.0: input should be a valid string"),
    ],
)
def test_a_row_that_cannot_be_sent_is_named_with_the_others(refused, row, said):
    message = refused(lines({"prompt": "fine"}, row, {"prompt": "x", "size": "huge"}))

    assert f"line 2, {said}" in message
    assert "2 of 3 cannot be sent" in message
    assert "line 3, size: must look like" in message
    message.encode()  # a log can show it


def test_a_list_may_hold_what_json_has_no_word_for(refused):
    deep = []
    for _ in range(5000):
        deep = [deep]
    rows = [
        {"prompt": "x", "parameters": {"at": dt.datetime(2026, 11, 5, tzinfo=dt.UTC)}},
        {"prompt": "x", "parameters": {"deep": deep}},
        edit(deep),
    ]

    message = refused(rows)

    assert "requests[0], parameters: cannot be sent as JSON: Object of type datetime" in message
    assert "requests[1], parameters: is nested too deeply" in message
    assert "requests[2], row: cannot be read" in message


def test_a_date_is_told_where_the_gateway_takes_a_form(refused):
    at = dt.datetime(2026, 11, 5, tzinfo=dt.UTC)

    said = refused([edit("s3://bucket/x.png", parameters={"at": at})], gateway="openai-compatible")

    assert "requests[0], parameters: cannot be sent as JSON" in said


@pytest.mark.parametrize("reference", ["data:image/png;base64,AAAA", "/no/such.png"])
def test_a_gateway_that_takes_urls_only_is_known_before_it_is_asked(refused, reference):
    message = refused([{"prompt": "fine"}, edit(reference)], gateway="tokenhub")

    assert "requests[1], images[0]: " in message
    assert "takes input images by URL only" in message


@pytest.mark.parametrize("gateway", ["dashscope", "tokenhot", "openai-compatible"])
def test_images_are_not_read_to_check_a_row(read, gateway):
    references = ["s3://bucket/a.png", "https://host.example/bücher.png"]

    batch = read([edit(one) for one in references], gateway=gateway)

    assert [item.request.images for item in batch.items] == [(one,) for one in references]


@pytest.mark.parametrize("gateway", ["dashscope", "openai-compatible"])
def test_images_at_hand_are_checked(read, gateway, tmp_path):
    (tmp_path / "a.png").write_bytes(picture())
    references = [str(tmp_path / "a.png"), f"data:image/png;base64,{base64.b64encode(picture()).decode()}"]

    assert len(read([edit(one) for one in references], gateway=gateway).items) == 2


def test_nothing_is_sent_while_a_row_is_bad(gateway, batch, shelf):
    rows = lines({"prompt": "fine"}, edit("ftp://host/x.png"), b'{"prompt": "half \\udc00"}')

    attempt = InMemoryAirflow().run_to_end(batch(shelf.put("prompts.jsonl", rows), on_error="continue"))

    assert "2 of 3 cannot be sent" in str(attempt.error)
    assert gateway.state.posts == 0


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_line_that_is_not_utf8_is_named_and_the_others_are_read(refused, end):
    rows = [
        b"\xef\xbb\xbf" + b'{"prompt": "fine"}',
        b'{"prompt": "caf\xe9"}',
        b"",
        b'{"prompt": "caf\xc3\xa9"}',
    ]
    rows += [b'{"prompt": "x", "size": "huge"}', b'{"prompt": "cut \xc3']

    message = refused(end.join(rows))

    assert "3 of 5 cannot be sent" in message
    assert "line 2, row: is not UTF-8" in message
    assert "line 5, size: must look like" in message
    assert "line 6, row: is not UTF-8" in message


def test_a_cell_that_is_not_utf8_is_named_and_the_others_are_read(refused):
    rows = b'prompt,size\n"a\nmug",\ncaf\xe9,\n"two\nlines \xff",\nx,huge\n'

    message = refused(rows, "csv")

    assert "3 of 4 cannot be sent" in message
    assert "line 4, prompt: is not UTF-8" in message
    assert "line 5, prompt: is not UTF-8" in message
    assert "line 7, size: must look like" in message


def test_names_of_cells_that_are_not_utf8_end_the_reading(refused):
    message = refused(b"\nprompt,gr\xf6\xdfe\na mug,\na lamp,\n", "csv")

    assert "1 of 1 cannot be sent" in message
    assert "line 2, row: is not UTF-8, and names the cells; what follows was not read" in message


@pytest.mark.parametrize("start", [b"\n", b"\r\n\r\n", b"\xef\xbb\xbf\n", b" ,\n,,\n"])
def test_blank_lines_before_the_names_of_the_cells_are_passed_over(read, start):
    (item,) = read(start + b"prompt,seed\n\na mug,7\n", "csv").items

    assert (item.request.prompt, item.request.seed) == ("a mug", 7)
    assert item.where == f"line {len(start.splitlines()) + 3}"


@pytest.mark.parametrize("shared", [{"watermark": False}, '{"watermark": false}', "{'watermark': False}"])
@pytest.mark.parametrize("own", [{"prompt_extend": True}, '{"prompt_extend": true}'])
def test_parameters_of_task_and_row_are_merged_as_objects_and_as_text(read, shared, own):
    (item,) = read([{"prompt": "x", "parameters": own}], parameters=shared).items

    assert item.request.parameters == {"watermark": False, "prompt_extend": True}


def test_a_row_has_the_last_word_and_an_empty_text_says_nothing(read):
    rows = [{"prompt": "x", "parameters": '{"watermark": true}'}, {"prompt": "x", "parameters": ""}]

    batch = read(rows, parameters='{"watermark": false}')

    assert [item.request.parameters for item in batch.items] == [{"watermark": True}, {"watermark": False}]


@pytest.mark.parametrize("text", ["{not an object", "[1]", "7", 7, ["a"]])
@pytest.mark.parametrize("side", ["task", "row"])
def test_parameters_that_are_no_object_are_a_bad_row(refused, text, side):
    shared, own = ({"watermark": False}, text) if side == "row" else (text, {"watermark": False})

    message = refused([{"prompt": "x", "parameters": own}], parameters=shared)

    assert "requests[0], parameters: must be" in message


def test_rows_are_read_as_a_stream():
    line = b'{"prompt": "a mug"}\n'

    class Long(Stored):
        def chunks(self):
            return (line * 1000 for _ in range(200))

    tracemalloc.start()
    try:
        assert sum(1 for _ in rows_of("s3://bucket/rows.jsonl", Long)) == 200_000
        assert tracemalloc.get_traced_memory()[1] < 20_000 * len(line)
    finally:
        tracemalloc.stop()


def test_rows_whose_prompt_is_missing_or_a_template_are_bad(refused):
    said = refused([{"prompt": "nan"}, {"prompt": "a {{ product }}"}, {"prompt": "a cup"}])
    assert "requests[0], prompt: must say what the image shows, got 'nan'" in said
    assert "requests[1], prompt: holds {{, a template that was not rendered" in said
    assert "2 of 3 cannot be sent" in said
