"""Who gets what from the pages under FAB's auth manager: its users, roles and tokens, in an Airflow of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest

from e2e.airflow_with_fab import running_fab
from plugins.conftest import Shown

if TYPE_CHECKING:
    from collections.abc import Callable


class Route(NamedTuple):
    """A route that shows something of a task: whose Dag it is asked about, and with what."""

    path: str
    dag_id: str
    query: Callable[[Shown], dict[str, Any]]


ROUTES = {
    "gallery": Route("gallery", "pictures", Shown.query),
    "approval": Route("gallery", "pictures", lambda shown: shown.query(task_id="pick")),
    "image": Route("image", "pictures", Shown.query),
    "candidate": Route("image", "pictures", lambda shown: shown.query(task_id="pick")),
    "thumbnail": Route("thumbnail", "pictures", Shown.query),
    "manifest": Route("manifest", "pictures", Shown.query),
    "page": Route("manifest", "pictures", lambda shown: shown.query(page=0)),
    "zip": Route("zip", "pictures", Shown.zipped),
    "unfinished": Route("unfinished", "batch", Shown.query),
    "its image": Route("image", "batch", Shown.query),
}
EVERYWHERE = ("library", "spend", "static/an-older/main.js")


@pytest.fixture(scope="module")
def fab(simulator, rclone_s3, tmp_path_factory):
    with running_fab(tmp_path_factory.mktemp("fab"), simulator, rclone_s3) as started:
        yield started


def ask(fab, user, route, **changed):
    query = {**route.query(fab.shown[route.dag_id]), **changed}
    return fab.clients[user].get(f"/qwenimage/{route.path}", params=query)


every_route = pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)


@every_route
def test_nobody_in_particular_gets_401(fab, route):
    assert ask(fab, "nobody", route).status_code == 401


@every_route
def test_a_role_without_permissions_gets_403(fab, route):
    assert ask(fab, "none", route).status_code == 403


@every_route
def test_the_permission_for_another_dag_gets_403(fab, route):
    other = {"pictures": "batch", "batch": "pictures"}[route.dag_id]
    assert ask(fab, other, route).status_code == 403


@every_route
def test_the_permission_for_the_dag_or_for_all_gets_it(fab, route):
    for user in (route.dag_id, "Viewer", "Admin"):
        assert ask(fab, user, route).status_code == 200, user


@every_route
def test_a_browser_is_known_by_the_cookie_that_fab_sets(fab, route):
    token = fab.clients[route.dag_id].headers["Authorization"].removeprefix("Bearer ")
    query = route.query(fab.shown[route.dag_id])
    with httpx.Client(base_url=fab.url, cookies={"_token": token}, timeout=60) as browser:
        assert browser.get(f"/qwenimage/{route.path}", params=query).status_code == 200


@pytest.mark.parametrize("page", EVERYWHERE)
def test_a_page_of_all_runs_is_for_who_is_signed_in_and_tells_nothing_by_itself(fab, page):
    assert fab.clients["nobody"].get(f"/qwenimage/{page}").status_code == 401
    texts = {
        fab.clients[user].get(f"/qwenimage/{page}").raise_for_status().text for user in ("none", "Admin")
    }
    assert len(texts) == 1


@pytest.mark.parametrize("key", ["stored", "usage"])
def test_what_such_a_page_asks_airflow_lists_the_dags_of_the_role_only(fab, key):
    path = "/api/v2/dags/~/dagRuns/~/taskInstances/~/xcomEntries"
    query = {"xcom_key": key, "order_by": "-run_after"}
    assert fab.clients["none"].get(path, params=query).status_code == 403
    listed = {}
    for user in ("pictures", "Viewer"):
        entries = fab.clients[user].get(path, params=query).raise_for_status().json()["xcom_entries"]
        listed[user] = {entry["dag_id"] for entry in entries}
    assert listed["pictures"] == {"pictures"}
    assert listed["Viewer"] >= {"pictures", "secrets"}


@every_route
def test_a_dag_by_no_name_lends_no_permission(fab, route):
    of = fab.shown["secrets"]
    for named in ("~", "", ["pictures", "secrets"], ["secrets", "pictures"]):
        answer = ask(fab, "pictures", route, dag_id=named, run_id=of.run_id, task_id="store")
        page = route.path == "gallery" and answer.status_code == 200  # which tells nothing by itself
        assert page or answer.status_code in (403, 404), named


@pytest.mark.parametrize("page", ["image", "thumbnail"])
@pytest.mark.parametrize("user", ["pictures", "Admin"])
def test_what_the_task_did_not_record_is_not_there(fab, page, user):
    other = fab.shown["secrets"].stored[0]["uri"]
    for uri in fab.shown["pictures"].foreign_uris(other):
        assert ask(fab, user, ROUTES[page], uri=uri).status_code == 404, uri
    folder, _, name = other.rpartition("/")
    assert ask(fab, user, ROUTES["zip"], folder=f"{folder}/", names=name).status_code == 404


@pytest.fixture
def doctored(fab):
    """Change a JSON object in the bucket, until the end of the test."""
    client, kept = fab.shown["batch"].s3.client(), {}

    def change(key: str, **fields: Any) -> None:
        found = client.get_object(Bucket="gallery", Key=key)
        kept[key] = {"Body": found["Body"].read(), "Metadata": found["Metadata"]}
        body = json.dumps({**json.loads(kept[key]["Body"]), **fields}).encode()
        client.put_object(Bucket="gallery", Key=key, Body=body, Metadata=found["Metadata"])

    yield change
    for key, whole in kept.items():
        client.put_object(Bucket="gallery", Key=key, **whole)


@pytest.mark.parametrize(
    "fields", [{"dag_id": "secrets"}, {"task_id": "other"}, {"images": "none"}, {"version": 7}]
)
def test_a_doctored_manifest_is_refused(fab, doctored, fields):
    doctored("pictures/manifest.json", **fields)
    for route in ("manifest", "page"):
        for user in ("pictures", "Admin"):
            assert ask(fab, user, ROUTES[route]).status_code == 404


def test_a_manifest_that_names_anothers_image_does_not_make_it_the_tasks_own(fab, doctored):
    foreign = fab.shown["secrets"].stored[0]
    doctored("pictures/manifest.json", images=[foreign])
    assert ask(fab, "pictures", ROUTES["image"], uri=foreign["uri"]).status_code == 404


def test_a_journal_of_another_dag_is_refused(fab, doctored):
    doctored("batch/journal/batch.json", origin={"dag_id": "secrets", "run_id": "r", "task_id": "store"})
    for user in ("batch", "Admin"):
        assert ask(fab, user, ROUTES["unfinished"]).status_code == 404


@pytest.mark.parametrize(
    "route", ["gallery", "approval", "image", "candidate", "thumbnail", "manifest", "zip"]
)
def test_the_dag_and_its_xcoms_are_all_that_a_role_needs_to_see(fab, route):
    assert ask(fab, "least", ROUTES[route]).status_code == 200


@pytest.mark.parametrize(
    ("user", "status"),
    [("nobody", 401), ("none", 403), ("batch", 403), ("Viewer", 403), ("half", 403), ("approver", 404)],
)
def test_an_answer_needs_the_permission_to_edit_the_dag_and_hitl_detail(fab, user, status):
    of = fab.shown["pictures"]
    path = f"/api/v2/dags/pictures/dagRuns/{of.run_id}/taskInstances/pick/-1/hitlDetails"
    body = {"chosen_options": ["Approve all"], "params_input": {}}
    # Nobody is waited for there: who may answer hears that.
    assert fab.clients[user].patch(path, json=body).status_code == status
