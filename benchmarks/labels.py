"""What marks of origin cost an image of 1.5 MB, beside a copy of its bytes and their sha256."""

from __future__ import annotations

import hashlib
import io
import random
import statistics
import time
import tracemalloc
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.images.checked import receive_bytes
from airflow_provider_qwenimage.images.formats import inspect
from airflow_provider_qwenimage.images.label import Label, labelled, with_marks
from benchmarks.measuring import ROUNDS, table

if TYPE_CHECKING:
    from collections.abc import Callable

_TURNS = 100
_SIDES = 760, 658  # of noise, which is 1.5 MB as PNG


def label() -> None:
    """In one process and one thread, in turn, so that a busy moment hits all of them."""
    from PIL import Image

    out = io.BytesIO()
    Image.frombytes("RGB", _SIDES, random.Random(1).randbytes(_SIDES[0] * _SIDES[1] * 3)).save(out, "PNG")
    whole = out.getvalue()
    image = receive_bytes(whole, max_bytes=1 << 30)
    wanted = Label(tc260_producer="91330000MA")
    lacking = wanted.lacking(image.facts.marks, "0" * 32)
    works: dict[str, Callable[[], object]] = {
        "a copy of the bytes": lambda: bytearray(whole),
        "their sha256": lambda: hashlib.sha256(whole).digest(),
        "the bytes with a label": lambda: _joined(with_marks(lacking, image.body, image.size, "image/png")),
        "the same and their sha256: `provenance='label'`": lambda: labelled(image, wanted),
        "the proof that a file is whole, marks read on the way": lambda: inspect(image.body, image.size),
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(_TURNS * ROUNDS):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            taken[name].append((time.perf_counter() - began) * 1000)
    base = statistics.median(taken["their sha256"])
    title = f"Marks of origin of {len(whole) / 1e6:.2f} MB of PNG (median of {_TURNS * ROUNDS})"
    table(title, "what", "ms", "× sha256")
    for name, times in taken.items():
        print(f"| {name} | {statistics.median(times):.3f} | {statistics.median(times) / base:.2f} |")
    tracemalloc.start()
    labelled(image, Label())
    print(f"\nMemory of a label: {tracemalloc.get_traced_memory()[1] / image.size:.2f} × the image")
    tracemalloc.stop()


def _joined(chunks: object) -> bytearray:
    out = bytearray()
    for chunk in chunks:  # type: ignore[attr-defined]
        out += chunk
    return out
