"""What the gallery's own script finds out of a run by Airflow's REST API: costs and failures; run by Node.js."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_qwenimage.plugins import qwenimage

GALLERY = Path(qwenimage.__file__).parent / "gallery"
SCRIPT = """
globalThis.document = { baseURI: process.argv[2] };
globalThis.location = new URL(process.argv[3], process.argv[2]);
const { collect } = await import("./collect.js");
const told = { spent: [], notes: [], images: [], failures: [], running: [] };
await collect({
  images: (cards) => told.images.push(...cards),
  priced: () => {},
  spent: (usage) => told.spent.push([usage.cost, usage.currency]),
  failures: (found) => told.failures.push(...found),
  note: (text) => told.notes.push(text),
  running: (tasks) => told.running.push(...tasks.map(({ taskId }) => taskId)),
});
console.log(JSON.stringify({ ...told, images: told.images.map(({ cost }) => cost) }));
"""
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")


class Rest(BaseHTTPRequestHandler):
    """Airflow's REST API, as far as the script asks it: the XComs of one run, its tasks, and a batch's journal."""

    def do_GET(self):
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path.endswith("/unfinished"):
            return self.answer(self.server.journal[int(query["after"])])
        task, _, rest = parts.path.partition("/taskInstances/")[2].partition("/")
        if not task:
            tasks = [] if query.get("state") else self.server.tasks
            return self.answer({"task_instances": tasks, "total_entries": len(tasks)})
        xcoms = self.server.xcoms
        if rest == "xcomEntries":
            found = [
                {"task_id": of, "map_index": -1}
                for of, keys in xcoms.items()
                if query["xcom_key"] in keys and task in ("~", of)
            ]
            page = found[int(query["offset"]) :]
            return self.answer({"xcom_entries": page, "total_entries": len(found)})
        return self.answer({"value": xcoms[task][rest.partition("/")[2]]})

    def answer(self, body):
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def collected(tmp_path):
    """Run the script on the XComs of a run and return what it tells the page."""
    for name in GALLERY.glob("*.js"):
        shutil.copy(name, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "run.js").write_text(SCRIPT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Rest)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()

    def run(xcoms, page="gallery?dag_id=d&run_id=r", *, tasks=(), journal=None):
        server.xcoms, server.tasks, server.journal = xcoms, list(tasks), journal
        base = f"http://127.0.0.1:{server.server_port}/qwenimage/"
        ran = subprocess.run(
            ["node", tmp_path / "run.js", base, page], capture_output=True, text=True, timeout=60, check=True
        )
        return json.loads(ran.stdout)

    yield run
    server.shutdown()
    server.server_close()
    thread.join()


def usage(cost):
    return {"image_count": 2, "cost": cost, "currency": "CNY"}


IMAGE = {"url": "https://images.test/a.png", "index": 0}
STORED = {"uri": "s3://bucket/a.png", "url": "https://images.test/a.png", "index": 0}


def test_an_unfinished_batch_is_in_the_total_of_its_run_and_a_finished_task_is_there_once(collected):
    told = collected({
        "generate": {"images": [IMAGE], "usage": usage(0.2)},
        "store": {"stored": [STORED]},
        "campaign": {"usage": usage(1.2), "failures": []},
    })  # fmt: skip
    assert told["images"] == [0.2]
    assert told["spent"] == [[1.2, "CNY"]]


def test_the_tab_of_an_unfinished_batch_tells_its_own_cost(collected):
    xcoms = {"campaign": {"usage": usage(1.2)}, "other": {"usage": usage(7)}}
    told = collected(xcoms, "gallery?dag_id=d&run_id=r&task_id=campaign&map_index={MAP_INDEX}")
    assert told["spent"] == [[1.2, "CNY"]]


def test_a_usage_that_is_none_costs_nothing(collected):
    assert collected({"campaign": {"usage": "much"}})["spent"] == [[None, None]]


def task(task_id, operator="QwenImageBatchOperator", state="running"):
    facts = {"operator_name": operator, "state": state, "start_date": "2026-11-21T06:00:00Z", "try_number": 1}
    return {"task_id": task_id, "map_index": -1, **facts}


def test_a_running_batch_shows_what_it_stored_so_far_with_its_cost(collected):
    image = {"uri": "s3://bucket/00000.png", "index": 0, "cost": 0.2, "currency": "CNY"}
    journal = {
        0: {"images": [image], "after": 3, "more": True},
        3: {"images": [{**image, "uri": "s3://bucket/00001.png"}], "after": 4, "more": False},
    }
    tasks = [task("campaign"), task("other", "PythonOperator")]
    told = collected({}, tasks=tasks, journal=journal)
    assert (told["images"], told["running"], told["spent"]) == ([0.2, 0.2], ["campaign"], [])


def test_a_batch_that_failed_shows_its_images_and_counts_its_cost_once(collected):
    image = {"uri": "s3://bucket/00000.png", "index": 0, "cost": 0.2, "currency": "CNY"}
    journal = {0: {"images": [image], "after": 1, "more": False}}
    told = collected(
        {"campaign": {"usage": usage(0.2)}}, tasks=[task("campaign", state="failed")], journal=journal
    )
    assert (told["images"], told["running"], told["spent"]) == ([None], [], [[0.2, "CNY"]])


def test_the_sum_of_a_campaign_is_not_added_to_its_shards(collected):
    xcoms = {"c.shards": {"usage": usage(1)}, "c.close": {"usage": usage(1), "manifest": {"uri": "s3://b/m"}}}
    told = collected(xcoms, tasks=[task("c.close", "QwenImageCampaignCloseOperator", "success")])
    assert told["spent"] == [[1, "CNY"]]


def test_what_a_finished_batch_cost_is_told(collected):
    told = collected({"campaign": {"usage": usage(1.2), "manifest": {"uri": "s3://b/m"}}})
    assert told["spent"] == [[1.2, "CNY"]]


def test_a_failed_request_of_a_batch_is_told_with_its_row_and_its_prompt(collected):
    failure = {
        "request": 6,
        "where": "line 7",
        "prompt": "a mug",
        "outcome": "refused",
        "reason": "no such size",
    }
    spoilt = {"where": {"toString": 1}, "prompt": 7, "reason": None}
    told = collected({"campaign": {"usage": usage(1.2), "failures": [failure, spoilt]}})
    one, other = told["failures"]
    assert one["outcome"] == "refused"
    assert (one["where"], one["prompt"], one["reason"]) == ("line 7", "a mug", "no such size")
    assert (other["where"], other["prompt"], other["reason"]) == (None, None, None)
