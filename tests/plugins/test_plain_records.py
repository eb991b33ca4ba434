"""What a record says reaches the page as texts and numbers, whatever stands there; the browser suite sees the rest."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from airflow_provider_qwenimage.images.origin import Marks
from airflow_provider_qwenimage.plugins import qwenimage

GALLERY = Path(qwenimage.__file__).parent / "gallery"
# An object with these two throws wherever a text is made of it: that blanked the tab.
BAD = {"toString": 1, "valueOf": 1}
SCRIPT = """
import { plain, text } from "./plain.js";
const records = JSON.parse(process.argv[2]);
console.log(JSON.stringify(records.map((record) => [plain(record, "owner"), text(record)])));
"""


def told(folder, script, given):
    """Return what a script makes of ``given`` beside the gallery's own scripts."""
    for file in GALLERY.glob("*.js"):
        shutil.copy(file, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "run.js").write_text(script)
    command = ["node", folder / "run.js", json.dumps(given)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_an_object_in_the_place_of_a_text_is_left_out(tmp_path):
    names = [
        "uri",
        "prompt",
        "revised_prompt",
        "model",
        "size",
        "currency",
        "index",
        "width",
        "bytes",
        "cost",
    ]
    records = [dict.fromkeys(names, BAD), None, [BAD], BAD, {"prompt": "a mug", "width": 7, "index": "7"}]

    *bad, good = told(tmp_path, SCRIPT, records)
    for shown, as_text in bad:
        assert {name: value for name, value in shown.items() if value} == {"owner": "owner"}
        assert as_text is None
    assert good[0]["origin"] is None
    assert (good[0]["prompt"], good[0]["width"], good[0]["index"]) == ("a mug", 7, None)


MARKS = """
import { isMarked, marks } from "./marks.js";
import { plain } from "./plain.js";
const records = JSON.parse(process.argv[2]).map((origin) => plain({ origin }));
console.log(JSON.stringify(records.map((record) => [marks(record), isMarked(record)])));
"""
TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_marks_are_told_in_words_and_by_the_rule_of_the_task(tmp_path):
    none = {"c2pa": False, "digital_source_type": None, "tc260": None}
    cases = [
        (none, "none"),
        ({**none, "c2pa": True}, "C2PA"),
        ({**none, "c2pa": True, "c2pa_state": "Invalid"}, "C2PA (Invalid)"),
        ({**none, "digital_source_type": f"{TERMS}compositeSynthetic"}, "compositeSynthetic"),
        ({**none, "digital_source_type": f"{TERMS}digitalCapture"}, "digitalCapture"),
        (
            {**none, "digital_source_type": f"{TERMS}digitalCapture | {TERMS}trainedAlgorithmicMedia"},
            "digitalCapture, trainedAlgorithmicMedia",
        ),
        ({**none, "tc260": {"Label": "1"}}, "TC260"),
    ]
    odd = [None, [1], 7, "c2pa", {"c2pa": BAD, "digital_source_type": BAD, "tc260": 1}]

    found = told(tmp_path, MARKS, [*(origin for origin, _ in cases), *odd])
    assert found[: len(cases)] == [[words, Marks.told(origin).generated] for origin, words in cases]
    assert found[len(cases) :] == [["not looked for", False]] * 4 + [["none", False]]
