"""Under FAB's auth manager, in windows of their own: who may answer, who may only look, nobody, and two at one moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from airflow_provider_qwenimage.simulator import running
from browser.conftest import KEY
from e2e.airflow_cluster import eventually
from e2e.airflow_with_fab import Fab, running_fab

STATE = "return document.body.dataset.state"
ELSE = "Somebody else has answered already"


class Question(NamedTuple):
    """A run of ``chosen``, whose task ``pick`` waits."""

    fab: Fab
    run_id: str

    @property
    def page(self) -> str:
        of = {"dag_id": "chosen", "run_id": self.run_id, "task_id": "pick", "map_index": -1}
        return f"qwenimage/gallery?{urlencode(of)}"

    def get(self, rest: str, user: str = "Admin") -> Any:
        path = f"/api/v2/dags/chosen/dagRuns/{self.run_id}/taskInstances/pick{rest}"
        return self.fab.clients[user].get(path).raise_for_status().json()

    @property
    def approved(self) -> list[str]:
        """What was approved, once the task has ended."""
        eventually(lambda: self.get("")["state"] == "success", "the task to end", lambda: str(self.get("")))
        return [image["uri"] for image in self.get("/xcomEntries/return_value")["value"]]


@pytest.fixture(scope="module")
def fab(programs, rclone_s3, tmp_path_factory):
    home = tmp_path_factory.mktemp("fab")
    with (
        running(key=KEY) as simulator,
        running_fab(home, simulator, rclone_s3, beside=("scheduler", "dag-processor")) as started,
    ):
        yield started


@pytest.fixture
def question(fab):
    admin = fab.clients["Admin"]
    eventually(lambda: admin.get("/api/v2/dags/chosen").is_success, "the Dag to be read")
    admin.patch("/api/v2/dags/chosen", json={"is_paused": False}).raise_for_status()
    made = admin.post("/api/v2/dags/chosen/dagRuns", json={"logical_date": None}).raise_for_status().json()
    asked = Question(fab, made["dag_run_id"])
    eventually(lambda: asked.get("")["state"] == "awaiting_input", "the question", lambda: str(asked.get("")))
    return asked


@pytest.fixture
def window(fab, programs):
    """Open a window signed in as somebody, by the cookie that FAB sets; close it in the end."""
    from browser.browser import Browser

    opened = []

    def sign_in(user: str | None = None) -> Browser:
        made = Browser(fab.url, programs)
        opened.append(made)
        made.open("api/v2/version")
        if user is not None:
            token = fab.clients[user].headers["Authorization"].removeprefix("Bearer ")
            made.driver.add_cookie({"name": "_token", "value": token, "path": "/"})
        return made

    yield sign_in
    for each in opened:
        each.close()


def look(window, question):
    window.open(question.page)
    window.wait(lambda: window.driver.execute_script(STATE) == "read", "the question")
    window.see("0 of 2 chosen")
    widths = "return [...document.querySelectorAll('#grid img')].map((it) => it.naturalWidth)"
    window.wait(lambda: all(window.driver.execute_script(widths)), "the pictures")


def test_who_may_answer_does_and_the_answer_is_theirs(window, question):
    person = window("answers")
    look(person, question)
    person.find("#grid > li:nth-child(2) .picture").click()
    person.click("#answer")
    person.see("Answered by answers")
    (approved,) = question.approved
    assert approved == question.get("/xcomEntries/candidates")["value"][1]["uri"]
    assert question.get("/xcomEntries/approval")["value"]["by"]["name"] == "answers"
    assert person.complaints() == []


@pytest.mark.parametrize("user", ["looks", "Viewer"])
def test_who_may_only_look_is_told_so_and_nothing_is_answered(window, question, user):
    person = window(user)
    look(person, question)
    person.find("#grid .picture").click()
    person.click("#answer")
    person.see("You may not answer")
    assert question.get("/-1/hitlDetails")["response_received"] is False
    assert question.get("")["state"] == "awaiting_input"
    person.see("1 of 2 chosen")
    assert person.find("#answer").is_enabled()  # somebody may give them the right meanwhile


@pytest.mark.parametrize("user", [None, "none", "pictures"])
def test_nobody_else_sees_the_question_or_a_picture(window, question, user):
    person = window(user)
    person.open(question.page)
    assert "Which of the two?" not in person.driver.page_source
    assert person.driver.find_elements("css selector", "#grid, img") == []


def test_of_two_who_answer_at_one_moment_one_counts_and_the_other_is_told(window, question):
    people = [window("answers"), window("Admin")]
    for place, person in enumerate(people, 1):
        look(person, question)
        person.find(f"#grid > li:nth-child({place}) .picture").click()
    press = "document.getElementById('answer').click()"
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda person: person.driver.execute_script(press), people))
    (approved,) = question.approved
    counted = [image["uri"] for image in question.get("/xcomEntries/candidates")["value"]].index(approved)
    states = "return [...document.querySelectorAll('#grid > li')].map((it) => it.dataset.state)"
    expected = ["chosen" if at == counted else "rejected" for at in range(2)]
    people[1 - counted].see(ELSE)
    for person in people:
        person.wait(lambda person=person: person.driver.execute_script(states) == expected, "what counted")
    assert ELSE not in people[counted].text()
