"""Replies drawn from the shapes that gateways are known to give, and damage done to them."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path

from hypothesis import strategies as st

PNG = (Path(__file__).parent.parent / "replies/engines/200_file.png").read_bytes()
SECRET, SIGNED = "sk-fuzzed0123456789abcdef", "Signature=c2lnbmVkZnV6eg"
LINK = f"https://img.example.com/a.png?Expires=1763784000&{SIGNED}"
INLINE = base64.b64encode(PNG).decode()


def long(text, count):
    """Draw a text many times over, without a strategy that shows all of it."""
    return st.just(count).map(lambda times: text * times)


links = st.one_of(
    st.sampled_from(
        [LINK, "https://cdn.example/view?id=7", "http://192.0.2.7:8080/a", "//cdn.example/a.png"]
    ),
    st.integers(0, 9).map(lambda n: f"https://img.example.com/{n}.png"),
)
inline = st.sampled_from([INLINE, f"data:image/png;base64,{INLINE}", INLINE[:76] + "\n" + INLINE[76:]])
# What stood in the place of an image in one reply or another, or might.
strangers = st.one_of(
    st.sampled_from(
        [
            "", None, "https://", "http://[", "http://127.0.0.1 error: upstream timeout", "failed/timeout", "N/A",
            "/home/xinference/image/5f3c.jpg", "/v1/images/42/content", "https://help.example.com/error-code",
            "image/png", "oss://bucket/a.png", "c:\\a.png", "BM", INLINE[:30] + "é" + INLINE[31:], INLINE[:-3],
            f"data:image/png;base64,{SECRET}", f"upstream said {SECRET} at {LINK}", "https://h.example:port/a.png",
            "https://h.example/\ud83d.png", "https://h.example/a b.png", "../../a.png", "https://.../a.png",
        ]
    ),
    st.text(max_size=40),
)  # fmt: skip
images = st.one_of(links, links, inline, strangers)
codes = st.one_of(
    st.sampled_from(
        [
            None, "", 0, 200, 400, 401, 429, 500, "200", "500", True, "success", "InvalidParameter", "Throttling.RateQuota",
            "DataInspectionFailed", "InternalError.Algo", "Arrearage", "openai_error", "." * 50, SECRET, 10**30, 1e400,
        ]
    ),
    st.text(max_size=20),
)  # fmt: skip
sentences = st.one_of(
    st.sampled_from(
        [
            None, "", "size is not supported", "Requests rate limit exceeded", "Green net check failed for input text",
            f"Incorrect API key provided: {SECRET}", f"see {LINK} (request id: r-7)", "\\u0073k" * 9,
            f"https%3A%2F%2Fimg.example.com%2Fa.png%3F{SIGNED.replace('=', '%3D')}", "half \ud83d an emoji", "\x00",
        ]
    ),
    st.text(max_size=40),
)  # fmt: skip
numbers = st.one_of(
    st.integers(-(10**25), 10**25),
    st.floats(),
    st.sampled_from(["1", "1e9", True, None, []]),
    long("9", 5000),
    st.just(400).map(lambda digits: 10**digits),
)
ids = st.one_of(
    st.sampled_from(["t-1", "../t 1", "..", "", 7, None, {"id": "t"}, SECRET, "é\n"]),
    long("r. ", 3000),
    st.text(max_size=12),
)
states = st.sampled_from(
    ["PENDING", "RUNNING", "SUSPENDED", "SUCCEEDED", "FAILED", "CANCELED", "UNKNOWN", "NEW", "", None, 7, []]
)


def some(**fields):
    """Draw an object that has some of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


items = st.one_of(
    some(
        url=st.one_of(images, st.lists(images, max_size=3), some(url=images)),
        b64_json=st.one_of(inline, strangers),
        image=st.one_of(images, some(url=images)),
        revised_prompt=sentences,
        seed=numbers,
        code=codes,
        message=sentences,
    ),
    images,
)
parts = st.one_of(
    some(type=st.sampled_from(["image", "text", 7]), text=images, image=st.one_of(images, some(url=images))),
    st.fixed_dictionaries({"text": sentences}),
    strangers,
)
messages = some(role=st.just("assistant"), content=st.one_of(st.lists(parts, max_size=4), images))
usage = some(
    image_count=numbers,
    output_image_count=numbers,
    width=numbers,
    height=numbers,
    size=st.one_of(st.sampled_from(["1280*1280", "1024x768", "2K", "auto", "1" * 40]), st.text(max_size=9)),
    input_tokens=numbers,
    total_tokens=numbers,
)
outputs = st.one_of(
    some(
        choices=st.lists(some(message=messages, finish_reason=st.just("stop")), max_size=3),
        results=st.lists(items, max_size=3),
        task_id=ids,
        task_status=states,
        code=codes,
        message=sentences,
    ),
    st.lists(messages, max_size=3),
    strangers,
)
errors = st.one_of(
    some(message=sentences, type=codes, code=codes, param=st.just("")),
    sentences,
    st.lists(some(message=sentences, code=codes) | sentences, max_size=3),
)
plain = st.one_of(
    some(created=numbers, usage=usage, request_id=ids, data=st.lists(items, min_size=1, max_size=4)),  # P1
    st.builds(
        lambda given, listed: {**given, "data": listed},
        some(usage=usage),
        st.lists(items, min_size=1, max_size=3),
    ),
    st.builds(lambda given, output: {**given, "output": output}, some(usage=usage, request_id=ids), outputs),
    some(
        output=outputs, usage=usage, request_id=ids, code=codes, message=sentences
    ),  # P3, P4, P5, E1, E5, E6
    some(error=errors, request_id=ids, success=st.booleans(), message=sentences),  # E2, E3, E4, E7
    some(
        detail=st.one_of(
            sentences, st.lists(some(loc=st.lists(sentences, max_size=2), msg=sentences), max_size=2)
        )
    ),
    some(task_id=ids, id=ids, status=states, task_info=some(id=ids)),  # P7
    some(
        type=st.sampled_from(["image_generation.completed", "image_generation.partial_image"]),
        b64_json=inline,
    ),
    some(id=ids, object=st.just("chat.completion"), choices=st.lists(some(message=messages), max_size=2)),
)
documents = st.one_of(
    plain,
    st.builds(lambda given, raw: {**given, "metadata": raw}, plain, plain),  # P2
    st.builds(lambda given, raw: {**given, "extra": raw}, plain, plain),
    st.builds(
        lambda code, said, inner: {"code": code, "msg": said, "data": inner}, codes, sentences, plain
    ),  # P6
)
junk = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def damaged(draw, document):
    """Draw a document of which one part, at any depth, is something else."""
    value = draw(document)
    holder, path = value, value
    while isinstance(path, (dict, list)) and path:
        holder = path
        key = draw(
            st.sampled_from(sorted(path, key=str))
            if isinstance(path, dict)
            else st.integers(0, len(path) - 1)
        )
        path = path[key]
        if draw(st.booleans()):
            break
    if isinstance(holder, (dict, list)) and holder:
        holder[key] = draw(junk)
    return value


def spelled(document):
    return json.dumps(document, ensure_ascii=True).encode()


def stream(frames):
    """An event stream (P8) as DashScope writes it, comments and all."""
    return b"".join(
        b"id:1\nevent:result\n:HTTP_STATUS/200\ndata:" + spelled(frame) + b"\n\n" for frame in frames
    )


def archive(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for number, data in enumerate(files):
            packed.writestr(f"{number}.png", data)
    return out.getvalue()


whole_bodies = st.one_of(
    documents.map(spelled),
    damaged(documents).map(spelled),
    st.lists(documents, min_size=1, max_size=4).map(stream),
    st.lists(st.sampled_from([PNG, b"text", b""]), max_size=3).map(archive),
    st.sampled_from([PNG, b"", b"<html>busy</html>", b"BM busy", b"[]", b"null", b"{}"]),
    st.binary(max_size=60),
    st.just(2000).map(lambda levels: b'{"a":' * levels + b"1" + b"}" * levels),
)


@st.composite
def bodies(draw):
    """Draw a body, whole or with a few bytes that got lost, came twice or are others."""
    body = draw(whole_bodies)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        place, length = draw(st.integers(0, len(body))), draw(st.integers(0, 9))
        spoiled = draw(
            st.sampled_from(
                [b"", body[place : place + length] * 2, b"\xff", b"\x00", b"\n\n", b'"', b"\\ud83d"]
            )
        )
        body = body[:place] + spoiled + body[place + length :]
    return body


headers = some(
    **{
        "content-type": st.sampled_from(["application/json", "text/html; charset=x", "image/png", "x " * 40]),
        "retry-after": st.one_of(
            st.sampled_from(["7", "9" * 80, "Fri, 21 Nov 99999 04:00:30 GMT", "-1"]), st.text(max_size=20)
        ),
        "x-request-id": st.sampled_from(["r-1", SECRET, "r. " * 60]),
        "location": st.sampled_from(["http://[", LINK, "x " * 60]),
    }
)
statuses = st.sampled_from([*[200] * 12, 201, 204, 302, 400, 401, 404, 422, 429, 500, 502, 503])


def _parts(named):
    return [{"image": image} for image in named]


def _choices(parts):
    return {"output": {"choices": [{"message": {"role": "assistant", "content": parts}}]}}


# Every shape of a reply, made of the images it holds; each gives back exactly these, in their order.
SHAPES = {
    "P1": lambda named: spelled({"data": [{"url": image} for image in named]}),
    "P1, bare": lambda named: spelled({"data": list(named)}),
    "P1, one item": lambda named: spelled({"data": [{"url": list(named)}]}),
    "P1, other name": lambda named: spelled({"images": [{"image_url": {"url": image}} for image in named]}),
    "P2": lambda named: spelled({"data": [{"url": named[-1]}], "metadata": _choices(_parts(named))}),
    "P2, extra": lambda named: spelled({"data": [], "extra": _choices(_parts(named))}),
    "P3": lambda named: spelled(_choices(_parts(named))),
    "P3, a choice each": lambda named: spelled(
        {"output": {"choices": [{"message": {"content": [part]}} for part in _parts(named)]}}
    ),
    "P4": lambda named: spelled({"output": {"results": [{"url": image} for image in named]}}),
    "P5": lambda named: spelled(
        {"output": [{"content": [{"type": "image", "text": image} for image in named]}]}
    ),
    "P6": lambda named: spelled(
        {"code": 200, "msg": "ok", "data": {"data": [{"url": image} for image in named]}}
    ),
    "P8": lambda named: stream([_choices([part]) for part in _parts(named)]),
    "P8, all so far": lambda named: stream(
        [_choices(_parts(named[: count + 1])) for count in range(len(named))]
    ),
    "P8 of P1": lambda named: stream([{"data": [{"url": image}]} for image in named]),
    "P8 of P4": lambda named: stream([{"output": {"results": [{"url": image}]}} for image in named]),
    "P8 with captions": lambda named: stream([_choices([part, {"text": "so"}]) for part in _parts(named)]),
}
good_links = st.lists(
    st.one_of(
        st.sampled_from([LINK, "https://cdn.example/view?id=7"]),
        st.uuids().map("https://h.example/{}.png".format),
    ),
    min_size=1,
    max_size=6,
    unique=True,
)
