"""What this provider writes and reads again, and what people write for it: journals, manifests, connections, rows."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timedelta, timezone

from hypothesis import strategies as st

from airflow_provider_qwenimage.batch.entries import Entry
from airflow_provider_qwenimage.models.manifest import Failure, Manifest, StoredImage
from airflow_provider_qwenimage.models.results import GeneratedImage, Generation, Job, Usage
from airflow_provider_qwenimage.payment.consequences import NEXT
from fuzz.reply_structures import LINK, SECRET, junk, some

texts = st.one_of(
    st.sampled_from(
        ["a mug", "", "é ☕ 杯", "line\nfeed \u2028 and \u0085", '"quoted", and so on', "a word " * 400, "]}"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)
zones = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
moments = st.builds(datetime.fromtimestamp, st.floats(1, 4e9), zones)
counts = st.integers(0, 9)
sums = st.none() | st.floats(0, 1e6, allow_nan=False)
usages = st.builds(
    Usage, image_count=st.none() | counts, cost=sums, currency=st.sampled_from([None, "CNY", "USD"])
)
names = st.uuids().map("s3://bucket/set/{}.png".format)
stored = st.builds(
    StoredImage,
    uri=names,
    index=counts,
    content_type=st.sampled_from(["image/png", "image/webp"]),
    bytes=st.integers(1, 1 << 40),
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    width=st.integers(1, 1 << 16),
    height=st.integers(1, 1 << 16),
    url=st.sampled_from([None, LINK]),
    prompt=texts,
    seed=st.none() | st.integers(0, 2**31 - 1),
    request=counts,
    sku=texts,
)
failures = st.builds(Failure, index=counts, reason=texts)
manifests = st.builds(
    Manifest,
    dag_id=texts,
    run_id=texts,
    task_id=texts,
    map_index=st.integers(-1, 99),
    created_at=moments,
    images=st.lists(stored, max_size=12, unique_by=lambda image: image.uri).map(tuple),
    failures=st.lists(failures, max_size=3).map(tuple),
)
generated = st.builds(
    GeneratedImage,
    url=st.just(LINK),
    index=counts,
    gateway=st.just("tokenhot"),
    model=st.none() | texts,
    prompt=texts,
    created_at=moments,
    data=st.none(),
    origin=st.none(),
)
generations = st.builds(
    Generation,
    images=st.lists(generated, min_size=1, max_size=3).map(tuple),
    usage=usages,
    gateway=st.just("tokenhot"),
    model=st.none() | texts,
    request_id=st.none() | texts,
)
jobs = st.from_type(Job)
entries = st.builds(
    Entry,
    position=st.integers(0, 12),
    state=st.sampled_from(sorted(NEXT)),
    at=moments,
    images=st.lists(stored, max_size=2).map(tuple),
    generation=st.none() | generations,
    usage=st.none() | usages,
    reason=st.none() | texts,
)

switches = st.sampled_from([True, False, "true", "Yes", "0", "off", "", None, "maybe", 2, [], "/etc/ca.pem"])
numbers = st.sampled_from(["30", 30, 0, -1, "1e3", "soon", True, "", None, 1e400, float("nan"), 10**400, [1]])
gateways = st.sampled_from(
    [
        "tokenhot",
        "dashscope",
        "dashscope-eu",
        "openai-compatible",
        "xinference",
        "",
        None,
        "nowhere",
        7,
        "DashScope",
    ]
)
prices = st.one_of(
    st.dictionaries(
        st.sampled_from(["qwen-image-plus", "currency", "alibaba/qwen-image-max", ""]),
        st.sampled_from(
            [0.2, "0.2", 0, -1, "CNY", None, {"1k": 0.25, "2k": 0.5}, {"1k": "dear"}, float("inf"), {}]
        ),
    ),
    st.sampled_from(['{"qwen-image-plus": 0.2}', "", None, "0.2", [], 3]),
)
extras = st.one_of(
    some(
        gateway=gateways,
        model=st.sampled_from(["qwen-image-plus", " ", "", None, 3, "alibaba/qwen-image"]),
        request_format=st.sampled_from(["native", "flat", "", None, "odd", 1]),
        timeout=numbers,
        verify=switches,
        allow_private_hosts=switches,
        checks=st.sampled_from(["strict", "warn", "", None, "none", False]),
        price_per_image=prices,
    ),
    some(gateway=gateways, api_key=st.just(SECRET), Gateway=gateways),
    junk,
)
hosts = st.one_of(
    st.sampled_from(
        [
            "", None, "https://gw.example/proxy", "gw.example:8443", "http://[::1]:80/a", "https://user:pw@gw.example", "llm-4f2k",
            "https://gw.example?key=" + SECRET, "ftp://gw.example", "https://", "https://[", "https://gw.example:99999/", "a b", "://",
        ]
    ),
    st.text(max_size=12),
)  # fmt: skip
connections = st.fixed_dictionaries({
    "host": hosts,
    "port": st.sampled_from([None, 443, 80, 8443, 0, 70000]),
    "schema": st.sampled_from([None, "", "https", "http", "proxy/a", "ftp", "HTTPS", "//"]),
    "password": st.sampled_from([SECRET, f" {SECRET}\n", "", None, "ключ", f"{SECRET} {SECRET}", "a\x00b"]),
    "extra": st.one_of(extras, extras.map(json.dumps), st.sampled_from(["{", "[]", " ", "null", b""[:0].decode()])),
})  # fmt: skip

prompts = st.one_of(
    texts, st.sampled_from(["None", "null", "nan", "a {{ mug }}", "half \ud83d", None, 7, ["a"], {}])
)
rows = st.one_of(
    some(
        prompt=prompts,
        n=st.sampled_from([1, "2", 4, 0, -1, 99, "many", True, 1.5, None, "", 10**30]),
        size=st.sampled_from(["1328*1328", "1024x1024", "16:9", "2K", [1024, 768], "large", "0*0", "", None, 7, "9" * 50]),
        seed=st.sampled_from([0, "7", -1, 2**31, "x", None, "None", False]),
        model=st.sampled_from(["qwen-image-2.0", "wan2.6-t2i", "unknown-model", "", None, 3]),
        negative_prompt=texts,
        parameters=st.one_of(st.sampled_from([{}, '{"watermark": true}', "{", None, [], {"n": 2}, {"a": {1, 2}}]), junk),
        operation=st.sampled_from(["generate", "edit", "sequence", "translate", "paint", "", None, 3]),
        images=st.sampled_from([LINK, [LINK], [], None, "s3://bucket/a.png", "/etc/passwd", [LINK, 7], {"a": 1}, "ftp://x/a"]),
        boxes=st.sampled_from([None, [[[0, 0, 9, 9]]], "[[[0,0,9,9]]]", [[1]], "x"]),
        target_lang=st.sampled_from(["en", "zh", "", None]),
    ),
    some(prompt=prompts, colour=texts),
    prompts,
    junk,
)  # fmt: skip


def spelled(row):
    """A line of JSON; what JSON cannot spell is a text there."""
    return json.dumps(row, default=str)


def as_csv(listed):
    """A CSV of rows that are objects, with a column for every key of any of them."""
    columns = sorted({str(name) for row in listed if isinstance(row, dict) for name in row})
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in listed:
        given = row if isinstance(row, dict) else {}
        writer.writerow(["" if given.get(name) is None else given[name] for name in columns])
    return out.getvalue().encode("utf-8", "surrogatepass")


@st.composite
def spoilt(draw, whole):
    """Draw bytes of which a few got lost, came twice or are others."""
    body = draw(whole)
    for _ in range(draw(st.sampled_from([1, 1, 2, 5]))):
        place, length = draw(st.integers(0, len(body))), draw(st.integers(0, 9))
        other = draw(
            st.sampled_from(
                [b"", body[place : place + length] * 2, b"\xff", b"\x00", b"\n", b'"', b"}", b"[" * 40]
            )
        )
        body = body[:place] + other + body[place + length :]
    return body
