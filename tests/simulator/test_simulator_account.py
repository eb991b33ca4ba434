"""Account limits: of a key, across gateways and connections, refused in the vendor's words."""

from __future__ import annotations

import httpx
import pytest

from airflow_provider_qwenimage.simulator import running

BODY = {"model": "qwen-image-plus", "prompt": "a mug", "n": 1}


@pytest.fixture
def limited():
    with running(key="one", keys=("two",)) as simulator:
        yield simulator


def asked(simulator, *, key="one", gateway="onetoken", model="qwen-image-plus"):
    url = f"{simulator.base(gateway)}/v1/images/generations"
    return httpx.post(
        url, json={**BODY, "model": model}, headers={"Authorization": f"Bearer {key}"}, trust_env=False
    )


def limits(simulator, **limits):
    answer = httpx.post(f"{simulator.url}/_settings", json={"limits": limits}, trust_env=False)
    assert answer.status_code == 200, answer.text


def account(simulator):
    return httpx.get(f"{simulator.url}/_account", trust_env=False).json()


def test_submissions_count_by_key_whichever_gateway_they_come_through(limited):
    limits(limited, requests_per_minute=2)
    statuses = [asked(limited, gateway=gateway).status_code for gateway in ("onetoken", "newapi", "onetoken")]

    assert statuses == [200, 200, 429]
    assert asked(limited, key="two").status_code == 200
    assert account(limited)["refused"]["requests_per_minute"] == 1
    assert account(limited)["passed"] == {"requests": 3}
    assert limited.state.billed == 3


def test_a_models_limit_holds_beside_the_accounts(limited):
    limits(limited, requests_per_minute=3, models={"qwen-image-max": {"requests_per_minute": 1}})

    told = [
        asked(limited, model=model).status_code
        for model in ("qwen-image-max",) * 2 + ("qwen-image-plus",) * 3
    ]

    assert told == [200, 429, 200, 200, 429]


def test_a_job_is_under_way_until_its_end(limited):
    limits(limited, concurrency=1)
    limited.state.settings.job_seconds = 600
    url = f"{limited.base('dashscope')}/api/v1/services/aigc/text2image/image-synthesis"
    headers = {"Authorization": "Bearer one", "X-DashScope-Async": "enable"}
    body = {"model": "wan2.2-t2i-flash", "input": {"prompt": "a mug"}, "parameters": {"n": 1}}

    first, second = (httpx.post(url, json=body, headers=headers, trust_env=False) for _ in range(2))
    (job,) = limited.state.jobs.list("dashscope")
    job.pending = job.seconds = 0
    third = httpx.post(url, json=body, headers=headers, trust_env=False)

    assert [first.status_code, second.status_code, third.status_code] == [200, 429, 200]
    assert second.json()["code"] == "Throttling.AllocationQuota"
    assert account(limited)["refused"]["concurrency"] == 1
    assert account(limited)["most_running"] == 1


def test_polls_are_limited_too(limited):
    limits(limited, polls_per_second=1)
    url = f"{limited.base('dashscope')}/api/v1/tasks/none"
    headers = {"Authorization": "Bearer one"}

    told = [httpx.get(url, headers=headers, trust_env=False) for _ in range(2)]

    assert [each.status_code for each in told] == [200, 429]
    assert told[1].json()["code"] == "Throttling.RateQuota"
    assert account(limited)["refused"]["polls_per_second"] == 1


@pytest.mark.parametrize(
    "wrong", [{"requests": 1}, {"concurrency": 0}, {"models": {"m": {"polls_per_second": 1}}}]
)
def test_a_limit_that_is_none_is_refused(limited, wrong):
    answer = httpx.post(f"{limited.url}/_settings", json={"limits": wrong}, trust_env=False)
    assert answer.status_code == 400
