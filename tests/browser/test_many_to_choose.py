"""A choice among hundreds: what is far from the view is neither drawn nor asked for, and nothing that was done is lost."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from browser.conftest import BUCKET
from browser.shelf import picture

COUNT = 320
MOST = 80  # tiles of some three views
COMMENT = "bluer, and \N{LATIN SMALL LETTER E WITH ACUTE} in the name"
DRAWN = "return document.querySelectorAll('#grid > li').length"
HEIGHT = "return document.documentElement.scrollHeight"
THUMBNAILS = """return performance.getEntriesByType('resource').map((it) => new URL(it.name))
  .filter((it) => it.pathname.endsWith('/thumbnail'))
  .map((it) => Number(it.searchParams.get('uri').match(/(\\d+)\\.png/)[1]))"""
FOCUSED = """const tile = document.activeElement.closest('#grid > li');
return tile && Number(tile.getAttribute('aria-posinset'))"""
STATE = "return document.querySelector(`#grid > li[aria-posinset='${arguments[0]}']`)?.dataset.state"
CUT_OFF = """const inside = (box, all) => box.right <= all.right + 1 && box.bottom <= all.bottom + 1;
return [...document.querySelectorAll('#grid > li')].flatMap((tile) => [...tile.querySelectorAll('button, textarea, p')]
  .filter((it) => !inside(it.getBoundingClientRect(), tile.getBoundingClientRect()) || it.matches('button') && it.scrollWidth > it.clientWidth)
  .map((it) => `${it.className} ${it.textContent}`))"""
SEEN = """const box = document.querySelector(arguments[0]).getBoundingClientRect();
const at = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
return box.top >= 0 && box.bottom <= innerHeight && at?.closest(arguments[0]) !== null"""


@pytest.fixture(scope="module")
def run(airflow, rclone_s3):
    """A run that asks about images of one content, each an object of its own."""
    content = picture(7)
    sha256, client = hashlib.sha256(content).hexdigest(), rclone_s3.client()
    for at in range(COUNT):
        key = f"many/{at:05d}.png"
        client.put_object(Bucket=BUCKET, Key=key, Body=content, Metadata={"sha256": sha256})
    started = airflow.trigger("choose_many", count=COUNT, bytes=len(content), sha256=sha256)
    airflow.wait_for_task(started, "pick", "awaiting_input")
    return started


@pytest.fixture
def page(browser, run):
    """The question, newly opened; nothing is decided."""
    browser.driver.execute_script("sessionStorage.clear()")
    browser.open(f"dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}/tasks/pick/plugin/qwenimage")
    with browser.frame():
        browser.see(f"0 of {COUNT} chosen")
        browser.driver.execute_script("performance.setResourceTimingBufferSize(10000)")
        yield browser


def press(browser, *keys):
    ActionChains(browser.driver).send_keys(*keys).perform()


def ask(browser, script, *values) -> Any:
    return browser.driver.execute_script(script, *values)


def scroll(browser, part):
    """Scroll to a part of the page, and wait until it is drawn."""
    ask(browser, f"scrollTo(0, {part} * (document.documentElement.scrollHeight - innerHeight))")
    places = "return [...document.querySelectorAll('#grid > li:not(.far)')].map((it) => Number(it.getAttribute('aria-posinset')))"
    middle = max(1, round(part * COUNT))
    browser.wait(lambda: min(ask(browser, places)) <= middle <= max(ask(browser, places)), f"tile {middle}")


def test_only_tiles_near_the_view_are_drawn_and_asked_for(page):
    assert ask(page, DRAWN) <= MOST
    page.wait(lambda: len(ask(page, THUMBNAILS)) > 0, "the first thumbnails")
    assert max(ask(page, THUMBNAILS)) < MOST
    height = ask(page, HEIGHT)
    scroll(page, 1)
    assert ask(page, DRAWN) <= MOST
    assert ask(page, STATE, 2) is None
    page.wait(lambda: COUNT - 1 in ask(page, THUMBNAILS), "the last thumbnail")
    skipped = range(MOST, COUNT - MOST)
    assert [at for at in ask(page, THUMBNAILS) if at in skipped] == []
    assert ask(page, HEIGHT) == height
    for part in (0.75, 0.5, 0.25, 0):
        scroll(page, part)
        assert ask(page, DRAWN) <= MOST
    assert page.complaints() == []


def test_the_button_is_there_wherever_the_view_is(page):
    for part in (0, 0.5, 1):
        scroll(page, part)
        assert ask(page, SEEN, "#answer")
        assert ask(page, SEEN, "#all")


def test_what_was_decided_is_there_when_its_tile_is_drawn_again(page):
    page.find("#grid > li:nth-child(2) .picture").click()
    page.find("#grid > li:nth-child(3) .reject").click()
    page.driver.switch_to.active_element.send_keys(COMMENT, Keys.ESCAPE)
    page.find("#grid .picture").send_keys(Keys.ARROW_LEFT)  # the focus leaves what was decided
    scroll(page, 1)
    assert [ask(page, STATE, place) for place in (2, 3)] == [None, None]
    page.see(f"1 of {COUNT} chosen · 1 rejected")
    page.find(f"#grid > li[aria-posinset='{COUNT}'] .picture").click()
    scroll(page, 0)
    assert [ask(page, STATE, place) for place in (1, 2, 3)] == ["", "chosen", "rejected"]
    said = "return document.querySelector('#grid > li[aria-posinset=\"3\"] textarea').value"
    assert ask(page, said) == COMMENT
    page.see(f"2 of {COUNT} chosen · 1 rejected")


def test_the_keys_go_on_from_the_tile_that_had_the_focus(page):
    page.find("#grid .picture").send_keys(Keys.ARROW_RIGHT, Keys.SPACE)
    scroll(page, 1)
    assert ask(page, FOCUSED) == 2  # far from the view, and kept
    press(page, Keys.ARROW_RIGHT)
    assert ask(page, FOCUSED) == 3
    page.wait(lambda: ask(page, SEEN, "#grid > li[aria-posinset='3'] .picture"), "the third tile in view")
    press(page, Keys.END, Keys.SPACE)
    assert ask(page, FOCUSED) == COUNT
    page.wait(lambda: ask(page, SEEN, f"#grid > li[aria-posinset='{COUNT}'] .picture"), "the last one")
    assert ask(page, DRAWN) <= MOST
    press(page, Keys.HOME)
    page.wait(lambda: ask(page, SEEN, "#grid > li[aria-posinset='1'] .picture"), "the first one")
    assert [ask(page, STATE, place) for place in (1, 2)] == ["", "chosen"]
    page.see(f"2 of {COUNT} chosen")


def test_what_is_typed_while_another_part_is_looked_at_stays_with_its_image(page):
    page.find("#grid .picture").send_keys("x")
    page.driver.switch_to.active_element.send_keys("blu")
    scroll(page, 1)
    page.driver.switch_to.active_element.send_keys("er x c")
    press(page, Keys.ESCAPE)
    said = "return document.querySelector('#grid > li[aria-posinset=\"1\"] textarea').value"
    assert ask(page, said) == "bluer x c"
    page.see(f"0 of {COUNT} chosen · 1 rejected")


def test_one_is_zoomed_and_two_far_apart_are_compared(page):
    page.find("#grid .picture").send_keys("c", Keys.END, "c")
    page.find("#viewer[open]")
    page.see(f"1 of {COUNT} | {COUNT} of {COUNT}")
    press(page, Keys.ESCAPE)
    page.wait(lambda: ask(page, FOCUSED) == COUNT, "the focus to come back")
    held = "return document.querySelectorAll('#grid [aria-pressed=\"true\"]').length"
    assert ask(page, held) == 0


@pytest.mark.parametrize("width", [1360, 700, 400])
def test_a_tile_has_room_for_all_that_is_in_it(browser, run, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        query = {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": "pick"}
        browser.open(f"qwenimage/gallery?{urlencode(query)}")
        browser.see("0 of 320 chosen")
        browser.find("#grid .picture").send_keys("x", Keys.ESCAPE)
        assert ask(browser, CUT_OFF) == []
        assert ask(browser, "return [innerWidth, document.documentElement.scrollWidth]") == [width, width]
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.driver.execute_script("sessionStorage.clear()")


def test_all_of_them_are_chosen_and_answered_from_the_end(page, airflow, run):
    page.click("#all")
    scroll(page, 1)
    assert ask(page, STATE, COUNT) == "chosen"
    page.find(f"#grid > li[aria-posinset='{COUNT}'] .reject").click()
    assert ask(page, SEEN, "#answer")
    page.find("#answer").click()
    page.see("Answered by")
    scroll(page, 0.5)
    assert not page.find("#grid > li:not(.far) .choose").is_enabled()
    assert airflow.wait_for(run) == "success"
    assert len(airflow.xcom(run, "pick")) == COUNT - 1
    assert [image["index"] for image in airflow.xcom(run, "pick", "rejected")] == [COUNT - 1]
    assert page.complaints() == []
