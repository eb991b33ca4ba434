"""Every text of the pages is there in both languages, and is used; run by Node.js."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from airflow_provider_qwenimage.plugins import qwenimage

GALLERY = Path(qwenimage.__file__).parent / "gallery"
PAGES = {
    path.name: path.read_text(encoding="utf-8")
    for path in GALLERY.iterdir()
    if path.suffix in (".js", ".html")
}
SCRIPT = """
const { language, t } = await import("./language.js");
console.log(JSON.stringify([language, t("count", { count: 1 }), t("count", { count: 2 }), t("uri"), t("openNamed", {})]));
"""
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")


def node(code, folder=GALLERY):
    command = ["node", "--input-type=module", "--eval", code]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=folder)
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def texts():
    code = (GALLERY / "texts.js").read_text(encoding="utf-8")
    return node(code + "console.log(JSON.stringify(TEXTS));")


def forms(text):
    return text if isinstance(text, list) else [text]


def test_both_languages_are_there_and_name_the_same_values(texts):
    for name, pair in texts.items():
        assert len(pair) == 2, name
        named = [{place for form in forms(text) for place in re.findall(r"{(\w+)}", form)} for text in pair]
        assert named[0] == named[1], name
        assert all(form.strip() for text in pair for form in forms(text)), name


def test_every_text_that_is_asked_for_is_there_and_no_other(texts):
    code = "\n".join(text for name, text in PAGES.items() if name != "texts.js")
    asked = set(re.findall(r'\bt\(\s*"(\w+)"', code)) | set(re.findall(r'data-text[a-z-]*="(\w+)"', code))
    assert asked <= set(texts)
    assert [name for name in texts if f'"{name}"' not in code] == []


@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        (["en-GB", "zh-CN"], ["en", "1 image", "2 images", "URI", "Open in full size: {name}"]),
        (["de", "zh-TW", "en"], ["zh-CN", "1 张图片", "2 张图片", "URI", "查看原图：{name}"]),
        (["de"], ["en", "1 image", "2 images", "URI", "Open in full size: {name}"]),
        (None, ["en", "1 image", "2 images", "URI", "Open in full size: {name}"]),
    ],
)
def test_the_browsers_language_decides(tmp_path, languages, expected):
    for name in ("language.js", "texts.js"):
        shutil.copy(GALLERY / name, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    given = f"{{ value: {json.dumps({'languages': languages} if languages else None)} }}"
    told = node(f'Object.defineProperty(globalThis, "navigator", {given});{SCRIPT}', tmp_path)
    assert told == expected
