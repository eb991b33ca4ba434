"""What the pages of the plugin cost: thumbnails by CPU and memory, and in Chromium what a person waits for."""

from __future__ import annotations

import io
import random
import re
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psutil

from benchmarks.measuring import ROUNDS, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_IMAGES = 40  # for each round
_TAB = 500
_RUNS = 1000
_SET = 20  # images of a run
_SEEN = "return [...document.querySelectorAll('#grid img')].map((it) => it.complete && it.naturalWidth > 0)"
_BYTES = "return performance.getEntriesByType('resource').reduce((all, it) => all + it.encodedBodySize, 0)"


def _noise(number: int, sides: tuple[int, int] = (760, 658)) -> bytes:
    """1.5 MB as PNG."""
    from PIL import Image

    out = io.BytesIO()
    Image.frombytes("RGB", sides, random.Random(number).randbytes(sides[0] * sides[1] * 3)).save(out, "PNG")
    return out.getvalue()


def _smooth(kind: str, **options: Any) -> bytes:
    """1328 x 1328 pixels with a little grain, as a model makes them: 1.5 MB as PNG."""
    from PIL import Image, ImageChops

    ramp = Image.effect_noise((20, 20), 90).resize((1328, 1328), Image.Resampling.BICUBIC)
    grain = ImageChops.add(ramp, Image.effect_noise(ramp.size, 0.5), 1.0, -128)
    out = io.BytesIO()
    Image.merge("RGB", [grain, ramp.rotate(90), ramp.rotate(180)]).save(out, kind, **options)
    return out.getvalue()


def thumbnails() -> None:
    """In the processes an API server has for it; CPU is theirs, so that a busy machine does not count."""
    from airflow_provider_qwenimage.plugins.thumbnails.processes import Makers

    kinds = {
        "PNG, 760 × 658 of noise": _noise(1),
        "PNG, 1328 × 1328": _smooth("PNG"),
        "JPEG, 1328 × 1328": _smooth("JPEG", quality=97),
        "WebP, 1328 × 1328": _smooth("WEBP", quality=95),
    }
    table(
        f"Thumbnails (median of {ROUNDS})", "of", "MB", "a second and core", "kB of one", "MiB of a process"
    )
    for name, whole in kinds.items():
        makers = Makers(1)
        small = makers.make(whole)
        process = psutil.Process(makers._idle.queue[0]._process.pid)  # noqa: SLF001
        rates = []
        for _ in range(ROUNDS):
            before = sum(process.cpu_times()[:2])
            for _ in range(_IMAGES):
                makers.make(whole)
            rates.append(_IMAGES / (sum(process.cpu_times()[:2]) - before))
        resident = process.memory_info().rss / 2**20
        makers.close()
        told = f"{len(whole) / 1e6:.2f} | {statistics.median(rates):.0f} | {len(small) / 1e3:.0f} | {resident:.0f}"
        print(f"| {name} | {told} |")


def pages() -> None:
    """In Chromium: the tab of a task, and the page of all runs, beside pages of Airflow's own."""
    with _shelf() as (shelf, browser):
        wholes = [_noise(number) for number in range(60)]
        run = shelf.run("mugs")
        stored = [shelf.store(number, whole) for number, whole in enumerate(wholes)]
        more = [
            {**stored[at % 60], "uri": f"s3://shelf/more/{at}.png", "index": at} for at in range(60, _TAB)
        ]
        shelf.push("mugs", run, "store", stored=[*stored, *more])
        task = f"dags/mugs/runs/{quote(run, safe='')}/tasks/store"
        browser.open(f"{task}/details")
        before = _api_server()
        originals = sum(map(len, wholes)) / len(wholes) * _TAB
        _tab(browser, task, originals)
        _scrolled(browser, before)
        small = [{**image, "prompt": "a mug"} for image in stored[:_SET]]
        for _ in range(_RUNS):
            shelf.push("shoes", shelf.run("shoes"), "store", stored=small)
        _library(browser)


@contextmanager
def _shelf() -> Iterator[tuple[Any, Any]]:
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from browser.browser import HOW_TO_INSTALL, Browser, installed
    from browser.shelf import shelf
    from demo.local_s3 import serving

    programs = installed()
    if programs is None:
        raise SystemExit(HOW_TO_INSTALL)
    with ExitStack() as started:
        folder = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="bench-pages-")))
        (folder / "home").mkdir()
        s3 = started.enter_context(serving(folder / "buckets", log=folder / "rclone.log"))
        airflow = started.enter_context(shelf(folder / "home", s3))
        browser = Browser(airflow.url, programs)
        started.callback(browser.close)
        browser.open("")
        yield airflow, browser


def _timed(browser: Any, path: str, seen: Callable[[], Any]) -> float:
    began = time.perf_counter()
    browser.open(path)
    while not _so(seen):
        if time.perf_counter() - began > 120:
            raise SystemExit(f"{path} is not there after two minutes: {browser.text()[-500:]}")
    return time.perf_counter() - began


def _so(seen: Callable[[], Any]) -> bool:
    from selenium.common.exceptions import WebDriverException

    try:
        return bool(seen())
    except (WebDriverException, IndexError):
        return False


def _tab(browser: Any, task: str, originals: float) -> None:
    def loaded() -> list[bool]:
        browser.driver.switch_to.default_content()
        browser.driver.switch_to.frame(browser.driver.find_element("css selector", "iframe"))
        return list(browser.driver.execute_script(_SEEN))

    def everything() -> bool:
        seen = loaded()
        return bool(seen) and all(seen)

    empty, first, whole, sent = [], [], [], 0.0
    for _ in range(ROUNDS):
        browser.driver.switch_to.default_content()
        empty.append(_timed(browser, f"{task}/details", lambda: "store" in browser.text()))
        first.append(_timed(browser, f"{task}/plugin/qwenimage", lambda: any(loaded())))
        browser.driver.switch_to.default_content()
        browser.open("")
        whole.append(_timed(browser, f"{task}/plugin/qwenimage", everything))
        sent = max(sent, float(browser.driver.execute_script(_BYTES)))
        browser.driver.switch_to.default_content()
    page, one, all_ = (statistics.median(times) for times in (empty, first, whole))
    table(f"The tab of {_TAB} images of 1.5 MB (median of {ROUNDS})", "what", "s", "× a page of Airflow")
    print(f"| Airflow's details of the task | {page:.2f} | 1.00 |")
    print(
        f"| the first picture | {one:.2f} | {one / page:.2f} |\n| all that are seen | {all_:.2f} | {all_ / page:.2f} |"
    )
    print(f"\nBytes until then: {sent / 1e6:.2f} MB, {sent / originals:.4%} of the originals")


def _scrolled(browser: Any, before: float) -> None:
    """Look through the whole tab, then at what the API server has taken for it."""
    browser.driver.switch_to.frame(browser.driver.find_element("css selector", "iframe"))
    page = "const page = document.scrollingElement; "
    while browser.driver.execute_script(
        page + "const at = page.scrollTop; page.scrollBy(0, innerHeight); return page.scrollTop > at"
    ):
        time.sleep(0.3)
    browser.driver.switch_to.default_content()
    print(f"\nThe API server took {_api_server() - before:.0f} MiB more than before its first thumbnail.")


def _api_server() -> float:
    """Return the MiB of the API server and of the processes it started; what they share counts once."""
    ours = psutil.Process().children(recursive=True)
    servers = [one for one in ours if re.search("api.server", " ".join(one.cmdline()))]
    every = {*servers, *(child for one in servers for child in one.children(recursive=True))}
    return sum(one.memory_full_info().pss for one in every) / 2**20


def _library(browser: Any) -> None:
    def seen() -> bool:
        drawn = browser.driver.execute_script(_SEEN)
        return bool(drawn) and all(drawn)

    own = [
        _timed(
            browser, "dags/shoes/runs", lambda: "manual__" in browser.text() or "success" in browser.text()
        )
        for _ in range(ROUNDS)
    ]
    ours = [_timed(browser, "qwenimage/library", seen) for _ in range(ROUNDS)]
    table(
        f"All images of {_RUNS} runs with {_SET} each (median of {ROUNDS})", "page", "s", "× Airflow's list"
    )
    base = statistics.median(own)
    print(f"| Airflow's list of the runs | {base:.2f} | 1.00 |")
    print(
        f"| the first page of images | {statistics.median(ours):.2f} | {statistics.median(ours) / base:.2f} |"
    )
