"""Whatever people type into a connection or a row, it is what it says or an error that names the field."""

from __future__ import annotations

import io
import json
import os
import time
from urllib.parse import urlsplit

import pytest
from botocore.response import StreamingBody
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_qwenimage.batch.items import read_batch, rows_of
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.gateway.connection import read
from airflow_provider_qwenimage.storage.stored import StoredObject
from fuzz.record_structures import as_csv, connections, rows, spelled, spoilt
from fuzz.reply_structures import SECRET
from fuzz.test_replies import check_shown

SETTINGS = read(host=None, port=None, schema=None, password=SECRET, extra={"gateway": "dashscope"})
DEFAULTS = {"model": "qwen-image-2.0"}
MOST_SECONDS = 5


def refused(read):
    """Return what is read or the error that says why not; anything else that is raised fails the test."""
    try:
        return read()
    except InvalidRequest as error:
        told = f"{error} {json.dumps(error.facts(), ensure_ascii=False)}"
        told.encode()
        check_shown(told)
        return error


@given(given_=connections)
def test_a_connection_is_settings_or_names_the_field(given_):
    settings = refused(lambda: read(**given_))
    if isinstance(settings, InvalidRequest):
        assert settings.field
        assert settings.billing == "no"
        return
    parts = urlsplit(settings.endpoint.base_url)
    assert parts.scheme in ("http", "https")
    assert parts.hostname
    assert (parts.query, parts.fragment, parts.username) == ("", "", None)
    assert settings.endpoint.key in (None, SECRET)
    check_shown(repr(settings))
    check_shown(settings.named)
    assert settings.endpoint.timeout > 0
    assert read(**given_) == settings


@given(timeout=st.integers(1, 999), private=st.booleans(), checks=st.sampled_from(["strict", "warn"]))
def test_an_extra_means_the_same_as_a_text(timeout, private, checks):
    typed = {"gateway": "tokenhot", "timeout": timeout, "allow_private_hosts": private, "checks": checks}
    told = [typed, {name: str(value) for name, value in typed.items()}, json.dumps(typed)]
    first, *others = (read(host=None, port=None, schema=None, password=SECRET, extra=extra) for extra in told)
    assert all(other == first for other in others)


def read_rows(requests, text=b""):
    """Return the batch or the error; anything else that is raised fails the test."""
    begun = time.thread_time()

    def opened(uri):
        return StoredObject(uri, len(text), None, "", StreamingBody(io.BytesIO(text), len(text)))

    found = refused(lambda: read_batch(rows_of(requests, opened), defaults=DEFAULTS, settings=SETTINGS))
    if isinstance(found, InvalidRequest):
        assert found.field == "requests"
        assert len(str(found)) < 60_000
    assert time.thread_time() - begun < MOST_SECONDS
    return found


def check_batch(batch, most):
    assert 0 < len(batch.items) <= most
    assert [item.position for item in batch.items] == list(range(len(batch.items)))
    assert batch.images == sum(item.request.n for item in batch.items)
    firsts = [item.first for item in batch.items]
    assert firsts == sorted(firsts)
    for item in batch.items:
        assert item.request.n >= 1
        assert item.request.operation == "translate" or item.request.prompt.strip()
        assert item.request.prompt.strip().lower() not in ("none", "null", "nan")
        assert "{{" not in item.request.prompt


@pytest.fixture(scope="module", autouse=True)
def _no_aws():
    """Nothing is asked of AWS while rows are read."""
    os.environ.pop("AIRFLOW_CONN_AWS_DEFAULT", None)


@given(listed=st.lists(rows, max_size=5))
def test_a_list_of_rows_is_a_batch_or_names_its_bad_rows(listed):
    found = read_rows(listed)
    if isinstance(found, InvalidRequest):
        assert "cannot be sent" in found.rule or "holds no request" in found.rule
        return
    check_batch(found, len(listed))
    assert len(found.items) == len(listed)  # none is lost


@given(listed=st.lists(rows, min_size=1, max_size=5))
def test_a_file_of_rows_means_what_the_list_means(listed):
    lines = [spelled(row) for row in listed]
    one = read_rows([json.loads(line) for line in lines])
    other = read_rows("s3://bucket/rows.jsonl", "\n".join(lines).encode())
    assert type(one) is type(other)
    if not isinstance(one, InvalidRequest):
        assert [item.fingerprint for item in one.items] == [item.fingerprint for item in other.items]


@given(text=spoilt(st.lists(rows, max_size=5).map(lambda listed: "\n".join(map(spelled, listed)).encode())))
def test_a_spoilt_file_of_lines_is_a_batch_or_an_error(text):
    found = read_rows("s3://bucket/rows.jsonl", text)
    if not isinstance(found, InvalidRequest):
        check_batch(found, text.count(b"\n") + 1)


@given(text=st.one_of(st.lists(rows, max_size=5).map(as_csv), spoilt(st.lists(rows, max_size=5).map(as_csv))))
def test_a_csv_whole_or_spoilt_is_a_batch_or_an_error(text):
    found = read_rows("s3://bucket/rows.csv", text)
    if not isinstance(found, InvalidRequest):
        check_batch(found, text.count(b"\n") + text.count(b"\r") + 1)
