from __future__ import annotations

import pytest

from simulator.bodies import AUTH, data_url, image_urls, native

ASYNC = {"X-DashScope-Async": "enable"}
SERVICES = "/api/v1/services/aigc"
MESSAGES = f"{SERVICES}/image-generation/generation"
TEXT = f"{SERVICES}/text2image/image-synthesis"
IMAGE = f"{SERVICES}/image2image/image-synthesis"


def legacy(model="wan2.5-t2i-preview", *, images=None, **parameters):
    given = {"prompt": "a red fox", "negative_prompt": "blur", **({"images": images} if images else {})}
    return {"model": model, "input": given, "parameters": parameters}


class Jobs:
    def __init__(self, call):
        self.call = call

    def submit(self, body, path, gateway="dashscope"):
        reply = self.call.post(gateway, body, path=path, headers=ASYNC)
        assert reply.status_code == 200, reply.text
        assert reply.json()["output"]["task_status"] == "PENDING"
        return reply.json()["output"]["task_id"]

    def poll(self, job, gateway="dashscope"):
        return self.call.get(gateway, f"/api/v1/tasks/{job}")

    def status(self, job):
        return self.poll(job).json()["output"]["task_status"]

    def cancel(self, job):
        url = f"{self.call.sim.base('dashscope')}/api/v1/tasks/{job}/cancel"
        return self.call.client.post(url, headers=AUTH)

    def set(self, *, seconds, pending):
        """Time in jobs is decided by their age: these settings pick the state without waiting for it."""
        self.call.sim.state.settings.change({"job_seconds": seconds, "pending_share": pending})


@pytest.fixture
def jobs(call):
    return Jobs(call)


@pytest.mark.parametrize(
    ("seconds", "pending", "status"), [(60, 1, "PENDING"), (60, 0, "RUNNING"), (0, 0, "SUCCEEDED")]
)
def test_a_job_waits_runs_and_succeeds_and_is_billed_at_its_end(sim, jobs, seconds, pending, status):
    jobs.set(seconds=seconds, pending=pending)
    job = jobs.submit(legacy(n=2), TEXT)
    assert jobs.status(job) == status
    assert sim.state.billed == (2 if status == "SUCCEEDED" else 0)
    assert (sim.state.posts, sim.state.polls) == (1, 1)


def test_legacy_jobs_answer_with_results_and_new_ones_with_choices(sim, call, jobs):
    jobs.set(seconds=0, pending=0)
    old = jobs.poll(jobs.submit(legacy(n=2), TEXT)).json()
    assert [set(item) for item in old["output"]["results"]] == [{"orig_prompt", "actual_prompt", "url"}] * 2
    assert old["output"]["task_metrics"] == {"TOTAL": 2, "SUCCEEDED": 2, "FAILED": 0}
    new = jobs.poll(jobs.submit(native("wan2.7-image", n=2), MESSAGES)).json()
    assert [part["type"] for part in new["output"]["choices"][0]["message"]["content"]] == ["image", "image"]
    edit = jobs.submit(legacy("wan2.5-i2i-preview", images=[data_url((1, 2, 3))], n=1), IMAGE)
    (url,) = image_urls(jobs.poll(edit).json())
    assert call.image(url).size == (400, 400)


def test_the_header_and_the_endpoint_must_suit_the_model(call):
    without = call.post("dashscope", legacy(n=1), path=TEXT)
    assert (without.status_code, without.json()["code"]) == (403, "AccessDenied")
    assert "does not support synchronous calls" in without.json()["message"]
    only_jobs = call.post("dashscope", native("wan2.5-t2i-preview", n=1))
    assert "does not support synchronous calls" in only_jobs.json()["message"]
    never = call.post("dashscope", native("qwen-image-max", n=1), path=MESSAGES, headers=ASYNC)
    assert "does not support asynchronous calls" in never.json()["message"]
    wrong = call.post("dashscope", native("wan2.7-image", n=1), headers=ASYNC)
    assert wrong.status_code == 403
    other = call.post("dashscope", legacy("wan2.7-image", n=1), path=TEXT, headers=ASYNC)
    assert "url error" in other.json()["message"]


def test_unknown_jobs_and_jobs_of_another_region_are_unknown_with_200(jobs):
    job = jobs.submit(legacy(n=1), TEXT)
    for reply in (jobs.poll("no-such"), jobs.poll(job, "dashscope-intl")):
        assert (reply.status_code, reply.json()["output"]["task_status"]) == (200, "UNKNOWN")


def test_only_a_pending_job_can_be_canceled(sim, jobs):
    jobs.set(seconds=60, pending=1)
    waiting = jobs.submit(legacy(n=1), TEXT)
    assert jobs.cancel(waiting).status_code == 200
    assert jobs.status(waiting) == "CANCELED"
    jobs.set(seconds=60, pending=0)
    assert jobs.cancel(jobs.submit(legacy(n=1), TEXT)).status_code == 400
    assert (sim.state.cancels, sim.state.billed) == (2, 0)


@pytest.mark.parametrize("name", ["job_failed", "job_failed_top_level"])
def test_a_failed_job_tells_why_in_either_place_and_costs_nothing(sim, jobs, name):
    jobs.set(seconds=0, pending=0)
    sim.fault(name)
    body = jobs.poll(jobs.submit(legacy(n=1), TEXT)).json()
    assert body["output"]["task_status"] == "FAILED"
    assert (body if name.endswith("level") else body["output"])["code"] == "InternalError.Algo"
    assert sim.state.billed == 0


def test_a_job_can_vanish_get_stuck_lose_its_status_or_half_its_images(sim, jobs):
    jobs.set(seconds=0, pending=0)
    for name, status in (("job_unknown", "UNKNOWN"), ("job_stuck", "RUNNING")):
        sim.fault(name)
        assert jobs.status(jobs.submit(legacy(n=1), TEXT)) == status
    sim.fault("job_missing_status")
    assert "task_status" not in jobs.poll(jobs.submit(legacy(n=1), TEXT)).json()["output"]
    sim.state.reset()
    sim.fault("partial_failure")
    body = jobs.poll(jobs.submit(legacy(n=2), TEXT)).json()
    assert (body["output"]["task_status"], body["output"]["results"][1]["code"]) == (
        "SUCCEEDED",
        "InternalError.Algo",
    )
    assert sim.state.billed == 1


def test_a_poll_can_be_struck_without_harm_to_the_job(sim, jobs):
    jobs.set(seconds=0, pending=0)
    job = jobs.submit(legacy(n=1), TEXT)
    for name in ("503_empty", "429", "500"):
        sim.fault(name, on="poll")
    assert [jobs.poll(job).status_code for _ in range(4)] == [503, 429, 500, 200]


def test_polls_per_second_are_counted_and_can_be_limited(sim, jobs):
    sim.state.settings.poll_limit = 3
    statuses = [jobs.poll("x").status_code for _ in range(30)]
    assert sim.state.max_polls_per_second > 3
    assert statuses[:3] == [200] * 3
    assert 429 in statuses


def listed(call, query="", gateway="dashscope"):
    reply = call.get(gateway, f"/api/v1/tasks/?{query}")
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_jobs_are_listed_newest_first_by_pages(call, jobs):
    first, second = (jobs.submit(legacy(n=1), TEXT) for _ in range(2))
    body = call.get("dashscope", "/api/v1/tasks?page_no=1&page_size=1").json()
    assert ([row["task_id"] for row in body["data"]], body["total"], body["total_page"]) == ([second], 2, 2)
    assert [row["task_id"] for row in listed(call, "page_no=2&page_size=1")["data"]] == [first]
    assert listed(call, "page_no=3&page_size=1")["data"] == []


def test_a_listed_job_has_the_vendors_fields_and_no_prompt(sim, call, jobs):
    jobs.set(seconds=0, pending=0)
    job = jobs.submit(legacy(n=1), TEXT)
    body = listed(call)
    (row,) = body["data"]
    assert set(body) == {"total", "data", "total_page", "page_no", "request_id", "page_size"}
    assert row["user_api_unique_key"] == "apikey:v1:aigc:text2image:image-synthesis:wan2.5-t2i-preview"
    assert (row["task_id"], row["status"], row["model_name"]) == (job, "SUCCEEDED", "wan2.5-t2i-preview")
    assert row["gmt_create"] <= row["start_time"] <= row["end_time"]
    assert row["request_id"] != body["request_id"]
    assert "a red fox" not in str(body)
    sim.state.settings.keys = ("another",)
    told = {"Authorization": "Bearer another"}
    other = [
        call.client.get(f"{sim.base('dashscope')}/api/v1/tasks/{path}", headers=told) for path in ("", job)
    ]
    assert (other[0].json()["total"], other[1].json()["output"]["task_status"]) == (0, "UNKNOWN")


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("model_name=wan2.5-t2i-preview", 1),
        ("model_name=wan2.7-image", 0),
        ("status=PENDING", 1),
        ("status=SUCCEEDED", 0),
        ("task_id=no-such", 0),
        ("start_time=20200101000000", 0),
        ("end_time=20200101000000", 0),
        ("end_time=29990101000000", 0),  # the 24 hours before it
    ],
)
def test_jobs_are_filtered(call, jobs, query, count):
    jobs.set(seconds=60, pending=1)
    jobs.submit(legacy(n=1), TEXT)
    assert listed(call, query)["total"] == count
    assert listed(call, query, gateway="dashscope-intl")["total"] == 0


@pytest.mark.parametrize(
    "query", ["start_time=yesterday", "start_time=20200101000000&end_time=20200103000000"]
)
def test_a_time_the_list_cannot_read_is_refused(call, query):
    reply = call.get("dashscope", f"/api/v1/tasks/?{query}")
    assert (reply.status_code, reply.json()["code"]) == (400, "InvalidParameter")


def test_a_job_whose_answer_is_lost_is_in_the_list(sim, call, jobs):
    sim.fault("504")
    assert call.post("dashscope", legacy(n=1), path=TEXT, headers=ASYNC).status_code == 504
    assert listed(call)["total"] == 1


@pytest.mark.parametrize("fault", ["504", "html_200", "truncated_json"])
def test_a_request_with_a_key_is_made_and_billed_once(sim, call, fault):
    sim.state.settings.idempotency_header = "Idempotency-Key"
    sim.fault(fault)
    for key in ("one", "one", "two"):
        call.post("tokenhot", native("qwen-image-plus", n=1), headers={"Idempotency-Key": key})
    assert (sim.state.posts, sim.state.billed) == (3, 2)


def test_a_job_with_a_key_is_made_once(sim, call, jobs):
    sim.state.settings.idempotency_header = "Idempotency-Key"
    headers = {**ASYNC, "idempotency-key": "one"}
    ids = {
        call.post("dashscope", legacy(n=1), path=TEXT, headers=headers).json()["output"]["task_id"]
        for _ in "ab"
    }
    assert len(ids) == listed(call)["total"] == 1
