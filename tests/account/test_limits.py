"""Limits of a connection: what they may be, and what is known where there are none."""

from __future__ import annotations

import json

import pytest

from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.gateway.connection import read
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook


def settings(host=None, gateway="dashscope", **extra):
    fields = {"gateway": gateway, **extra}
    return read(host=host, port=None, schema=None, password="sk-1", extra=fields)


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"requests_per_minute": 0}, "limits.requests_per_minute: must be above 0"),
        ({"requests_per_minute": -2}, "limits.requests_per_minute: must be above 0"),
        ({"requests_per_minute": "fast"}, "limits.requests_per_minute: must be a number"),
        ({"requests_per_minute": True}, "limits.requests_per_minute: must be a number"),
        ({"concurrency": 0}, "limits.concurrency: must be at least 1"),
        ({"concurrency": 1.5}, "limits.concurrency: must be a whole number"),
        ({"polls_per_second": "many"}, "limits.polls_per_second: must be a number"),
        (
            {"models": {"m": {"requests_per_minute": 0}}},
            "limits.models.m.requests_per_minute: must be above 0",
        ),
        ({"models": {"m": {"polls_per_second": 1}}}, "limits.models.m.polls_per_second: is not known"),
        ({"rpm": 5}, "limits.rpm: is not known"),
        ("fast", "limits: must be a JSON object"),
    ],
)
def test_a_limit_that_is_none_is_named_at_the_test_and_at_first_use(
    qwenimage_connection, simulator, limits, field
):
    hook = QwenImageHook(qwenimage_connection(limits=limits))

    assert f"extra.{field}" in hook.test_connection()[1]
    with pytest.raises(InvalidRequest, match="limits"):
        hook.generate("a mug", model="qwen-image-plus")
    assert simulator.state.posts == 0


@pytest.mark.parametrize("budget", [{"per_day": -1}, {"per_day": "much"}, {"per_week": 1}, "100"])
def test_a_budget_that_is_none_is_named(budget):
    with pytest.raises(InvalidRequest, match=r"extra\.budget"):
        settings(budget=budget)


def test_limits_are_taken_as_a_form_and_an_uri_give_them():
    limits = {
        "requests_per_minute": "120",
        "concurrency": 5,
        "models": {"qwen-image-max": {"concurrency": "1"}},
    }
    for given in (limits, json.dumps(limits)):
        bounds = settings(limits=given).allowed("ali/qwen-image-max", is_job=False).bounds
        assert bounds == {"gaps": (pytest.approx(0.555), 0.0), "caps": (5, 1)}
    assert settings(limits="").limits is None


@pytest.mark.parametrize(
    ("model", "is_job", "gap", "seats"),
    [
        ("qwen-image-max", False, 30.11, 0),
        ("qwen-image-plus", True, 0.555, 2),
        ("qwen-image-plus", False, 0.555, 0),
        ("qwen-image-3.0", True, 0, 0),  # a third party's word
        ("unheard-of", False, 0, 0),
    ],
)
def test_where_the_vendors_own_host_is_called_its_published_limits_hold(model, is_job, gap, seats):
    for host in (None, "llm-4f2k"):
        bounds = settings(host).allowed(model, is_job=is_job).bounds
        assert bounds == {"gaps": (0, pytest.approx(gap)), "caps": (0, seats)}


def test_elsewhere_nothing_is_known():
    assert settings("http://127.0.0.1:8700/dashscope").allowed("qwen-image-max", is_job=False) is None
    assert settings(gateway="tokenhot").allowed("qwen-image-max", is_job=False) is None


def test_the_connections_limits_go_before_the_published_ones():
    free = settings(limits={"requests_per_minute": 6000}).allowed("qwen-image-max", is_job=False)
    assert free.bounds["gaps"] == (pytest.approx(0.0111), 0.0)
