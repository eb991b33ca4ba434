"""
No text a gateway can send keeps the interpreter busy: each pattern gets its worst case, each reader its worst reply.

A regular expression holds the interpreter until it is done, so no timeout of ours fires meanwhile. What is measured
is the CPU time of a process of its own, which other load on the machine does not change.
"""

from __future__ import annotations

import json

PATTERNS = r"""
import importlib, itertools, json, pkgutil, re, time
import airflow_provider_qwenimage.wire as wire

PUMPS = (
    "a", "A1", "a-", "a.", "a/", "a=", "0", "0.", "00 ", " ", "\t", "\n", "\r\n", "\\", "\\\\u00", "%", "%25", "%2", "&",
    "-", "_", ":", "=", "<", "<!--", "<?xml ", "(", "(request id: ", "data:", "data:a/", "data:a/a;base64,", "data: ",
    "bearer ", "sk-", "http://", "https%3A%2F%2F", "https%25", "token", "token=", "secret", "signature", "sig", "x-oss-",
    "x-amz-", "q-", "1;", "?", "a?", "model ", "model not ", "requests ", "data inspection ", "a" * 199 + " ",
    "A" * 4095 + " ", "..", "../", "/v1/", "a.png?", "\u0661", "\ud7ff", "\x00",
)
BEFORE = ("", "http://h/?", "model ", "(")
AFTER = ("", "!")
LENGTH, LIMIT = 8 * 1024, 0.15  # a pattern that takes the square of it takes a second


def patterns(value):
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, (tuple, list, set, frozenset)):
        for inner in value:
            yield from patterns(inner)
    elif isinstance(value, dict):
        yield from patterns(tuple(value.values()))


names = [f"{wire.__name__}.{found.name}" for found in pkgutil.iter_modules(wire.__path__)]
names += [f"airflow_provider_qwenimage.{name}" for name in ("redaction", "images.download", "images.hosts")]
tried, slow = set(), []
for name in names:
    module = importlib.import_module(name)
    for pattern in patterns(tuple(vars(module).values())):
        if pattern in tried:
            continue
        tried.add(pattern)
        for before, pump, after in itertools.product(BEFORE, PUMPS, AFTER):
            text = before + (pump * LENGTH)[:LENGTH] + after
            if isinstance(pattern.pattern, bytes):
                text = text.encode("latin-1", "replace")
            began = time.process_time()
            pattern.fullmatch(text)
            found = sum(1 for _ in pattern.finditer(text))
            spent = time.process_time() - began
            if spent > LIMIT:
                slow.append([name, str(pattern.pattern), before + pump, round(spent, 2)])
                break
print(json.dumps({"tried": len(tried), "slow": slow}))
"""


def test_no_pattern_backtracks(in_subprocess):
    told = json.loads(in_subprocess(PATTERNS).splitlines()[-1])

    assert told["slow"] == []
    assert told["tried"] > 20


def test_a_message_of_any_length_is_redacted_at_once(in_subprocess):
    source = r"""
import time
from airflow_provider_qwenimage.redaction import redact
spent = []
for pump in ("a-", "sk-", "a" * 199 + " ", "token", "\\", "https://a?", "data:a/", "bearer "):
    text = pump * (4_000_000 // len(pump))
    began = time.process_time()
    redact(text)
    spent.append(time.process_time() - began)
print(max(spent))
"""
    assert float(in_subprocess(source).splitlines()[-1]) < 0.5


READERS = r"""
import json, time
from airflow_provider_qwenimage.exceptions import QwenImageError
from airflow_provider_qwenimage.wire.documents import documents
from airflow_provider_qwenimage.wire.harvest import harvest
from airflow_provider_qwenimage.wire.protocol import Reply
from airflow_provider_qwenimage.wire.refusals import classify

LINK = "https://img.example.com/a.png"


def frames(*documents):
    return b"".join(b"data:" + json.dumps(document).encode() + b"\n\n" for document in documents)


def content(*parts):
    return {"output": {"choices": [{"message": {"content": list(parts)}}]}}


def many(count, make):
    return frames(*map(make, range(count)))


BODIES = {
    "captions": many(19_000, lambda n: content({"text": f"{n} "})),
    "images": many(9_000, lambda n: content({"image": f"{LINK}?{n}"})),
    "data": many(9_000, lambda n: {"data": [{"url": f"{LINK}?{n}"}]}),
    "results": many(9_000, lambda n: {"output": {"results": [{"url": f"{LINK}?{n}"}]}}),
    "failed results": many(9_000, lambda n: {"output": {"results": [{"code": str(n)}]}}),
    "captions between images": many(9_000, lambda n: content({"text": "x"}, {"image": f"{LINK}?{n}"})),
    "all so far": many(300, lambda n: content(*({"image": f"{LINK}?{m}"} for m in range(n)))),
    "errors, then an image": many(15_000, lambda n: {"code": "InternalError"}) + frames({"data": [{"url": LINK}]}),
    "errors after an image": frames({"data": [{"url": LINK}]}) + many(15_000, lambda n: {"error": {"code": "x"}}),
    "empty frames": b"data:{}\n\n" * 800_000,
    "empty lines": b"\n" * 8_000_000,
    "words": json.dumps({"message": "model " * 1_000_000, "code": "x." * 300_000}).encode(),
    "backslashes": json.dumps({"error": {"message": "\\" * 3_000_000}}).encode(),
    "signed": json.dumps({"error": {"message": "a-" * 3_000_000}}).encode(),
    "one long url": json.dumps({"data": [{"url": LINK + "?" + "a" * 7_000_000}]}).encode(),
    "one long path": json.dumps({"data": [{"url": "a/" * 3_000_000}]}).encode(),
    "one long text": json.dumps(content({"type": "image", "text": "A1 " * 2_000_000})).encode(),
    "one long base64": json.dumps({"data": [{"b64_json": "iVBORw0K" * 800_000 + "!"}]}).encode(),
    "many images": json.dumps({"data": [{"url": f"{LINK}?{n}"} for n in range(90_000)]}).encode(),
    "many fields": json.dumps({str(n): LINK for n in range(90_000)}).encode(),
    "many codes": json.dumps({"code": "x", "data": [{"n": n} for n in range(45_000)]}).encode(),
    "lists in lists": (b'{"data":' + b"[" * 60 + b"{}," * 99_000 + b"{}" + b"]" * 60 + b',"code":"x"}'),
    "many links in one item": json.dumps({"data": [{"url": [LINK] * 90_000}]}).encode(),
    "many details": json.dumps({"detail": [{"loc": ["a"] * 9, "msg": "b"}] * 9_000}).encode(),
    "request ids": json.dumps({"error": {"message": "(request id: a" * 400_000, "request_id": "r" * 900_000}}).encode(),
}
spent = {}
for name, body in BODIES.items():
    for status in (200, 400):
        reply = Reply(status, {}, body)
        began = time.process_time()
        try:
            found = documents(reply)
            problem = classify(reply, found, now=0.0)
            if problem is None:
                harvest(reply, found, served_from="https://gw.example")
            else:
                str(problem), problem.facts()
        except QwenImageError as error:
            str(error), error.facts()
        spent[f"{name}, {status}"] = round(time.process_time() - began, 2)
print(json.dumps(spent))
"""


def test_no_reply_takes_more_than_a_second(in_subprocess):
    spent = json.loads(in_subprocess(READERS).splitlines()[-1])

    assert {name: seconds for name, seconds in spent.items() if seconds > 1.0} == {}


def test_a_reply_of_small_objects_fills_no_memory(in_subprocess):
    source = r"""
import resource
from airflow_provider_qwenimage.wire.documents import documents
from airflow_provider_qwenimage.wire.protocol import Reply
reply = Reply(200, {}, b'{"data":[' + b"{}," * 33_000_000 + b"{}]}")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert documents(reply) == ()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    assert float(in_subprocess(source).splitlines()[-1]) < 16  # MiB, of a reply of 100 MB
