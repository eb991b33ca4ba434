"""``make demo ARGS=--ui``: Airflow stays with an approval that waits, and Ctrl-C ends every process of it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from e2e.airflow_cluster import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture
def demo(tmp_path):
    """The command, what it prints into a file, and in the end nothing of it left, whatever the test found."""
    told = tmp_path / "told"
    with told.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "demo", "--ui"],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A shell lets what it runs in the background ignore Ctrl-C, and the tests may be that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
        )
    yield process, told
    if process.poll() is None:
        process.terminate()
        process.wait(timeout=60)


def test_it_starts_its_link_answers_and_ctrl_c_ends_every_process(demo):
    process, told = demo

    def link():
        assert process.poll() is None, told.read_text()
        return re.search(r"^Choose +(\S+)$", told.read_text(), re.MULTILINE)

    eventually(lambda: bool(link()), "the link", told.read_text, patience=400)
    address = link()[1]
    base, where = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/dags/(.+)", address).groups()
    assert "Images   http://127.0.0.1:" in told.read_text()
    with httpx.Client(follow_redirects=True, timeout=60) as browser:
        assert browser.get(f"{base}/").is_success  # signs everybody in
        assert browser.get(address).is_success
        dag_id, _, run_id, _, task_id, *_ = where.split("/")
        of = f"dag_id={dag_id}&run_id={run_id}&task_id={task_id}"
        assert '/approval.js"' in browser.get(f"{base}/qwenimage/gallery?{of}").text

    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(family) > 5
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0, told.read_text()
    assert "nothing is left running" in told.read_text()
    assert [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []
