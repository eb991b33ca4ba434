"""The fixtures for users' tests, and the example of docs/testing.md, which is run as it stands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from airflow_provider_qwenimage.operators.qwenimage import QwenImageGenerateOperator
from airflow_provider_qwenimage.testing import plugin
from harness import InMemoryAirflow

PAGE = Path(__file__).parent.parent / "docs" / "testing.md"
LOAD = """
import sys, pytest
from importlib.metadata import entry_points
(entry,) = [each for each in entry_points(group="pytest11") if each.name == "qwenimage"]
before = set(sys.modules)
entry.load()
print(*sorted(set(sys.modules) - before))
"""


def drawn(**arguments):
    task = QwenImageGenerateOperator(task_id="draw", prompt="a mug", model="qwen-image-plus", **arguments)
    return InMemoryAirflow().run_to_end(task)


def key_of(conn_id="QWENIMAGE_DEFAULT"):
    return json.loads(os.environ[f"AIRFLOW_CONN_{conn_id}"])["password"]


def test_both_connections_lead_to_this_machine(qwenimage):
    bucket = qwenimage.bucket("kept")
    assert drawn(persist_to=f"{bucket}/mugs/").state == "success"
    assert (qwenimage.posts, qwenimage.billed) == (1, 1)
    (image, content), (manifest, _) = qwenimage.stored(f"{bucket}/mugs/").items()
    assert (image[-4:], content[1:4], manifest) == (".png", b"PNG", "mugs/manifest.json")
    assert qwenimage.stored(f"{bucket}/teapots/") == {}


@pytest.mark.parametrize(("name", "state", "posts"), [("502", "failed", 1), ("503_overloaded", "success", 2)])
def test_a_fault_is_met_by_its_name(qwenimage, name, state, posts):
    qwenimage.fault(name)
    assert (drawn().state, qwenimage.posts) == (state, posts)


def test_a_fault_that_is_none_is_told_with_those_there_are(qwenimage):
    with pytest.raises(ValueError, match=r"unknown fault '428'; there are 429, "):
        qwenimage.fault("428")


def test_the_connection_takes_another_gateway_and_extras(qwenimage):
    qwenimage.configure(job_seconds=0.1)
    assert qwenimage.connect("dashscope", model="wan2.2-t2i-plus") == "qwenimage_default"
    task = QwenImageGenerateOperator(task_id="draw", prompt="a mug", poll_interval=0.1)
    assert InMemoryAirflow().run_to_end(task).state == "success"
    assert qwenimage.bodies[0]["model"] == "wan2.2-t2i-plus"


@pytest.fixture(scope="module")
def told():
    """What the tests below leave for the one after them."""
    return {}


@pytest.mark.parametrize("turn", [1, 2])
def test_nothing_of_a_test_is_left_for_the_next(qwenimage, told, turn):
    bucket = qwenimage.bucket("often")
    assert (qwenimage.billed, qwenimage.stored(bucket)) == (0, {})
    assert qwenimage.simulator.state.settings.job_seconds != 99
    assert key_of() != told.get("key")
    told["key"] = key_of()
    qwenimage.configure(job_seconds=99)
    drawn(persist_to=f"{bucket}/mugs/")
    qwenimage.fault("429")


def test_a_run_that_asks_for_nothing_imports_nothing(in_subprocess):
    package = "airflow_provider_qwenimage"
    assert in_subprocess(LOAD).split() == [package, f"{package}.testing", f"{package}.testing.plugin"]


def test_what_is_not_installed_is_named_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "moto", None)
    with pytest.raises(pytest.fail.Exception, match=r"moto not installed: pip install '.*\[testing\]'"):
        plugin._installed()


def test_the_example_of_the_page_is_green_as_it_stands(tmp_path):
    files = re.findall(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert [name for name, _ in files] == [
        "dags/teapots.py",
        "tests/conftest.py",
        "tests/test_teapots.py",
        ".github/workflows/dags.yaml",
    ]
    for name, text in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))
    }
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests"],
        check=False,
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert "3 passed" in ran.stdout, ran.stdout + ran.stderr


def test_the_page_start_leads_to_an_image(tmp_path):
    """Its command, the lines it prints and its Dag; Airflow's own pages are looked at by tests/browser."""
    page = PAGE.with_name("index.md").read_text()
    assert "\npython -m airflow_provider_qwenimage.testing\n" in page
    ((name, text),) = re.findall(r"^```python\n# (\S+)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / Path(name).name).write_text(text)
    command = [sys.executable, "-m", "airflow_provider_qwenimage.testing", "--port", "0", "--s3-port", "0"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets what it runs in the background ignore Ctrl-C, and the tests may be that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - it only sets that
    ) as serving:
        told = [serving.stdout.readline() for _ in range(3)]
        os.environ.update(re.match(r"export (\w+)='(.*)'\n", line).groups() for line in told[:2])
        (dag,) = DagBag(dag_folder=str(tmp_path)).dags.values()
        attempt = InMemoryAirflow(dag_id=dag.dag_id).run_to_end(dag.task_dict["draw"])
        serving.send_signal(signal.SIGINT)
        assert serving.wait(60) == 0
    assert attempt.state == "success", attempt.error
    assert [uri.startswith("s3://marketing/first/") for uri in attempt.result] == [True, True]
    shown = re.search(r"^```text\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[1].splitlines()
    assert [line.partition("=")[0] for line in shown[:2]] == [line.partition("=")[0] for line in told[:2]]
    assert re.sub(r"\d{4,}", "8700", told[2]).strip() == shown[2]
