"""From an empty form to a published campaign, as a person does it; each test goes on where the one before ended."""

from __future__ import annotations

import json
from typing import NamedTuple
from urllib.parse import quote

import pytest

from browser.conftest import KEY
from e2e.airflow_cluster import Run, eventually
from e2e.settings import free_port

CONNECTION = "qwenimage_default"
PROMPT = "<img src=x onerror=alert(1)> enamel mug, *morning* light"
NATURAL_WIDTHS = "return [...document.querySelectorAll('#grid img')].map((image) => image.naturalWidth)"


class Typed(NamedTuple):
    """What the form is filled with."""

    host: str
    port: str


@pytest.fixture(scope="module")
def typed(gateway):
    base, _, path = gateway.base("tokenhot").rpartition("/")
    host, _, port = base.rpartition(":")
    return Typed(f"{host}/{path}", port)


@pytest.fixture(scope="module")
def run(airflow):
    """The run that everything is seen of, once its person is asked."""
    price_it(airflow)
    started = airflow.trigger("approve_campaign", prompt=PROMPT)
    airflow.wait_for_task(started, "pick", "awaiting_input")
    return started


def price_it(airflow):
    """Give the connection prices, as a script would."""
    saved = airflow.call("GET", f"/connections/{CONNECTION}")
    extra = {**json.loads(saved["extra"]), "price_per_image": {"wan2.6-t2i": 0.2, "currency": "CNY"}}
    body = {"connection_id": CONNECTION, "conn_type": "qwenimage", "extra": json.dumps(extra)}
    airflow.call("PATCH", f"/connections/{CONNECTION}", json=body, update_mask="extra")


def page(run: Run, task_id: str, tab: str) -> str:
    return f"dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}/tasks/{task_id}/{tab}"


def open_section(browser, name):
    """Open a part of the form and leave it open."""
    for button in browser.driver.find_elements("css selector", "[role=dialog] button[aria-expanded]"):
        if button.text.strip() == name and button.get_attribute("aria-expanded") == "false":
            button.click()


def edit(browser, **fields):
    """Change fields of the connection through its form."""
    browser.open("connections")
    browser.click("button[aria-label='Edit Connection']")
    for section, names in (
        ("Standard Fields", ("host", "port", "password")),
        ("Extra Fields", ("element_model",)),
    ):
        wanted = {name: text for name, text in fields.items() if name in names}
        if wanted:
            browser.find("[role=dialog] button", text=section)
            open_section(browser, section)
        for name, text in wanted.items():
            browser.type(name, text)
    browser.click("[role=dialog] button", text="Save")
    browser.toast()


def pressed(browser):
    """Press the Test button and return what it says."""
    browser.open("connections")
    browser.click("button[aria-label='Test Connection']")
    return browser.toast()


def test_the_form_has_useful_fields_only_and_a_gateway_to_choose(browser, typed):
    browser.open("connections")
    browser.click("button", text="Add Connection")
    browser.type("connection_id", CONNECTION)
    browser.choose("Connection Type", "Qwen Image Gateway")
    browser.see("API Key")
    labels = [
        e.text.rstrip(" *\n") for e in browser.driver.find_elements("css selector", "[role=dialog] label")
    ]
    assert [label for label in labels if label in ("Login", "Schema")] == []
    assert browser.labelled("API Key").get_attribute("type") == "password"
    assert "https://" in browser.labelled("Gateway URL").get_attribute("placeholder")
    browser.type("host", typed.host)
    browser.type("port", typed.port)
    browser.type("password", KEY)
    browser.picture("connection-form")
    open_section(browser, "Extra Fields")
    browser.choose("Gateway", "tokenhot")
    browser.type("element_model", "qwen-image-plus")
    browser.driver.execute_script("document.getElementsByName('element_allow_private_hosts')[0].click()")
    browser.see("Used where an operator names none")
    browser.picture("connection-extras")
    browser.click("[role=dialog] button", text="Save")
    browser.see(CONNECTION)


def test_what_was_typed_is_what_was_saved(airflow, typed):
    saved = airflow.call("GET", f"/connections/{CONNECTION}")
    assert (saved["host"], saved["port"], saved["password"]) == (typed.host, int(typed.port), "***")
    assert '"gateway": "tokenhot"' in saved["extra"]
    assert '"allow_private_hosts": true' in saved["extra"]


def test_the_right_key_is_accepted(browser):
    browser.open("connections")
    browser.click("button[aria-label='Test Connection']")
    browser.see("Key accepted by TokenHot.")
    browser.picture("connection-tested")


def test_a_model_that_is_not_offered_is_named_and_the_key_survives_the_edit(browser):
    edit(browser, element_model="qwen-image-plus-plus")
    assert pressed(browser) == (
        "Key accepted, but the default model 'qwen-image-plus-plus' is not listed: check its name."
    )
    edit(browser, element_model="qwen-image-plus")
    assert pressed(browser) == "Key accepted by TokenHot."


def test_a_wrong_key_is_told_and_not_shown(browser):
    edit(browser, password="sk-wrong-key-of-somebody")
    said = pressed(browser)
    assert said == "TokenHot answered 401: the key is not accepted."
    edit(browser, password=KEY)


def test_a_host_that_cannot_be_reached_is_named_without_the_key(browser, typed):
    edit(browser, host="http://127.0.0.1", port=str(free_port()), password=KEY)
    said = pressed(browser)
    assert "127.0.0.1" in said
    assert KEY not in said
    edit(browser, host=typed.host, port=typed.port, password=KEY)
    assert pressed(browser) == "Key accepted by TokenHot."


def test_none_of_this_cost_anything(gateway):
    assert (gateway.state.posts, gateway.state.billed) == (0, 0)


def test_every_image_is_seen_in_the_tab_and_its_prompt_is_text(browser, run):
    browser.open(page(run, "store", "required_actions"))
    browser.click("a", text="Images")
    with browser.frame():
        browser.see("4 images, 0.8 CNY")
        browser.wait(
            lambda: browser.driver.execute_script("return document.body.dataset.state") == "read", "the end"
        )
        browser.wait(lambda: all(browser.driver.execute_script(NATURAL_WIDTHS)), "every image")
        assert len(browser.driver.execute_script(NATURAL_WIDTHS)) == 4
        assert [e.text for e in browser.driver.find_elements("css selector", ".prompt")] == [PROMPT] * 4
        assert browser.driver.find_elements("css selector", "img[src=x]") == []
    browser.picture("gallery-task")
    assert browser.complaints() == []


def test_the_gallery_follows_the_theme(browser, run):
    ground = "return getComputedStyle(document.body).backgroundColor"
    browser.picture("gallery-task")  # leaves the light theme
    with browser.frame():
        light = browser.driver.execute_script(ground)
    browser.driver.execute_script(
        "dispatchEvent(new StorageEvent('storage', {key: 'theme', newValue: 'dark'}))"
    )
    with browser.frame():
        browser.wait(lambda: browser.driver.execute_script(ground) != light, "the dark theme")
    browser.driver.execute_script(
        "dispatchEvent(new StorageEvent('storage', {key: 'theme', newValue: 'light'}))"
    )


def test_the_filter_and_the_viewer_work_by_keyboard(browser):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    with browser.frame():
        browser.find("#summary").click()
        ActionChains(browser.driver).send_keys("/").perform()
        field = browser.driver.switch_to.active_element
        assert field.get_attribute("id") == "filter"
        field.send_keys("no such words")
        browser.see("No image matches the filter.")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys("ENAMEL")
        browser.see("4 images")
        browser.find(".picture").send_keys(Keys.ENTER)
        browser.see("1 of 4")
        dialog = browser.driver.switch_to.active_element
        dialog.send_keys(Keys.ARROW_RIGHT)
        browser.see("2 of 4")
        width = "return document.querySelector('#viewer-stage img').naturalWidth"
        browser.wait(lambda: browser.driver.execute_script(width) > 0, "the image in full size")
    browser.picture("gallery-full-size")
    with browser.frame():
        browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
        browser.wait(lambda: not browser.driver.find_elements("css selector", "dialog[open]"), "it to close")
        assert browser.driver.switch_to.active_element.get_attribute("class") == "picture"


def test_a_run_has_the_tab_too(browser, run):
    browser.open(f"dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}/plugin/qwenimage-run")
    with browser.frame():
        browser.see("4 images")
    browser.picture("gallery-run")


def test_a_task_without_images_says_so(browser, run):
    browser.open(page(run, "publish", "plugin/qwenimage"))
    with browser.frame():
        browser.see("This task stored no images.")
    browser.picture("gallery-empty")


def test_what_an_unfinished_batch_cost_is_in_its_tab_and_in_the_total_of_the_run(airflow, browser, run):
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/publish/xcomEntries"
    usage = {"image_count": 6, "cost": 1.2, "currency": "CNY"}
    airflow.call("POST", path, json={"key": "usage", "value": usage, "map_index": -1})
    browser.open(page(run, "publish", "plugin/qwenimage"))
    with browser.frame():
        browser.see("0 images, 1.2 CNY")
    browser.open(f"dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}/plugin/qwenimage-run")
    with browser.frame():
        browser.see("4 images, 2 CNY")


def test_five_hundred_images_are_drawn_as_they_are_looked_at(airflow, browser, run):
    stored = airflow.xcom(run, "store", "stored")
    signed = {**stored[0]["origin"], "c2pa": True, "c2pa_state": "Valid"}
    many = [{**stored[index % 4], "index": index, "seed": index} for index in range(500)]
    many[:3] = [
        {**image, "origin": origin} for image, origin in zip(many, (signed, signed, None), strict=False)
    ]
    many[7] |= {"labels": {"sku": "A/1 🦊", "note": "x" * 3000}}
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/publish/xcomEntries"
    airflow.call("POST", path, json={"key": "stored", "value": many, "map_index": -1})
    browser.open(page(run, "publish", "plugin/qwenimage"))
    with browser.frame():
        browser.see("500 images")
        drawn = "return document.querySelectorAll('#grid > li').length"
        assert 0 < browser.driver.execute_script(drawn) <= 108
        browser.driver.execute_script("scrollTo(0, document.body.scrollHeight)")
        last = "return document.querySelector('#grid > li[aria-posinset=\"500\"] img')?.naturalWidth"
        browser.wait(lambda: browser.driver.execute_script(last), "the last picture")
        assert 0 < browser.driver.execute_script(drawn) <= 108


def test_what_has_no_mark_of_origin_is_found_among_them(browser):
    told = "return [...document.querySelectorAll('dt')].find((it) => it.textContent === 'Mark')"
    told += ".nextElementSibling.textContent"
    with browser.frame():
        browser.driver.execute_script("scrollTo(0, 0)")
        browser.click(".picture")
        for mark in ("C2PA (Valid)", "C2PA (Valid)", "not looked for", "none"):
            browser.wait(lambda mark=mark: browser.driver.execute_script(told) == mark, mark)
            browser.find("#viewer-next").click()
        browser.find("#viewer-close").click()
        browser.click("#unmarked")
        browser.see("498 of 500 images")
        browser.click("#unmarked")
        browser.see("500 images")
        browser.find("#filter").send_keys("c2pa")
        browser.see("2 of 500 images")
    assert browser.complaints() == []


def test_an_author_finds_an_image_by_a_name_of_its_own(browser):
    from selenium.webdriver.common.keys import Keys

    with browser.frame():
        browser.find("#filter").send_keys(Keys.CONTROL, "a")
        browser.find("#filter").send_keys("a/1")
        browser.see("1 of 500 images")
        names = browser.driver.find_elements("css selector", "#grid .labels span")
        assert [each.text for each in names] == ["sku: A/1 🦊", f"note: {'x' * 3000}"]
    browser.picture("gallery-labels")
    assert browser.complaints() == []


def test_a_task_that_failed_says_why(airflow, browser):
    failed = airflow.trigger("approve_campaign", prompt=" ")
    assert airflow.wait_for(failed) == "failed"
    browser.open(page(failed, "generate", "plugin/qwenimage"))
    with browser.frame():
        browser.see("Did not come")
        browser.see("generate: prompt")  # the reason, as the task's log has it
    browser.picture("gallery-failed")
    browser.open(page(failed, "generate", ""))
    lines = "return document.querySelector('[data-testid=virtualized-list]').innerText.trim().split('\\n')"
    last = browser.wait(lambda: browser.driver.execute_script(lines)[-1], "the log")
    assert "prompt: must not be empty. Nothing was billed. https://" in last


def test_the_links_of_a_task_lead_to_its_images_and_its_manifest(browser, run):
    browser.open(page(run, "store", "details"))
    links = {name: browser.find("a", text=name) for name in ("Manifest",)}
    browser.picture("links")
    manifest = links["Manifest"].get_attribute("href")
    images = [
        e.get_attribute("href")
        for e in browser.driver.find_elements("css selector", "a")
        if e.text == "Images"
    ]
    assert any(href.endswith(f"{page(run, 'store', 'plugin/qwenimage')}") for href in images)
    browser.driver.get(manifest)
    browser.see('"task_id": "store"')
    browser.driver.get(images[-1])
    with browser.frame():
        browser.see("4 images")


def test_a_person_sees_the_images_and_picks_two_of_them(airflow, browser, run):
    browser.open(page(run, "pick", "plugin/qwenimage"))
    with browser.frame():
        browser.see("Which images go into the campaign?")
        browser.find("#grid > li:nth-child(2) .picture").click()
        browser.find("#grid > li:nth-child(4) .picture").click()
        browser.click("#answer")
        browser.see("Answered by")
    assert airflow.wait_for(run) == "success"


def test_only_what_was_picked_is_published(airflow, run):
    drafts, published = (airflow.xcom(run, task, "stored") for task in ("store", "publish"))
    assert [image["sha256"] for image in published] == [drafts[1]["sha256"], drafts[3]["sha256"]]
    assert all("/published/" in image["uri"] for image in published)


def test_the_dag_that_waits_for_the_asset_runs_and_succeeds(airflow, browser, run):
    def runs():
        return airflow.call("GET", "/dags/announce_campaign/dagRuns")["dag_runs"]

    eventually(lambda: bool(runs()), "announce_campaign to start")
    downstream = Run("announce_campaign", runs()[0]["dag_run_id"])
    assert airflow.wait_for(downstream) == "success"
    manifest = airflow.xcom(run, "publish", "manifest")["uri"]
    assert airflow.xcom(downstream, "announce") == [{"manifest": manifest, "count": 2}]
    browser.open(f"dags/announce_campaign/runs/{quote(downstream.run_id, safe='')}")
    browser.see("announce")
    browser.picture("announced")


def test_the_run_was_billed_once(gateway):
    assert gateway.state.billed == 4
    assert gateway.state.posts == 1
