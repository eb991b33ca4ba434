"""Somebody looks while tasks work: what they store comes into view as it is stored, and nobody reloads the page."""

from __future__ import annotations

import re
from contextlib import contextmanager
from urllib.parse import quote

import pytest

SUMMARY = "return document.getElementById('summary').textContent"
WIDTHS = "return [...document.querySelectorAll('#grid img')].map((image) => image.naturalWidth)"
LOADED = "return performance.timeOrigin"
NONE = "This task stored no images."


@pytest.fixture
def slow(gateway):
    """Answers that take their time; nobody waits for them after the test."""
    gateway.state.settings.latency = 3
    yield
    gateway.state.settings.latency = 0


def open_tab(browser, run, task_id):
    browser.open(f"dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}/tasks/{task_id}/plugin/qwenimage")


@contextmanager
def looking(browser):
    """Look into the tab, which is not loaded anew meanwhile."""
    with browser.frame():
        opened = browser.driver.execute_script(LOADED)
        yield
        assert browser.driver.execute_script(LOADED) == opened


def summary(browser):
    return browser.driver.execute_script(SUMMARY)


def count(browser):
    return int(re.match(r"\d*", summary(browser))[0] or 0)


def pictures(browser):
    return browser.driver.execute_script(WIDTHS)


@pytest.mark.usefixtures("slow")
def test_a_batch_shows_each_image_as_it_is_stored_and_then_all_of_them(airflow, browser):
    run = airflow.trigger("watch_batch")
    airflow.wait_for_task(run, "campaign", "running")
    open_tab(browser, run, "campaign")
    with looking(browser):
        browser.wait(lambda: 0 < count(browser) < 8 and "so far" in summary(browser), "the first images")
        first = count(browser)
        browser.wait(lambda: len(pictures(browser)) >= first and all(pictures(browser)), "their pictures")
        browser.find("#grid .picture").click()
        browser.find("#viewer-close").click()
        browser.wait(lambda: first < count(browser) < 8, "further ones")
        browser.wait(
            lambda: summary(browser).startswith("8 images") and "so far" not in summary(browser), "all"
        )
        browser.wait(lambda: len(pictures(browser)) == 8 and all(pictures(browser)), "all pictures")
        focused = "return document.activeElement.closest('#grid > li')?.getAttribute('aria-posinset')"
        assert browser.driver.execute_script(focused) == "1"  # its card is the one that was clicked
        assert browser.find("#manifest").is_displayed()
    assert airflow.wait_for(run) == "success"
    assert browser.complaints() == []


@pytest.mark.usefixtures("slow")
def test_any_task_says_that_it_has_not_ended_and_shows_its_images_when_it_has(airflow, browser):
    run = airflow.trigger("watch_tasks")
    airflow.wait_for_task(run, "generate", "running")
    for task_id, images in (("generate", 2), ("sequence", 3), ("publish", 2)):
        open_tab(browser, run, task_id)
        with looking(browser):
            browser.wait(lambda: "so far" in summary(browser) or count(browser), "the first reading")
            if count(browser) == 0:
                browser.see("This task has not ended.")
                assert NONE not in browser.text()
            browser.wait(lambda images=images: len(pictures(browser)) == images, f"images of {task_id}")
            browser.wait(lambda: all(pictures(browser)), f"pictures of {task_id}")
            browser.wait(lambda: "so far" not in summary(browser), "the end")
    assert airflow.wait_for(run) == "success"
    assert browser.complaints() == []


@pytest.mark.usefixtures("slow")
def test_a_run_is_followed_from_its_first_task_to_its_last(airflow, browser):
    run = airflow.trigger("watch_tasks")
    browser.open(f"dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}/plugin/qwenimage-run")
    with looking(browser):
        browser.see("This run has not ended.")
        browser.wait(lambda: count(browser) > 0 and "so far" in summary(browser), "the first images")
        browser.wait(lambda: count(browser) == 7 and "so far" not in summary(browser), "all of them")
        browser.wait(lambda: len(pictures(browser)) == 7 and all(pictures(browser)), "all pictures")
    assert browser.complaints() == []


@pytest.mark.usefixtures("slow")
def test_the_tab_of_an_approval_becomes_the_question_once_it_asks(airflow, browser):
    run = airflow.trigger("watch_question")
    airflow.wait_for_task(run, "generate", "running")
    open_tab(browser, run, "pick")
    with browser.frame():
        browser.see("This task has not ended.")
        browser.wait(lambda: "Is it this one?" in browser.text(), "the question")
        browser.wait(lambda: len(pictures(browser)) == 1 and all(pictures(browser)), "what it asks about")
    assert browser.complaints() == []
