"""
How far a reader walks: the functions and files from ``execute`` to the POST and to the PUT of an image.

Counted as the tasks run, on every thread; run ``pytest tests/test_reading_path.py -s`` to see the figures that
docs/architecture.md tells.
"""

from __future__ import annotations

import gc
import inspect
import sys
import threading
from contextlib import contextmanager
from functools import _lru_cache_wrapper
from pathlib import Path

import pytest

import airflow_provider_qwenimage
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from harness.airflow import InMemoryAirflow

ROOT = Path(airflow_provider_qwenimage.__file__).parent
# What is optional is imported and called where it is asked for.
MOST_FILES = {"persisted": 32, "batch": 42}


class Walk:
    """Remembers which functions of the package ran, and how many had at the first POST and the first PUT."""

    def __init__(self):
        self.passed, self.marks, self.running = set(), {}, False

    def __call__(self, frame, event, _):
        if event != "call":
            return
        code = frame.f_code
        file = Path(code.co_filename)
        if ROOT in file.parents:
            if code.co_name == "execute":
                self.running = True
            # A function, not the body of a class or a module that is imported on the way.
            function = code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<")
            inside = self.running and function and "simulator" not in file.parts
            if inside:
                self.passed.add((str(file.relative_to(ROOT)), code.co_qualname))
        elif file.name == "_client.py" and code.co_name == "_send_single_request":
            request = frame.f_locals["request"]
            if request.url.path.endswith("/generations"):
                self.mark(request.method)
        elif file.name == "httpsession.py" and code.co_name == "send":
            request = frame.f_locals["request"]
            if request.url.partition("?")[0].endswith(".png"):
                self.mark(request.method)

    def mark(self, method):
        if self.running:
            self.marks.setdefault(method, set(self.passed))

    def figures(self, method):
        functions = self.marks[method]
        return len(functions), len({file for file, _ in functions})


@contextmanager
def walking():
    walk = Walk()
    for kept in gc.get_objects():  # what an earlier test has read of the catalogue is read again
        if type(kept) is _lru_cache_wrapper and kept.__module__.startswith(ROOT.name):
            kept.cache_clear()
    threading.setprofile(walk)
    sys.setprofile(walk)
    try:
        yield walk
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


@pytest.fixture
def place(moto_s3, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", moto_s3.connection)
    moto_s3.client().create_bucket(Bucket="walked")
    return "s3://walked/here/"


@pytest.mark.parametrize("way", ["generate", "persisted", "batch"])
def test_a_reader_walks_no_further_than_this(way, place, simulator, qwenimage_connection, capfd):
    qwenimage_connection("tokenhot")
    model = "qwen-image-plus"
    operators = {
        "generate": lambda: QwenImageGenerateOperator(task_id="t", prompt="a mug", model=model),
        "persisted": lambda: QwenImageGenerateOperator(
            task_id="t", prompt="a mug", model=model, persist_to=place
        ),
        "batch": lambda: QwenImageBatchOperator(
            task_id="t", requests=["a mug"], model=model, persist_to=f"{place}batch/"
        ),
    }
    with walking() as walk:
        attempt = InMemoryAirflow().run_to_end(operators[way]())
    assert attempt.state == "success"
    for method in ("POST", "PUT"):
        if method in walk.marks:
            functions, files = walk.figures(method)
            with capfd.disabled():
                sys.stdout.write(f"\n{way}, to the {method}: {functions} functions in {files} files\n")
            assert method == "POST" or files <= MOST_FILES[way]
