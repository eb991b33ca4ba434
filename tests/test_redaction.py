"""No key, no signed query and no image bytes in a text that a person or a log gets."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_qwenimage.redaction import redact, without_key, without_query

PIECES = (
    *'aA0 :/=%&?.-_*+\\,;"',
    "sk-",
    "SK-",
    "bearer ",
    "Bearer\n",
    "sig",
    "token",
    "%3d",
    "%253D",
    "http",
    "data",
    "a" * 199,
)
OSS = "https://b.oss-cn-beijing.aliyuncs.com/7d/a.png"
QUERY = "Expires=1763784000&OSSAccessKeyId=LTAI5t&Signature=aGVsbG8%3D"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"see {OSS}?{QUERY} for it", f"see {OSS} for it"),
        (f'{{"url":"{OSS}?{QUERY}"}}', f'{{"url":"{OSS}"}}'),
        (f"{OSS}?{QUERY}".replace("&", "\\u0026"), OSS),
        ("http://me:secret@gw.example/v1#frag", "http://gw.example/v1"),
        (f"HTTPS://GW.example/a.png?{QUERY}", "https://GW.example/a.png"),
        (f"GET /7d/a.png?{QUERY}", "GET /7d/a.png?Expires=1763784000&OSSAccessKeyId=***&Signature=***"),
        ("x-amz-signature=abc&X-Amz-Security-Token=def", "x-amz-signature=***&X-Amz-Security-Token=***"),
        (
            "GET /a.png?sig=aZ%2Fb&sign=q&auth_key=1-2-3&x-oss-security-token=t",
            "GET /a.png?sig=***&sign=***&auth_key=***&x-oss-security-token=***",
        ),
        ("q-ak=AKID&q-signature=ab&design=modern", "q-ak=***&q-signature=***&design=modern"),
        (f"{OSS}?{QUERY}".replace("/", "\\/"), OSS),
        ("https%3A%2F%2Fh.example%2Fa.png%3FSignature%3Dabc%26x", "https%3A%2F%2Fh.example%2Fa.png"),
        (
            "https%253A%252F%252Fh.example%252Fa.png%253Fsig%253Dabc",
            "https%253A%252F%252Fh.example%252Fa.png",
        ),
        ("a.png%3FExpires%3D1%26Signature%3Dab%252F%26x", "a.png%3FExpires%3D1%26Signature%3D***%26x"),
        (r"Incorrect API key provided: \u0073k\u002dabcdef0123.", "Incorrect API key provided: sk-***"),
        (r"{\"error\": \"key \\u0073k-abcdef0123\"}", r"{\"error\": \"key sk-***\"}"),
        ("Incorrect API key provided: sk-abcdef0123456789.", "Incorrect API key provided: sk-***"),
        ("key sk-ab***yz is wrong", "key sk-*** is wrong"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("image data:image/png;base64,iVBORw0KGgo= there", "image data:… there"),
        (f"bytes {base64.b64encode(bytes(300)).decode()} there", "bytes … there"),
        ("n must be 1, got 4 (max_tokens=5)", "n must be 1, got 4 (max_tokens=5)"),
        ("a plain task-risk-free sentence", "a plain task-risk-free sentence"),
        ("http://[oops/a?token=b", "http://…"),
        (None, "None"),
    ],
)
def test_a_text_is_fit_to_be_shown(text, clean):
    assert redact(text) == clean


@given(st.lists(st.sampled_from(PIECES)).map("".join), st.integers(0, 250))
def test_a_short_text_is_cleaned_as_any_other(text, limit):
    # After so long a beginning, with a character that is suspicious, every pattern looks through the whole.
    begun = ": " * 100

    assert begun + redact(text, limit=10_000) == redact(begun + text, limit=10_000)
    assert len(redact(text, limit=limit)) <= limit + 1


def test_a_long_text_is_cut_after_it_was_cleaned():
    said = redact(f"{'x ' * 300}{OSS}?{QUERY}", limit=20)

    assert said == "x x x x x x x x x x …"
    assert "Signature" not in redact(f"{OSS}?{QUERY}", limit=60)


def test_a_text_is_cut_where_a_word_ends_before_it_is_cleaned():
    assert redact("A" * 100_000 + " after") == "…"
    assert "sk-" not in redact("word " * 604 + "sk-" + "a" * 4000)
    assert redact("x " * 50_000) == "x " * 250 + "…"


@pytest.mark.parametrize("quoted", [r"th_a/b+c", r"th_a\/b+c", r"\u0074h\u005Fa\/b\u002bc"])
def test_a_key_is_found_however_json_spells_it(quoted):
    data = f'{{"message": "bad key {quoted}, see the docs"}}'.encode()

    assert without_key(data, b"th_a/b+c") == b'{"message": "bad key ***, see the docs"}'


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"{OSS}?{QUERY}", OSS),
        ("https://me:pw@gw.example:8443/a%20b.png?x=1#y", "https://gw.example:8443/a%20b.png"),
        ("s3://bucket/key.png", "s3://bucket/key.png"),
        ("data:image/png;base64,iVBORw0KGgo=", "data:…"),
        ("https://[oops/a.png?token=b", "https://…"),
    ],
)
def test_a_url_without_its_query_names_the_image_and_not_the_right_to_it(url, name):
    assert without_query(url) == name
