"""The page of an approval: who gets it, which images it may show, and what its own script makes of a choice."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from airflow_provider_qwenimage.models import approval
from airflow_provider_qwenimage.plugins import qwenimage
from plugins.conftest import look_up
from plugins.people import BEN

GALLERY = Path(qwenimage.__file__).parent / "gallery"
node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")


def test_a_task_that_asks_has_a_page_of_its_own_and_others_have_not(anna, shown):
    pages = {
        task: anna.get("/qwenimage/gallery", params=shown.query(task_id=task)).text
        for task in ("pick", "store")
    }
    assert '/approval.js"' in pages["pick"]
    assert '/main.js"' in pages["store"]
    assert '/main.js"' in anna.get("/qwenimage/gallery", params=shown.query(task_id=None)).text


@pytest.mark.parametrize("map_index", ["{MAP_INDEX}", "-1", "", "x", "1e9", "99999999999999999999", "²"])
def test_a_map_index_that_is_none_opens_a_page_all_the_same(anna, shown, map_index):
    page = anna.get("/qwenimage/gallery", params=shown.query(task_id="pick", map_index=map_index))
    assert page.status_code == 200


def test_nobody_and_somebody_without_the_dag_get_neither_page_nor_image(as_user, anna, rclone_s3):
    secrets = look_up(anna, "secrets", rclone_s3)
    for page in ("gallery", "image"):
        query = secrets.query(task_id="pick")
        assert as_user(None).get(f"/qwenimage/{page}", params=query).status_code == 401
        assert as_user(BEN).get(f"/qwenimage/{page}", params=query).status_code == 403


def test_what_is_asked_about_is_shown_and_nothing_else(as_user, anna, shown, rclone_s3):
    first, foreign = shown.query(task_id="pick"), look_up(anna, "secrets", rclone_s3).stored[0]["uri"]
    assert as_user(BEN).get("/qwenimage/image", params=first).headers["content-type"] == "image/png"
    for uri in (foreign, "s3://gallery/pictures/manifest.json", first["uri"] + "x", "file:///etc/passwd"):
        assert anna.get("/qwenimage/image", params={**first, "uri": uri}).status_code == 404


CHOICE = """
const { Choice } = await import("./choice.js");
const choice = new Choice(["a", "b", "c", "d"], { minimum: 2, maximum: 3 });
const told = [];
choice.watch((uris) => told.push(uris));
const tell = () => ({ chosen: choice.chosen, rejected: choice.rejected, problem: choice.problem, answer: choice.answer });
const steps = JSON.parse(process.argv[2]);
const all = steps.map(([act, ...given]) => (choice[act](...given), tell()));
console.log(JSON.stringify(all.at(-1)));
"""

DECIDED = """
globalThis.document = { baseURI: "http://127.0.0.1/qwenimage/" };
globalThis.location = new URL("http://127.0.0.1/qwenimage/gallery?dag_id=d&run_id=r&task_id=t");
const { decided } = await import("./question.js");
console.log(JSON.stringify(decided(JSON.parse(process.argv[2]), ["a", "b"])));
"""


@pytest.fixture
def script(tmp_path):
    for name in GALLERY.glob("*.js"):
        shutil.copy(name, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')

    def run(source, value, *further):
        (tmp_path / "run.js").write_text(source)
        command = ["node", tmp_path / "run.js", json.dumps(value), *further]
        return json.loads(
            subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        )

    return run


@pytest.fixture
def served():
    """Serve one answer to whatever is asked; return the address of a page beside it, and what was asked."""
    asked, servers = [], []

    def serve(status, body):
        class Rest(BaseHTTPRequestHandler):
            def do_PATCH(self):
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked.append((self.command, self.path, sent))
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Rest)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/qwenimage/", asked

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@node
@pytest.mark.parametrize(
    ("steps", "approved", "comments", "problem"),
    [
        ([["toggle", "a"]], ["a"], {}, ["chooseMore", {"count": 1}]),
        ([["toggle", "b"], ["toggle", "a"]], ["a", "b"], {}, None),
        ([["all"]], ["a", "b", "c", "d"], {}, ["chooseFewer", {"count": 1}]),
        ([["reject", "d"], ["all"]], ["a", "b", "c"], {}, None),
        ([["reject", "d"], ["say", "d", " bluer "], ["all"], ["toggle", "a"]], ["b", "c"], {"d": "bluer"}, None),
        ([["all"], ["reject", "b"], ["say", "b", "  "]], ["a", "c", "d"], {}, None),
        ([["reject", "b"], ["say", "b", "x"], ["toggle", "b"]], ["b"], {}, ["chooseMore", {"count": 1}]),
        ([["reject", "b"], ["reject", "b"], ["say", "b", "x"]], [], {}, ["chooseMore", {"count": 2}]),
        ([["all"], ["none"]], [], {}, ["chooseMore", {"count": 2}]),
        ([["restore", {"chosen": ["a", "z"], "rejected": [["b", "x"], ["a", "y"], 7]}]], ["a"], {"b": "x"}, ["chooseMore", {"count": 1}]),
        ([["restore", None]], [], {}, ["chooseMore", {"count": 2}]),
    ],
)  # fmt: skip
def test_a_choice_is_what_was_clicked(script, steps, approved, comments, problem):
    told = script(CHOICE, steps)
    assert (told["answer"], told["problem"]) == ({"approved": approved, "comments": comments}, problem)


@node
@pytest.mark.parametrize(
    ("option", "given", "chosen", "rejected"),
    [
        (approval.CHOSEN, {"approved": ["b", "z"], "comments": {"a": "x"}}, ["b"], [["a", "x"]]),
        (approval.ALL, {"approved": [], "comments": {}}, ["a", "b"], []),
        (approval.NONE, {}, [], [["a", ""], ["b", ""]]),
        (approval.CHOSEN, {"approved": "spoilt", "comments": {"a": 7}}, [], [["a", ""], ["b", ""]]),
    ],
)
def test_an_answer_is_shown_as_it_was_given(script, option, given, chosen, rejected):
    told = script(DECIDED, {"option": option, "input": given})
    assert told == {"chosen": chosen, "rejected": rejected}


ANSWER = """
globalThis.document = { baseURI: process.argv[3] };
globalThis.location = new URL("gallery?dag_id=d&run_id=r&task_id=t&map_index=3", process.argv[3]);
const { answer } = await import("./question.js");
const asked = { params: { approved: { value: [] }, comments: { value: {} }, campaign: { value: "spring", schema: {} }, plain: 7 } };
const said = await answer(asked, { approved: ["a"], comments: { b: "<b>x" } }).then(() => null, (error) => error.message);
console.log(JSON.stringify(said));
"""


@node
@pytest.mark.parametrize(
    ("status", "detail", "said"),
    [
        (200, None, None),
        (409, "already", "Somebody else has answered already; this answer does not count."),
        (403, "User=ben is not a respondent for the task.", "You may not answer: User=ben is not a respondent for the task."),
        (400, "Invalid options", "Invalid options"),
        (401, "x", "x"),
        (500, [{"msg": "spoilt"}], "Airflow answered 500."),
    ],
)  # fmt: skip
def test_an_answer_goes_to_airflow_and_its_refusal_is_told(script, served, status, detail, said):
    base, asked = served(status, {"detail": detail})
    assert script(ANSWER, None, base) == said
    ((method, path, body),) = asked
    assert (method, path) == ("PATCH", "/api/v2/dags/d/dagRuns/r/taskInstances/t/3/hitlDetails")
    assert body == {
        "chosen_options": [approval.CHOSEN],
        "params_input": {"approved": ["a"], "comments": {"b": "<b>x"}, "campaign": "spring", "plain": 7},
    }
