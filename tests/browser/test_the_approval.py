"""A person looks, compares, chooses and rejects, as they do it; each test goes on where the one before ended."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from airflow_provider_qwenimage.operators.approval import QwenImageApprovalOperator
from browser.conftest import KEY

PROMPT = "<img src=x onerror=alert(1)> enamel mug, *morning* light"
COMMENT = "<b>bluer</b> & brighter"
PRICES = {"wan2.6-t2i": 0.2, "qwen-image-edit-plus": 0.2, "currency": "CNY"}
STATES = "return [...document.querySelectorAll('#grid > li')].map((it) => it.dataset.state)"
SIDES = """return [...document.querySelectorAll('figure')].filter((it) => !it.hidden).map((it) => {
  const [stage, image] = [it.querySelector('.canvas'), it.querySelector('img')];
  return {natural: image.naturalWidth, shown: image.clientWidth, left: Math.round(stage.scrollLeft),
          room: stage.scrollWidth - stage.clientWidth, address: image.src};
})"""


@pytest.fixture(scope="module")
def run(airflow, gateway):
    """A run that waits at ``pick``, on a connection with prices for everything it does."""
    extra = {"gateway": "tokenhot", "allow_private_hosts": True, "price_per_image": PRICES}
    fields = {
        "connection_id": "qwenimage_default",
        "conn_type": "qwenimage",
        "host": gateway.base("tokenhot"),
    }
    known = airflow.call("GET", "/connections")["connections"]
    if any(each["connection_id"] == "qwenimage_default" for each in known):
        airflow.call("DELETE", "/connections/qwenimage_default")
    airflow.call("POST", "/connections", json={**fields, "password": KEY, "extra": json.dumps(extra)})
    gateway.state.reset()
    started = airflow.trigger("approve_campaign", prompt=PROMPT)
    airflow.wait_for_task(started, "pick", "awaiting_input")
    return started


def open_question(browser, run, task_id="pick"):
    browser.open(f"dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}/tasks/{task_id}/plugin/qwenimage")
    with browser.frame():
        browser.wait(
            lambda: browser.driver.execute_script("return document.body.dataset.state") == "read", "the end"
        )


def press(browser, *keys):
    ActionChains(browser.driver).send_keys(*keys).perform()


def states(browser) -> list[str]:
    found: list[str] = browser.driver.execute_script(STATES)
    return found


def sides(browser) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = browser.driver.execute_script(SIDES)
    return found


def test_the_question_leads_to_the_pictures(browser, run):
    browser.open(f"dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}/tasks/pick/required_actions")
    browser.see("Which images go into the campaign?")
    browser.driver.get(browser.find("a", text="Look at the images").get_attribute("href"))
    with browser.frame():
        browser.see("0 of 4 chosen")


def test_every_image_is_seen_with_its_prompt_as_text(browser, run):
    open_question(browser, run)
    with browser.frame():
        browser.see("Which images go into the campaign?")
        browser.see("Reject with a comment what could be better")
        widths = "return [...document.querySelectorAll('#grid img')].map((it) => it.naturalWidth)"
        browser.wait(lambda: all(browser.driver.execute_script(widths)), "every image")
        assert [e.text for e in browser.driver.find_elements("css selector", "#grid .prompt")] == [PROMPT] * 4
        assert browser.driver.find_elements("css selector", "img[src=x]") == []
    assert browser.complaints() == []


def test_a_click_chooses_and_another_one_does_not(browser):
    with browser.frame():
        pictures = browser.driver.find_elements("css selector", "#grid .picture")
        pictures[2].click()
        assert states(browser) == ["", "", "chosen", ""]
        assert pictures[2].get_attribute("aria-pressed") == "true"
        browser.see("1 of 4 chosen · 0 rejected · choose 0 to 4")
        pictures[2].click()
        browser.click("#all")
        assert states(browser) == ["chosen"] * 4
        browser.click("#none")
        assert states(browser) == [""] * 4


def test_all_of_it_works_by_keyboard(browser):
    with browser.frame():
        browser.film()
        browser.find("#grid .picture").send_keys(Keys.SPACE)
        browser.film()
        press(browser, Keys.ARROW_RIGHT, "x")
        field = browser.driver.switch_to.active_element
        assert field.tag_name == "textarea"
        field.send_keys(COMMENT, Keys.ESCAPE)
        browser.film()
        press(browser, Keys.END, Keys.SPACE)
        browser.film()
        assert states(browser) == ["chosen", "rejected", "", "chosen"]
        browser.see("2 of 4 chosen · 1 rejected")
        press(browser, Keys.HOME)
        at = "return [...document.querySelectorAll('#grid > li')].findIndex((it) => it.contains(document.activeElement))"
        assert browser.driver.execute_script(at) == 0
        tabbed = "return document.querySelectorAll('#grid [tabindex=\"0\"]').length"
        assert browser.driver.execute_script(tabbed) == 5  # one picture and its four buttons


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nobody_is_shut_out(browser, theme):
    browser.driver.execute_script(
        "dispatchEvent(new StorageEvent('storage', {key: 'theme', newValue: arguments[0]}))", theme
    )
    with browser.frame():
        seen = "return document.documentElement.dataset.theme"
        browser.wait(lambda: browser.driver.execute_script(seen) == theme, theme)
        assert browser.barriers() == []
        press(browser, Keys.ENTER)
        browser.find("#viewer[open]")
        assert browser.barriers() == []
        press(browser, Keys.ESCAPE)


def test_two_are_compared_pixel_by_pixel_and_move_together(browser):
    with browser.frame():
        press(browser, "c", Keys.ARROW_RIGHT, "c")
        browser.find("#viewer[open]")
        browser.wait(lambda: all(side["natural"] for side in sides(browser)), "both images")
        left, right = sides(browser)
        assert left["address"] != right["address"]
        assert left["shown"] < left["natural"]
        browser.film()
    browser.picture("approval-compared")
    with browser.frame():
        press(browser, "1")
        scale = browser.driver.execute_script("return devicePixelRatio")
        browser.wait(lambda: sides(browser)[1]["shown"] == round(right["natural"] / scale), "every pixel")
        before = sides(browser)
        assert all(side["room"] > 0 for side in before)
        stage = browser.find("figure .canvas")
        ActionChains(browser.driver).drag_and_drop_by_offset(stage, -120, 0).perform()
        browser.wait(lambda: sides(browser)[0]["left"] == before[0]["left"] + 120, "the left one to move")
        browser.wait(
            lambda: abs(sides(browser)[1]["left"] - sides(browser)[0]["left"]) <= 2, "the other to follow"
        )
        press(browser, "1", Keys.ARROW_RIGHT)
        browser.see("1 of 4 | 3 of 4")
        press(browser, Keys.ESCAPE)
        browser.wait(lambda: not browser.driver.find_elements("css selector", "dialog[open]"), "it to close")
        assert browser.driver.switch_to.active_element.get_attribute("class") == "picture"


def test_one_is_looked_at_alone_and_decided_there(browser):
    with browser.frame():
        press(browser, Keys.ENTER)
        browser.see("2 of 4")
        assert len(sides(browser)) == 1
        press(browser, Keys.ARROW_RIGHT, Keys.SPACE)
        assert states(browser) == ["chosen", "rejected", "chosen", "chosen"]
        press(browser, Keys.SPACE, Keys.ESCAPE)


def test_what_was_chosen_survives_another_tab(browser, run):
    open_question(browser, run, task_id="store")
    open_question(browser, run)
    with browser.frame():
        assert states(browser) == ["chosen", "rejected", "", "chosen"]
        comment = "return document.querySelector('#grid textarea:not([hidden])').value"
        assert browser.driver.execute_script(comment) == COMMENT


def test_it_speaks_chinese_to_whom_it_should_and_fits_a_phone(browser, run):
    agent = browser.driver.execute_script("return navigator.userAgent")
    speak = "Emulation.setUserAgentOverride"
    browser.driver.execute_cdp_cmd(speak, {"userAgent": agent, "acceptLanguage": "zh-CN"})
    browser.driver.set_window_size(400, 900)
    try:
        query = {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": "pick"}
        browser.open(
            "qwenimage/gallery?" + "&".join(f"{name}={quote(text, safe='')}" for name, text in query.items())
        )
        browser.see("已选 2 / 4")
        wider = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.driver.execute_script(wider) <= 0
        assert browser.driver.execute_script("return document.documentElement.lang") == "zh-CN"
    finally:
        browser.driver.set_window_size(1360, 1000)
        browser.driver.execute_cdp_cmd(speak, {"userAgent": agent, "acceptLanguage": "en"})


def test_the_answer_is_airflows_and_what_was_said_is_edited_once(airflow, browser, run, gateway):
    open_question(browser, run)
    with browser.frame():
        browser.film()
        browser.click("#answer")
        browser.see("Answered by")
        assert states(browser) == ["chosen", "rejected", "rejected", "chosen"]
        browser.film()
        assert not browser.find("#answer").is_enabled()
    browser.show("approval-choosing")
    airflow.wait_for_task(run, "pick_again", "awaiting_input")
    approved = airflow.xcom(run, "pick")
    stored = airflow.xcom(run, "store", "stored")
    assert [image["uri"] for image in approved] == [stored[0]["uri"], stored[3]["uri"]]
    assert airflow.xcom(run, "pick", "revise") == [{"images": [stored[1]["uri"]], "prompt": COMMENT}]
    assert [image["prompt"] for image in airflow.xcom(run, "pick_again", "candidates")] == [COMMENT]
    assert (gateway.state.posts, gateway.state.billed) == (2, 5)


def test_two_people_answer_at_once_and_one_is_told(airflow, browser, run):
    open_question(browser, run, task_id="pick_again")
    with browser.frame():
        browser.see(COMMENT)
        assert browser.driver.find_elements("css selector", "#grid b") == []
        browser.click("#grid .picture")
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/pick_again/-1/hitlDetails"
    other = {
        "chosen_options": [QwenImageApprovalOperator.NONE],
        "params_input": {"approved": [], "comments": {}},
    }
    airflow.call("PATCH", path, json=other)
    with browser.frame():
        browser.driver.execute_script("document.getElementById('answer').click()")
        browser.see("Somebody else has answered already; this answer does not count.")
        browser.see("Answered by")
        assert states(browser) == ["rejected"]
    assert airflow.wait_for(run) == "success"
    assert airflow.xcom(run, "pick_again") == []
    published = [image["sha256"] for image in airflow.xcom(run, "publish", "stored")]
    assert published == [image["sha256"] for image in airflow.xcom(run, "pick")]
    assert browser.complaints() == []
