"""The catalogue holds itself against a gateway: it finds what differs, and never buys anything."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from datetime import date

import pytest

from airflow_provider_qwenimage.catalog import gateway, gateways, verify
from airflow_provider_qwenimage.catalog.answers import answer
from airflow_provider_qwenimage.catalog.models import models
from airflow_provider_qwenimage.catalog.questions import (
    BEYOND,
    NOWHERE,
    Question,
    is_refused_twice,
    questions,
)
from airflow_provider_qwenimage.exceptions import InvalidRequest, UnexpectedReply
from airflow_provider_qwenimage.gateway.verify import _spelled
from airflow_provider_qwenimage.gateway.verify import verify as ask_all
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.models.requests import EditRequest, GenerateRequest

TODAY = date(2026, 11, 22)
ALL = [question for row in models().values() for question in questions(row)]


def named(question):
    return f"{question.row.name} {question.operation} {question.parameter or question.rule}"


@pytest.fixture
def dashscope(simulator, qwenimage_connection):
    yield QwenImageHook(qwenimage_connection("dashscope")).settings
    assert (simulator.state.billed, simulator.state.total("generations")) == (0, 0), "nothing may be bought"
    assert simulator.state.jobs.statuses() == {}


def differing(answers):
    return sorted(named(one.question) for one in answers if one.verdict == "differs")


def test_the_simulator_which_was_written_by_other_eyes_differs_nowhere(dashscope):
    answers = list(ask_all(dashscope))
    assert differing(answers) == []
    told = {(one.question.rule, one.verdict) for one in answers}
    assert {rule for rule, verdict in told if verdict == "agrees"} == {
        "size", "n", "images", "input", "parameter", "sync", "jobs",
    }  # fmt: skip
    assert {one.question.row.name for one in answers} == {
        row.name for row in models().values() if not row.translate
    }


TEN = {
    "qwen-image": {"size": {"enum": ["1664*928", "1472*1104", "1328*1328", "1104*1472", "1024*1024"]}},
    "qwen-image-3.0": {"size": {"pixels": [262144, 6000000], "ratio": 8}},
    "qwen-image-max": {"size": {"pixels": [262144, 4194304]}},
    "wan2.2-t2i-flash": {"size": {"sides": [512, 2048]}},
    "wan2.6-t2i": {"n": [1, 6, 4]},
    "qwen-image-edit-plus": {"images": [1, 5]},
    "wan2.6-image": {"input": {"sides": [300, 8000], "megabytes": 10}},
    "wan2.5-t2i-preview": {"sync": True},
    "qwen-image-edit-max": {"job": "image-generation"},
    "z-image-turbo": {"size": {"pixels": [300000, 4194304]}},
}
FOUND = [
    "qwen-image generate size",
    "qwen-image-3.0 generate size",
    "qwen-image-edit-max edit jobs",
    "qwen-image-edit-plus edit images",
    "qwen-image-max generate size",
    "wan2.2-t2i-flash generate size",
    "wan2.5-t2i-preview generate sync",
    "wan2.6-image edit input",
    "wan2.6-t2i generate n",
    "z-image-turbo generate size",
]


def test_ten_differences_are_found_and_nothing_else_and_nothing_is_bought(dashscope, simulator):
    simulator.state.settings.change({"rules": TEN})
    answers = list(ask_all(dashscope))
    assert differing(answers) == FOUND
    for one in answers:
        tomllib.loads(one.toml)


def test_the_command_prints_what_differs_as_toml_to_paste(dashscope, simulator, capsys):
    simulator.state.settings.change({"rules": TEN})
    arguments = [argument for name in TEN for argument in ("--model", name)]
    assert verify.main(arguments) == 1
    out = capsys.readouterr().out
    assert "10 differ" in out.splitlines()[0]
    told = {
        block.split("\n", 1)[0]: block.split("\n", 1)[1] for block in out.split("\n# ")[1:] if "\n" in block
    }
    pasted = {
        head.partition(":")[0]: tomllib.loads(toml) for head, toml in told.items() if "agrees" not in head
    }
    assert sorted(pasted) == FOUND
    today = pasted["z-image-turbo generate size"]["sizes"]["z-image"]["date"]
    measured = {"sure": "M", "source": "M-live", "date": today}
    assert pasted["z-image-turbo generate size"] == {
        "sizes": {"z-image": {"rule": "pixels", "pixels": [300000, 4194304], **measured}}
    }
    assert pasted["qwen-image-max generate size"]["sizes"]["enum5-or-free"]["served"]["pixels"] == [
        262144,
        4194304,
    ]
    assert pasted["qwen-image generate size"]["sizes"]["enum5"]["also"] == [[1024, 1024]]
    assert "9:16" not in pasted["qwen-image generate size"]["sizes"]["enum5"]["ratios"]
    assert pasted["qwen-image-3.0 generate size"] == {
        "sizes": {"qwen3": {"served": {"pixels": [262144, 6000000], **measured}}}
    }
    assert pasted["wan2.2-t2i-flash generate size"]["sizes"]["sides"]["sides"] == [512, 2048]
    assert pasted["wan2.6-image edit input"]["inputs"]["wan26"]["sides"] == [300, 8000]
    assert pasted["wan2.6-t2i generate n"]["models"]["wan2.6-t2i"]["generate"] == {
        "size": "wan26", "n": [1, 6], "n_default": 4,
    }  # fmt: skip
    assert pasted["qwen-image-edit-plus edit images"]["models"]["qwen-image-edit-plus"]["edit"]["images"] == [
        1,
        5,
    ]
    assert pasted["wan2.5-t2i-preview generate sync"]["models"]["wan2.5-t2i-preview"] == {"sync": True}
    assert pasted["qwen-image-edit-max edit jobs"]["models"]["qwen-image-edit-max"] == {
        "jobs": "image-generation"
    }


def test_the_command_runs_as_its_documents_say(dashscope):
    name = "airflow_provider_qwenimage.catalog.verify"
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", name, "--model", "qwen-image-max"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "# 3 rules asked at dashscope: 3 agree, 0 differ" in ran.stdout
    assert "qwen-image-max generate size: agrees" in ran.stderr


def test_a_row_that_agrees_is_dated(dashscope, capsys):
    assert verify.main(["--conn-id", "qwenimage_default", "--model", "wan2.7-image"]) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("verified")]
    dated = tomllib.loads(line)["verified"]
    assert dated["how"] == "refusals at dashscope: size, n, images, input, sync"


@pytest.mark.parametrize("question", ALL, ids=named)
def test_no_question_is_a_request_that_anybody_could_serve(question):
    images = getattr(question.request, "images", ())
    assert NOWHERE in images if images else question.request.size.text() == BEYOND
    assert is_refused_twice(question)


@pytest.mark.parametrize("question", ALL, ids=named)
def test_what_makes_a_question_safe_is_on_the_wire(question):
    class Settings:
        gateway = gateway("dashscope")

    call = _spelled(Settings, question)
    assert BEYOND in str(call.json) or NOWHERE in str(call.json)


ROW = models()["qwen-image-2.0"]
SERVED = {
    "a legal size": GenerateRequest(prompt="x", model=ROW.name, size="1024*1024"),
    "one step outside": GenerateRequest(prompt="x", model=ROW.name, size="2048*2049"),
    "no size": GenerateRequest(prompt="x", model=ROW.name, n=7),
    "an image that exists": EditRequest(
        prompt="x", model=ROW.name, images=["https://img.example/1.png"], n=7
    ),
}


@pytest.mark.parametrize("request_", SERVED.values(), ids=SERVED)
def test_a_request_that_somebody_might_serve_is_no_question(request_):
    rule = "n" if request_.n == 7 else "size"
    assert not is_refused_twice(Question(ROW, request_.operation, rule, request_, as_job=False))


def test_a_rule_that_only_warns_is_not_asked_about():
    asked = {(question.operation, question.rule) for question in questions(models()["qwen-image-3.0"])}
    assert ("edit", "size") not in asked
    assert ("generate", "size") in asked


@pytest.mark.parametrize("name", [row.name for row in gateways().values() if not row.jobs])
def test_only_the_vendors_own_api_is_asked(simulator, qwenimage_connection, name):
    with pytest.raises(InvalidRequest, match="is not the vendor's own API"):
        next(ask_all(QwenImageHook(qwenimage_connection(name)).settings))
    assert simulator.state.posts == 0


def test_a_gateway_that_accepts_the_impossible_is_asked_nothing_more(simulator, qwenimage_connection):
    simulator.state.settings.change({"rules": {"qwen-image": {"size": {}}}})
    settings = QwenImageHook(qwenimage_connection("dashscope")).settings
    with pytest.raises(UnexpectedReply, match="accepted what nobody can serve: qwen-image, size") as caught:
        list(ask_all(settings))
    assert caught.value.billing == "maybe"
    assert simulator.state.posts == 1
    assert simulator.state.jobs.statuses() == {"CANCELED": 1}


def test_a_wrong_key_ends_it_with_its_reason(simulator, qwenimage_connection, capsys):
    qwenimage_connection("dashscope", password="sk-wrong-key")
    assert verify.main([]) == 2
    assert "does not accept the key" in capsys.readouterr().err
    assert simulator.state.posts == 1


def test_a_model_the_region_has_not_is_no_difference():
    question = next(questions(models()["z-image-turbo"]))
    assert answer(question, "The gateway (HTTP 404) …: Model not exist.", today=TODAY).verdict == "absent"


# What live services wrote, from public logs and lists of August to October 2026 (M-live).
LIVE = {
    "wan2.7-image": ("Total pixels (99980001) must be between 589824 and 16777216", "agrees"),
    "wan2.6-t2i": ("Total pixels (2359296) must be between 589824 and 2073600.", "agrees"),
    "qwen-image-2.0": ("Image area must be between 262144 (512x512) and 4194304 (2048x2048) pixels.", "agrees"),
    "qwen-image-3.0": (
        "Image area must be between 262144 (512x512) and 6553600 (2560x2560) pixels for t2i requests", "agrees",
    ),
    "qwen-image-max": ("Size 9999*9999 is out of range [512*512, 1664*1664]", "agrees"),
    "z-image-turbo": ("Image area must be between 262144 and 4194304 pixels. Got area=9 (width=3, height=3).", "agrees"),
    "qwen-image": ("The size does not match the allowed size 1664*928,1472*1104,1328*1328,1104*1472,928*1664.", "agrees"),
    "wan2.2-t2i-flash": ("Either width or height should be between 512 and 1440", "agrees"),
    "wan2.7-image-pro": ("Maximum supported size is 2K", "unsaid"),
    "wan2.5-t2i-preview": ("current user api does not support synchronous calls", "unsaid"),
    "qwen-image-plus": ("<400> InternalError.Algo: something went wrong", "unsaid"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "told"), LIVE.items(), ids=LIVE)
def test_the_sentences_of_live_services_are_read(name, told):
    question = next(question for question in questions(models()[name]) if question.rule == "size")
    sentence = f"The gateway (HTTP 400, InvalidParameter) rejects the request: {told[0]}"
    assert answer(question, sentence, today=TODAY).verdict == told[1]


def test_a_count_of_one_is_read():
    question = next(q for q in questions(models()["qwen-image"]) if q.rule == "n")
    assert answer(question, "num_images_per_prompt must be 1", today=TODAY).verdict == "agrees"
