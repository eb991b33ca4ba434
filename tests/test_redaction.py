"""No key, no signed query and no image bytes in a text that a person or a log gets."""

from __future__ import annotations

import base64

import pytest

from airflow_provider_qwenimage.redaction import redact, without_query

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


def test_a_long_text_is_cut_after_it_was_cleaned():
    said = redact(f"{'x ' * 300}{OSS}?{QUERY}", limit=20)

    assert said == "x x x x x x x x x x …"
    assert "Signature" not in redact(f"{OSS}?{QUERY}", limit=60)


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
