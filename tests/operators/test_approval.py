"""A person decides: what is asked, what an answer makes of it, and what is never asked at all."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from typing import ClassVar

import pytest
from airflow.sdk import DAG, BaseNotifier

from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.models.manifest import Manifest, StoredImage
from airflow_provider_qwenimage.operators.approval import QwenImageApprovalOperator
from harness import InMemoryAirflow

CHOSEN, ALL, NONE = (getattr(QwenImageApprovalOperator, name) for name in ("CHOSEN", "ALL", "NONE"))


def stored(number, **facts):
    return {
        "uri": f"s3://drafts/run/{number:05d}.png",
        "index": number,
        "content_type": "image/png",
        "bytes": 100,
        "sha256": f"{number:064x}",
        "width": 8,
        "height": 8,
        "prompt": f"mug {number}",
        **facts,
    }


def uris(images):
    return [image["uri"] for image in images]


IMAGES = [stored(number) for number in range(4)]
URIS = uris(IMAGES)


def approval(images=IMAGES, **arguments):
    return QwenImageApprovalOperator(task_id="pick", images=images, subject="Which?", **arguments)


def asked(task):
    """Run a task until it waits for a person."""
    airflow = InMemoryAirflow()
    attempt = airflow.run(task)
    assert attempt.state == "awaiting_input", attempt.error
    return airflow


def answered(task, option, **params):
    airflow = asked(task)
    airflow.answer(task, option, **params)
    return airflow.run(task)


def test_it_waits_for_a_person_and_says_what_about():
    task = approval(minimum=2, maximum=3, body="For the spring campaign.")
    airflow = asked(task)
    told = airflow.api.xcoms["pick", -1]
    assert told["candidates"] == [StoredImage.model_validate(image).xcom() for image in IMAGES]
    assert told["approval"] == {
        "state": "asked", "minimum": 2, "maximum": 3, "count": 4, "body": "For the spring campaign.", "refused": None,
    }  # fmt: skip
    question = airflow.question(task)
    assert (question["subject"], question["options"], question["multiple"]) == (
        "Which?",
        [CHOSEN, ALL, NONE],
        False,
    )
    assert question["body"].startswith("For the spring campaign.\n\n[Look at the images")
    assert "tasks/pick/plugin/qwenimage" in question["body"]


def test_what_is_approved_is_returned_and_what_is_not_is_rejected_with_its_comment():
    attempt = answered(
        approval(), CHOSEN, approved=[URIS[2], URIS[0]], comments={URIS[1]: " a blue mug ", URIS[3]: "  "}
    )
    assert uris(attempt.result) == [URIS[0], URIS[2]]
    rejected = attempt.xcoms["rejected"]
    assert [(image["uri"], image["comment"]) for image in rejected] == [
        (URIS[1], "a blue mug"),
        (URIS[3], None),
    ]
    assert attempt.xcoms["revise"] == [{"images": [URIS[1]], "prompt": "a blue mug"}]
    assert attempt.xcoms["approval"] == {
        "state": "answered",
        "approved": [URIS[0], URIS[2]],
        "rejected": [URIS[1], URIS[3]],
        "by": {"id": "anna", "name": "anna"},
        "at": "2026-11-21T12:00:00+00:00",
        "timed_out": False,
    }


@pytest.mark.parametrize(("option", "approved"), [(ALL, URIS), (NONE, [])])
def test_all_or_none_needs_no_list(option, approved):
    attempt = answered(approval(minimum=0), option, approved=[], comments={})
    assert uris(attempt.result) == approved


@pytest.mark.parametrize(
    ("option", "said", "why"),
    [
        (CHOSEN, {"approved": [URIS[0]], "comments": {}}, "approved: are 1 images, at least 2 must be"),
        (ALL, {"approved": [], "comments": {}}, "approved: are 4 images, at most 3 may be"),
        (CHOSEN, {"approved": ["s3://other/x.png"], "comments": {}}, "approved: names s3://other/x.png"),
        (CHOSEN, {"approved": URIS[:2], "comments": {URIS[0]: "no"}}, f"comments: rejects {URIS[0]}"),
        (CHOSEN, {"approved": "all", "comments": {}}, "Invalid input for param approved"),
        (CHOSEN, {"approved": URIS[:2], "comments": {URIS[3]: 7}}, "Invalid input for param comments"),
        (CHOSEN, {"approved": URIS[:2]}, "does not match params"),
        (CHOSEN, {}, "approved: are 0 images"),
    ],
)
def test_an_answer_that_does_not_count_is_asked_again_and_says_why(option, said, why):
    task = approval(minimum=2, maximum=3)
    airflow = asked(task)
    airflow.answer(task, option, **said)
    again = airflow.run(task)
    assert again.state == "awaiting_input"
    assert again.xcoms["approval"]["state"] == "asked"
    assert why in again.xcoms["approval"]["refused"]
    assert "return_value" not in again.xcoms
    airflow.answer(task, CHOSEN, approved=URIS[:2], comments={})
    assert uris(airflow.run(task).result) == URIS[:2]


def test_a_timeout_without_a_default_approves_nothing():
    task = approval(response_timeout=timedelta(hours=1))
    airflow = asked(task)
    airflow.resume(task, {"error": "The timeout has passed.", "error_type": "timeout"})
    attempt = airflow.run(task)
    assert attempt.state == "failed"
    assert set(attempt.xcoms) == {"candidates", "approval"}
    assert attempt.xcoms["approval"] == {"state": "unanswered"}


def test_a_timeout_takes_the_authors_default_also_outside_of_the_limits():
    task = approval(minimum=2, response_timeout=timedelta(hours=1), defaults=NONE)
    attempt = answered(task, NONE, by=None, approved=[], comments={})
    assert (attempt.state, attempt.result) == ("success", [])
    assert attempt.xcoms["approval"]["timed_out"] is True
    assert attempt.xcoms["approval"]["by"] is None


def test_a_default_of_what_nobody_chose_is_refused():
    with pytest.raises(InvalidRequest, match=r"^defaults: must be 'Approve all' or 'Approve none'"):
        approval(defaults=CHOSEN)


@pytest.mark.parametrize("images", [[], [[], None], "[]"])
def test_no_image_is_said_and_nobody_is_asked(images):
    airflow = InMemoryAirflow()
    task = approval(images, retries=3)
    attempt = airflow.run(task)
    assert attempt.state == "failed"
    assert str(attempt.error).startswith("images: are none. ")
    assert airflow.api.questions == {}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"minimum": 5}, "minimum: is 5, and there are 4 images"),
        ({"minimum": "{{ 3 }}", "maximum": "{{ 2 }}"}, "maximum: is 2, below the minimum of 3"),
        (
            {"images": [IMAGES[0], "s3://drafts/run/1.png"]},
            r"images\[1\]: must be an image object or a manifest",
        ),
        ({"images": [{"url": "https://images.test/1.png"}]}, r"images\[0\]: is no stored image \(uri\)"),
        ({"images": [stored(n) for n in range(1001)]}, "images: are 1001: one approval takes 1000"),
        ({"images": 7}, "images: must be an image object or a manifest, got int"),
        ({"images": "{{ '[' }}"}, "images: is text that is no list"),
    ],
)
def test_a_question_without_an_answer_is_not_put(arguments, why):
    airflow = InMemoryAirflow()
    attempt = airflow.run(approval(**arguments))
    assert attempt.state == "failed"
    with pytest.raises(InvalidRequest, match=f"^{why}"):
        raise attempt.error
    assert airflow.api.questions == {}


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({"minimum": -1}, "minimum"), ({"maximum": 0}, "maximum"), ({"minimum": True}, "minimum")],
)
def test_a_typed_mistake_is_refused_when_the_dag_is_parsed(arguments, field):
    with pytest.raises(InvalidRequest, match=f"^{field}: "):
        approval(**arguments)


@pytest.mark.parametrize("fixed", [{"options": ["yes"]}, {"multiple": True}])
def test_what_is_fixed_cannot_be_given(fixed):
    with pytest.raises(InvalidRequest, match="is fixed"):
        approval(**fixed)


@pytest.fixture
def manifest(moto_s3):
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = moto_s3.connection
    client = moto_s3.client()
    client.create_bucket(Bucket="drafts")
    listed = Manifest(dag_id="harness", images=tuple(StoredImage.model_validate(image) for image in IMAGES))
    client.put_object(Bucket="drafts", Key="run/manifest.json", Body=listed.dump())
    yield "s3://drafts/run/manifest.json"
    client.delete_object(Bucket="drafts", Key="run/manifest.json")
    client.delete_bucket(Bucket="drafts")


@pytest.mark.parametrize(
    "given",
    [
        str,
        lambda uri: {"uri": uri},
        lambda uri: uri.removesuffix("manifest.json"),
        lambda uri: [{"uri": uri}],
    ],
)
def test_a_manifest_is_asked_about_as_what_it_lists(manifest, given):
    attempt = answered(approval(given(manifest)), CHOSEN, approved=[URIS[1]], comments={})
    assert attempt.result == [StoredImage.model_validate(IMAGES[1]).xcom()]


def test_what_was_shown_is_what_is_approved_whatever_the_manifest_lists_by_then(manifest, moto_s3):
    task = approval(manifest)
    airflow = asked(task)
    other = Manifest(images=(StoredImage.model_validate(stored(1, sha256="f" * 64)),))
    moto_s3.client().put_object(Bucket="drafts", Key="run/manifest.json", Body=other.dump())
    airflow.answer(task, CHOSEN, approved=[URIS[1]], comments={})
    assert [image["sha256"] for image in airflow.run(task).result] == [IMAGES[1]["sha256"]]


def test_a_manifest_that_is_gone_is_named_and_nobody_is_asked(manifest):
    airflow = InMemoryAirflow()
    task = approval("s3://drafts/elsewhere/manifest.json", retries=3)
    attempt = airflow.run(task)
    assert attempt.state == "failed"
    assert isinstance(attempt.error, TransferError)
    assert "s3://drafts/elsewhere/manifest.json" in str(attempt.error)
    assert airflow.api.questions == {}


def test_a_manifest_in_another_store_is_read_there(tmp_path):
    listed = Manifest(images=tuple(StoredImage.model_validate(image) for image in IMAGES))
    (tmp_path / "manifest.json").write_bytes(listed.dump())
    airflow = asked(approval(f"file://{tmp_path}/"))
    assert uris(airflow.api.xcoms["pick", -1]["candidates"]) == URIS


def test_lists_of_mapped_tasks_are_flattened_and_an_image_is_asked_about_once():
    airflow = asked(approval([IMAGES[:2], None, [IMAGES[1], IMAGES[3]]]))
    assert uris(airflow.api.xcoms["pick", -1]["candidates"]) == [URIS[0], URIS[1], URIS[3]]


def test_below_airflow_3_3_it_waits_in_the_triggerer(monkeypatch):
    monkeypatch.setattr("airflow.providers.standard.operators.hitl.AIRFLOW_V_3_3_PLUS", False)
    airflow, task = InMemoryAirflow(), approval()
    attempt = airflow.run(task)
    assert (attempt.state, type(attempt.trigger).__name__) == ("deferred", "HITLTrigger")
    airflow.resume(task, {"error": "Invalid input for param approved", "error_type": "validation"})
    again = airflow.run(task)
    assert again.state == "deferred"
    assert "Invalid input" in again.xcoms["approval"]["refused"]
    airflow.answer(task, CHOSEN, approved=[URIS[1]], comments={})
    assert uris(airflow.run(task).result) == [URIS[1]]


class Told(BaseNotifier):
    """Remembers of whom it was told."""

    told: ClassVar[list[str]] = []

    def notify(self, context):
        self.told.append(
            context["task"].generate_link_to_ui_from_context(context=context, base_url="http://a.test")
        )


def test_users_notifiers_params_and_the_timeout_are_those_of_airflow():
    Told.told.clear()
    anna = {"id": "1", "name": "anna"}
    task = approval(
        assigned_users=anna,
        notifiers=Told(),
        response_timeout=timedelta(days=3),
        params={"campaign": "spring"},
    )
    airflow = asked(task)
    question = airflow.question(task)
    assert question["assigned_users"] == [anna]
    assert sorted(question["params"]) == ["approved", "campaign", "comments"]
    assert Told.told[0].startswith("http://a.test/dags/harness/runs/")


def test_each_set_of_a_mapped_approval_is_a_question_of_its_own():
    with DAG("mapped", schedule=None) as dag:
        QwenImageApprovalOperator.partial(task_id="pick", subject="Which?").expand(
            images=[IMAGES[:2], IMAGES[2:]]
        )
    airflow = InMemoryAirflow(dag_id="mapped")
    task = dag.task_dict["pick"]
    for index in (0, 1):
        assert airflow.run(task, map_index=index).state == "awaiting_input"
        airflow.answer(task, ALL, map_index=index, approved=[], comments={})
    assert [uris(airflow.run(task, map_index=index).result) for index in (0, 1)] == [URIS[:2], URIS[2:]]


WITHOUT = """
import sys
sys.modules["airflow.providers.standard.operators.hitl"] = None
import airflow_provider_qwenimage.operators.qwenimage, airflow_provider_qwenimage.plugins.qwenimage
try:
    import airflow_provider_qwenimage.operators.approval
except Exception as error:
    print(type(error).__name__, error)
"""


def test_without_hitl_operators_the_rest_works_and_the_import_says_what_is_missing():
    ran = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    told = ran.stdout.splitlines()[-1]
    assert told.startswith(
        "AirflowOptionalProviderFeatureException QwenImageApprovalOperator needs HITLOperator"
    )
    assert "apache-airflow-providers-standard" in told
