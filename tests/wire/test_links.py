"""What image links say about themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_qwenimage.images.refused import age
from airflow_provider_qwenimage.wire.links import expires_at, identity, moment

MOMENT = datetime(2026, 11, 21, 6, tzinfo=UTC)
EPOCH = int(MOMENT.timestamp())


@pytest.mark.parametrize(
    "query",
    [
        f"Expires={EPOCH}&OSSAccessKeyId=x&Signature=y",
        f"a=b&expires={EPOCH}",
        "X-Amz-Date=20261121T050000Z&X-Amz-Expires=3600&X-Amz-Signature=y",
        "x-oss-date=20261121T050000Z&x-oss-expires=3600",
        "X-Goog-Date=20261121T050000Z&X-Goog-Expires=3600",
        "X-Tos-Date=20261121T050000Z&X-Tos-Expires=3600",
        f"q-sign-algorithm=sha1&q-sign-time=1700000000;{EPOCH}",
        "sv=2024&se=2026-11-21T06%3A00%3A00Z&sig=y",
        "se=2026-11-21T06:00:00&sig=y",
    ],
)
def test_a_signature_tells_when_it_ends(query):
    assert expires_at(f"https://host.example/a.png?{query}") == MOMENT


@pytest.mark.parametrize(
    "url",
    [
        "https://host.example/a.png",
        "https://host.example/a.png?Expires=never",
        "https://host.example/a.png?Expires=99999999999999999999",
        "https://host.example/a.png?X-Amz-Date=yesterday&X-Amz-Expires=1",
        "https://host.example/a.png?X-Amz-Date=20261121T050000Z&X-Amz-Expires=99999999999999",
        "https://host.example/a.png?se=2026-11-21",
        "https://[host/a.png",
        "data:image/png;base64,AAAA",
        "s3://bucket/a.png",
        "",
    ],
)
def test_what_says_nothing_has_no_end(url):
    assert expires_at(url) is None


def test_a_signature_is_no_part_of_what_an_image_is():
    first = identity(
        "https://host.example/a.png?Expires=1&OSSAccessKeyId=k&Signature=s&x-oss-security-token=t"
    )
    second = identity(
        "https://host.example/a.png?X-Amz-Date=20261121T050000Z&X-Amz-Expires=1&X-Amz-Signature=s"
    )
    assert first == second == identity("https://host.example/a.png") == "https://host.example/a.png"


@pytest.mark.parametrize(
    "url",
    [
        "https://h.example/view?filename=a.png",
        "https://h.example/a.png?x-oss-process=image/resize,w_9",
        "data:,x",
        "https://[h/",
    ],
)
def test_a_query_that_chooses_the_image_leaves_it_without_a_name(url):
    assert identity(url) is None


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-11-21T06:00:00Z", MOMENT),
        ("2026-11-21T06:00:00", MOMENT),
        ("soon", None),
        (None, None),
        ("", None),
    ],
)
def test_a_moment_is_read_from_text(text, read):
    assert moment(text) == read


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(seconds=20), "20 s"),
        (timedelta(minutes=5), "5 min"),
        (timedelta(hours=3, minutes=12, seconds=59), "3 h 12 min"),
        (timedelta(days=2, hours=4), "2 d 4 h"),
        (timedelta(seconds=-5), "0 s"),
    ],
)
def test_an_age_is_told_in_its_two_largest_units(span, said):
    assert age(span) == said
