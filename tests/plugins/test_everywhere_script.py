"""How the pages of all runs go through what tasks pushed: newest run first, each task once; run by Node.js."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from airflow_provider_qwenimage.plugins import qwenimage

GALLERY = Path(qwenimage.__file__).parent / "gallery"
BEFORE = """
globalThis.document = { baseURI: process.argv[2] };
globalThis.location = new URL("library", process.argv[2]);
const filter = { dagId: "", from: "2026-11-01T00:00:00Z", until: "2026-12-01T00:00:00Z" };
"""
PUSHERS = """
const { pushers } = await import("./everywhere.js");
const found = [];
for await (const of of pushers(["stored", "manifest"], filter)) found.push([of.key, of.dagId, of.runId, of.taskId]);
console.log(JSON.stringify(found));
"""
SPENT = """
const { spendings } = await import("./spending.js");
const found = [];
await spendings(filter, (some) => found.push(...some));
console.log(JSON.stringify(found.map(({ day, dagId, model, cost, currency }) => [day, dagId, model, cost, currency])));
"""
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")


class Rest(BaseHTTPRequestHandler):
    """Airflow's list of XComs by key, and each by itself."""

    def do_GET(self):
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path.endswith("/xcomEntries"):
            return self.list(query)
        dag_id, run_id, task_id, key = (unquote(parts.path.split("/")[at]) for at in (-7, -5, -3, -1))
        return self.answer({"value": json.dumps(self.server.xcoms[dag_id, run_id, task_id][key])})

    def list(self, query):
        entries = [
            {"dag_id": dag, "run_id": run, "task_id": task, "map_index": -1, "run_after": run}
            for (dag, run, task), keys in self.server.xcoms.items()
            if query["xcom_key"] in keys and query["run_after_gte"] <= run < query["run_after_lt"]
        ]
        assert query["order_by"] == "-run_after"
        entries.sort(key=lambda entry: entry["run_after"], reverse=True)
        page = entries[int(query["offset"]) :][: int(query["limit"])]
        self.answer({"xcom_entries": page, "total_entries": len(entries)})

    def answer(self, body):
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def told(tmp_path):
    """Run a script on XComs by Dag, run and task, and return what it tells."""
    for name in GALLERY.glob("*.js"):
        shutil.copy(name, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    server = ThreadingHTTPServer(("127.0.0.1", 0), Rest)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()

    def run(script, xcoms):
        server.xcoms = xcoms
        (tmp_path / "run.js").write_text(BEFORE + script)
        base = f"http://127.0.0.1:{server.server_port}/qwenimage/"
        command = ["node", tmp_path / "run.js", base]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return json.loads(ran.stdout)

    yield run
    server.shutdown()
    server.server_close()
    thread.join()


def at(number):
    return f"2026-11-{1 + number // 24:02d}T{number % 24:02d}:30:00Z"


def test_newest_first_each_once_and_over_many_pages(told):
    xcoms = {("d", at(number), "store"): {"stored": [], "manifest": {}} for number in range(250)}
    xcoms |= {("e", at(number), "batch"): {"manifest": {}} for number in range(0, 250, 5)}
    xcoms["d", "2026-12-24T00:00:00Z", "store"] = {"stored": []}
    found = told(PUSHERS, xcoms)
    assert len(found) == 300
    assert [run for _, _, run, _ in found] == sorted((run for _, _, run, _ in found), reverse=True)
    assert {(key, dag) for key, dag, _, _ in found} == {("stored", "d"), ("manifest", "e")}


def test_what_was_spent_is_counted_once(told):
    usage = {"cost": 1.5, "currency": "CNY"}
    noon = "2026-11-05T12:00:00Z"
    xcoms = {
        ("d", noon, "c.shards"): {"usage": usage},
        ("d", noon, "c.close"): {"usage": usage},
        ("e", noon, "one"): {"usage": {"cost": 0.2, "currency": "USD"}, "model": "qwen-image-plus"},
        ("e", noon, "none"): {"usage": {"cost": None}},
        ("e", noon, "bad"): {"usage": "much"},
    }
    day = "2026-11-05"
    assert told(SPENT, xcoms) == [[day, "d", None, 1.5, "CNY"], [day, "e", "qwen-image-plus", 0.2, "USD"]]
