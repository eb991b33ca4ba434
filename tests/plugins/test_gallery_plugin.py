"""What Airflow sees of the plugin, and what a task process pays for it."""

from __future__ import annotations

import json
import re
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files

import pytest

from airflow_provider_qwenimage.get_provider_info import get_provider_info
from airflow_provider_qwenimage.plugins.qwenimage import OPERATORS, QwenImagePlugin

GALLERY = files("airflow_provider_qwenimage.plugins") / "gallery"
OUR_SCRIPTS = sorted(e.name for e in GALLERY.iterdir() if e.name.endswith(".js") and ".min." not in e.name)
TASK_PROCESS = """
import json, sys, time
import airflow.sdk
from airflow.providers.common.compat.sdk import AirflowPlugin
fastapi_before = "fastapi" in sys.modules
times = []
for _ in range(3):
    for name in [name for name in sys.modules if name.startswith("airflow_provider_qwenimage")]:
        del sys.modules[name]
    begin = time.perf_counter()
    import airflow_provider_qwenimage.plugins.qwenimage
    times.append(time.perf_counter() - begin)
fastapi = "fastapi" in sys.modules and not fastapi_before  # before Airflow loads the plugins of others, which may
from airflow.sdk.plugins_manager import integrate_macros_plugins
integrate_macros_plugins()
print(json.dumps({"seconds": min(times), "fastapi": fastapi,
                  "app": "airflow_provider_qwenimage.plugins.app" in sys.modules}))
"""


def test_a_task_process_imports_the_plugin_in_under_10_ms_and_without_fastapi(in_subprocess):
    told = json.loads(in_subprocess(TASK_PROCESS).splitlines()[-1])
    # The issue asks for this figure: the best of three imports, for the machine may be busy.
    assert told["seconds"] < 0.010
    assert (told["fastapi"], told["app"]) == (False, False)


def test_airflow_finds_the_plugin_once(anna):
    (point,) = [point for point in entry_points(group="airflow.plugins") if point.name == "qwenimage"]
    assert point.load() is QwenImagePlugin
    found = anna.get("/api/v2/plugins", params={"limit": 100})
    if found.status_code == 403:  # the list of plugins is for operators of Airflow; viewers see its tabs
        return
    ours = [plugin for plugin in found.json()["plugins"] if plugin["name"] == "qwenimage"]
    assert [len(plugin["external_views"]) for plugin in ours] == [4]


def test_the_tabs_have_addresses_that_survive_a_path_before_airflow():
    views = QwenImagePlugin.external_views
    hrefs = {view["destination"]: view["href"] for view in views}
    assert hrefs.pop("nav") in ("qwenimage/library", "qwenimage/spend")
    assert all(
        href.startswith("qwenimage/gallery?dag_id={DAG_ID}&run_id={RUN_ID}") for href in hrefs.values()
    )
    assert len({view["url_route"] for view in views}) == len(views)


def test_the_tab_is_on_this_providers_tasks_where_airflow_can_tell():
    info = get_provider_info()
    rooms = [*info["operators"][0]["python-modules"], *(one["python-module"] for one in info["transfers"])]
    names = {"@task.qwen_image"}
    for room in rooms:
        made = vars(import_module(room)).values()
        names |= {
            one.__name__
            for one in made
            if isinstance(one, type) and re.fullmatch(r"QwenImage\w+Operator", one.__name__)
        }
    assert names - {"QwenImageBaseOperator"} <= set(OPERATORS)
    (scoped,) = [view["applies_to"] for view in QwenImagePlugin.external_views if "applies_to" in view]
    assert scoped == {"operator_name": OPERATORS}


@pytest.mark.parametrize("file", sorted(entry.name for entry in GALLERY.iterdir()))
def test_the_page_never_makes_html_of_text(file):
    words = (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "style=",
    )
    text = (GALLERY / file).read_text(encoding="utf-8")
    assert [word for word in words if word in text] == []
    assert re.findall(r"<script(?![^>]*\bsrc=)", text) == []


@pytest.mark.parametrize("file", OUR_SCRIPTS)
def test_a_module_imports_only_files_that_ship(file):
    text = (GALLERY / file).read_text(encoding="utf-8")
    wanted = set(re.findall(r'from "\./([^"]+)"', text))
    assert wanted <= {entry.name for entry in GALLERY.iterdir()}
    assert "http://" not in text
    assert "https://" not in text
