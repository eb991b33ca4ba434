"""The plugin's own pages, as people use them who have no task to look at: all sizes, themes, languages and keys."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx
import pytest

from browser.shelf import PROMPT, Shelf, shelf

STATE = "return document.body.dataset.state"
DRAWN = "return document.querySelectorAll('#grid > li').length"
ASKED = (
    "return performance.getEntriesByType('resource').filter((it) => it.name.includes('/thumbnail')).length"
)
MANY = 5000


class Shown(NamedTuple):
    """What is on the shelf."""

    airflow: Shelf
    run_id: str
    stored: list[dict[str, Any]]

    def gallery(self, task_id: str = "store") -> str:
        query = {"dag_id": "mugs", "run_id": self.run_id, "task_id": task_id, "map_index": -1}
        return f"qwenimage/gallery?{urlencode(query)}"


@pytest.fixture(scope="module")
def shown(programs, rclone_s3, tmp_path_factory):
    with shelf(tmp_path_factory.mktemp("shelf"), rclone_s3) as airflow:
        stored = [airflow.store(number) for number in range(8)]
        run_id = airflow.run("mugs")
        failure = {"where": "line 7", "prompt": "a mug", "outcome": "unknown", "reason": "it answered 504"}
        usage = {"image_count": 8, "cost": 1.6, "currency": "CNY", "estimate": "the list of 2026-02-08"}
        airflow.push("mugs", run_id, "store", stored=stored, usage=usage, failures=[failure])
        decision = {"state": "answered", "approved": [stored[0]["uri"]], "rejected": [stored[1]["uri"]]}
        airflow.push("mugs", run_id, "batch", approval=decision)
        many = [{**stored[at % 8], "uri": f"s3://shelf/many/{at:05d}.png", "index": at} for at in range(MANY)]
        airflow.push("mugs", run_id, "many", stored=many)
        other = airflow.run("shoes")
        shoes = [{**stored[2], "prompt": "a shoe", "labels": {"sku": "S-2"}}]
        airflow.push("shoes", other, "store", stored=shoes, usage={"cost": 0.5, "currency": "USD"})
        airflow.connection(budget={"per_day": 1}, price_per_image={"wan2.6-t2i": 0.2, "currency": "CNY"})
        yield Shown(airflow, run_id, stored)


@pytest.fixture(scope="module")
def window(shown, programs):
    from browser.browser import Browser

    made = Browser(shown.airflow.url, programs)
    made.driver.set_script_timeout(60)
    made.open("")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def wide(window):
    window.driver.set_window_size(1300, 900)
    window.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def read(window, path):
    """Open a page and wait until it has read what there is; what the console said before is forgotten."""
    window.driver.get_log("browser")
    window.open(path)
    window.wait(lambda: window.driver.execute_script(STATE) == "read", "the end")


def choose(window, field, value):
    script = "const it = document.getElementById(arguments[0]); it.value = arguments[1];"
    script += "it.dispatchEvent(new Event('input')); it.dispatchEvent(new Event('change'));"
    window.driver.execute_script(script, field, value)


def pages(shown):
    return {"run": shown.gallery(), "all runs": "qwenimage/library", "spend": "qwenimage/spend"}


@pytest.mark.parametrize("page", ["run", "all runs", "spend"])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 400])
def test_nothing_keeps_anybody_out(window, shown, page, theme, width):
    feature = {"name": "prefers-color-scheme", "value": theme}
    window.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    window.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        read(window, pages(shown)[page])
        assert window.barriers() == []
        room = "return [innerWidth, document.documentElement.scrollWidth]"
        assert window.driver.execute_script(room) == [width, width]
    finally:
        window.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_full_size_and_a_comparison_keep_nobody_out(window, shown):
    read(window, shown.gallery())
    window.click(".picture")
    assert window.barriers() == []
    window.click("#viewer-pixels")
    assert window.barriers() == []
    window.click("#viewer-close")
    for box in window.driver.find_elements("css selector", ".name input")[:2]:
        box.click()
    window.click("#compare")
    window.see("2 images side by side")
    wide = "return [...document.querySelectorAll('#viewer-stage img')].map((it) => it.naturalWidth)"
    window.wait(lambda: window.driver.execute_script(wide) == [400, 400], "both")
    assert window.barriers() == []
    window.click("#viewer-close")
    assert window.driver.switch_to.active_element.get_attribute("id") == "compare"


def test_a_person_without_a_mouse_chooses_and_looks(window, shown):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys):
        ActionChains(window.driver).send_keys(*keys).perform()

    read(window, shown.gallery())
    window.driver.execute_script("document.querySelector('.name input').focus()")
    press(Keys.SPACE)
    window.see("1 image chosen")
    window.driver.execute_script("document.querySelector('.picture').focus()")
    press(Keys.ENTER)
    window.see("1 of 8")
    press(Keys.ARROW_RIGHT)
    window.see("2 of 8")
    press("1")
    assert window.find("#viewer-pixels").get_attribute("aria-pressed") == "true"
    press(Keys.ESCAPE)
    assert window.driver.switch_to.active_element.get_attribute("class") == "picture"


def test_chosen_images_come_in_one_zip(window, shown):
    read(window, shown.gallery())
    window.click("#choose-all")
    window.see("8 images chosen")
    address = window.find("#zips a").get_attribute("href")
    cookies = {one["name"]: one["value"] for one in window.driver.get_cookies()}
    answer = httpx.get(address, cookies=cookies, timeout=60).raise_for_status()
    names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    assert names == [image["uri"].rpartition("/")[2] for image in shown.stored]


def test_a_prompt_is_text_and_a_failure_says_what_to_do(window, shown):
    read(window, shown.gallery())
    prompts = [each.text for each in window.driver.find_elements("css selector", ".prompt")]
    assert prompts == [f"{PROMPT} {number}" for number in range(8)]
    assert window.driver.find_elements("css selector", "img[src=x]") == []
    window.see("8 images, ≈ 1.6 CNY (estimate)")
    window.see("line 7, “a mug”: it answered 504")
    window.see("Look at the gateway's usage log")
    assert window.complaints() == []


def test_of_5000_images_only_those_near_the_view_are_drawn_and_asked_for(window, shown):
    read(window, shown.gallery("many"))
    window.see("5000 images")
    assert window.driver.execute_script(DRAWN) <= 60
    window.driver.execute_script("performance.setResourceTimingBufferSize(10000)")
    last = "return Number(document.querySelector('#grid > li:last-child').getAttribute('aria-posinset'))"
    for part in (0.25, 0.5, 0.75, 1):
        window.driver.execute_script(f"scrollTo(0, document.documentElement.scrollHeight * {part})")
        place = round(MANY * part) - 100
        window.wait(lambda place=place: window.driver.execute_script(last) > place, f"image {place}")
        assert window.driver.execute_script(DRAWN) <= 60
    assert window.driver.execute_script(ASKED) < 700


def test_any_image_is_found_and_leads_to_its_run(window, shown):
    read(window, "qwenimage/library")
    choose(window, "words", "shoe s-2")
    window.see("1 image in 2 runs")
    choose(window, "words", "enamel 3")
    choose(window, "dag", "shoes")
    window.see("No image that you may see is like that.")
    choose(window, "dag", "")
    choose(window, "words", "")
    choose(window, "approval", "rejected")
    window.see(f"{PROMPT} 1")
    assert f"{PROMPT} 2" not in window.text()
    window.open("plugin/qwenimage-library")
    with window.frame():
        window.see("images in 2 runs")
    window.picture("library")
    with window.frame():
        window.click(".run", text="shoes")
    window.wait(lambda: "/dags/shoes/runs/" in window.driver.current_url, "the run")


def test_what_was_spent_is_plotted_told_and_taken_along(window, shown):
    read(window, "qwenimage/spend")
    window.see("≈ 1.6 CNY (estimate)")
    window.see("0.5 USD")
    window.see("Budget per day of gateway")
    assert len(window.driver.find_elements("css selector", ".plot canvas")) == 2
    window.see("mugs / store")
    window.see("Look at the gateway's usage log")
    window.click("details summary")
    window.see("mugs")
    assert window.complaints() == []
    window.open("plugin/qwenimage-spend")
    with window.frame():
        window.see("0.5 USD")
    window.picture("spend")


def test_the_pages_speak_chinese_to_who_asks_for_it(window, shown):
    settings = {"userAgent": window.driver.execute_script("return navigator.userAgent")}
    window.driver.execute_cdp_cmd("Network.setUserAgentOverride", {**settings, "acceptLanguage": "zh-CN,en"})
    try:
        for path, words in zip(pages(shown).values(), ("张图片", "搜索图片", "支出"), strict=True):
            read(window, path)
            whole = window.driver.execute_script("return document.documentElement.outerHTML")
            assert words in whole
            assert window.driver.execute_script("return document.documentElement.lang") == "zh-CN"
            assert window.barriers() == []
    finally:
        window.driver.execute_cdp_cmd("Network.setUserAgentOverride", {**settings, "acceptLanguage": "en"})


HOSTILE = '=HYPERLINK("https://example.org";"paid")'


def test_the_csv_that_is_taken_along_has_every_task_and_no_formula(window, shown, tmp_path):
    """The formulas are pushed as XCom, which is what an author of a Dag may do; a table program must show them."""
    other = shown.airflow.run("shoes")
    for task_id, currency in (("store", "+1"), ("many", "@SUM(A1)"), ("batch", "-2\n=3")):
        usage = {"cost": -0.25, "currency": currency, "estimate": HOSTILE}
        shown.airflow.push("shoes", other, task_id, usage=usage, model="\t=1")
    window.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    window.driver.get_log("browser")  # of the tests before
    window.open("plugin/qwenimage-spend")
    with window.frame():
        window.see("0.5 USD")
        window.click("#csv")
    window.wait(lambda: list(tmp_path.glob("spend-*.csv")), "the file")
    (file,) = tmp_path.glob("spend-*.csv")
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    of = {(row["run_id"], row["task_id"]): row for row in rows}
    assert len(rows) == len(of) == 5
    paid = of[shown.run_id, "store"]
    assert (paid["dag_id"], paid["cost"], paid["currency"]) == ("mugs", "1.6", "CNY")
    assert paid["estimate"] == "the list of 2026-02-08"
    assert sorted(row["currency"] for row in rows) == ["'+1", "'-2\n=3", "'@SUM(A1)", "CNY", "USD"]
    assert [row["estimate"] for row in rows if row["currency"] == "USD"] == [""]
    assert {row["estimate"] for row in rows if row["cost"] == "-0.25"} == {"'" + HOSTILE}
    assert {row["model"] for row in rows} == {"", "'\t=1"}
    cells = [cell for row in rows for name, cell in row.items() if name != "cost"]
    assert [cell for cell in cells if cell[:1] in tuple("=+-@\t\r\n")] == []
    assert window.complaints() == []
