"""What a record says reaches the page as texts and numbers, whatever stands there; the browser suite sees the rest."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from airflow_provider_qwenimage.plugins import qwenimage

PLAIN = Path(qwenimage.__file__).parent / "gallery" / "plain.js"
# An object with these two throws wherever a text is made of it: that blanked the tab.
BAD = {"toString": 1, "valueOf": 1}
SCRIPT = """
import { plain, text } from "./plain.mjs";
const records = JSON.parse(process.argv[2]);
console.log(JSON.stringify(records.map((record) => [plain(record, "owner"), text(record)])));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_an_object_in_the_place_of_a_text_is_left_out(tmp_path):
    shutil.copy(PLAIN, tmp_path / "plain.mjs")
    (tmp_path / "run.mjs").write_text(SCRIPT)
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

    ran = subprocess.run(
        ["node", tmp_path / "run.mjs", json.dumps(records)], capture_output=True, text=True, check=True
    )

    *bad, good = json.loads(ran.stdout)
    for shown, as_text in bad:
        assert {name: value for name, value in shown.items() if value is not None} == {"owner": "owner"}
        assert as_text is None
    assert (good[0]["prompt"], good[0]["width"], good[0]["index"]) == ("a mug", 7, None)
