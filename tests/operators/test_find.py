"""An unknown outcome that becomes known: the job is found at the gateway, or the same is asked for again by its key."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_qwenimage.decorators.qwen_image import qwen_image_task
from airflow_provider_qwenimage.exceptions import InvalidRequest, JobFailed, OutcomeUnknown
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.operators.qwenimage import (
    QwenImageEditOperator,
    QwenImageGenerateOperator,
    QwenImageSequenceOperator,
    QwenImageTranslateOperator,
)
from airflow_provider_qwenimage.payment import claims
from airflow_provider_qwenimage.payment.ledger import KEY
from harness import InMemoryAirflow
from operators.worker import ended, kill_when

WITH_PROMPT = "wan2.5-t2i-preview"  # of the older endpoint, whose documents name it
WITHOUT = "wan2.6-t2i"


@pytest.fixture
def gateway(simulator):
    simulator.state.reset()
    simulator.state.settings.job_seconds = 0.05
    claims.RecordClaims._adopted.clear()
    return simulator


def generate(conn_id, **arguments):
    given = {
        "prompt": "a teapot", "model": WITH_PROMPT, "poll_interval": 0.05, "retries": 1,
        "on_unknown_outcome": "find", **arguments,
    }  # fmt: skip
    return QwenImageGenerateOperator(task_id="generate", qwenimage_conn_id=conn_id, **given)


def leave_intent(airflow, task, **facts):
    """Leave the record as a worker does that dies before the answer."""
    record = airflow.stored(task)[KEY]
    record.update({"phase": "intent", "job": None, "generation": None, **facts})
    airflow.lose_report(task)
    claims.RecordClaims._adopted.clear()


@pytest.mark.parametrize("fault", ["drop_after", "reset_after", "504", "truncated_json"])
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_job_whose_answer_is_lost_is_found_in_the_same_try(
    gateway, qwenimage_connection, caplog, fault, deferrable
):
    gateway.fault(fault)

    attempt = InMemoryAirflow().run_to_end(generate(qwenimage_connection("dashscope"), deferrable=deferrable))

    assert attempt.error is None
    assert (attempt.state, attempt.try_number, gateway.state.posts) == ("success", 1, 1)
    (image,) = attempt.xcoms["images"]
    assert image["adopted_job"] == attempt.xcoms["job_id"] == gateway.state.jobs.list("dashscope")[0].id
    assert "which is adopted" in caplog.text


def test_a_job_that_was_answered_says_nothing_of_being_found(gateway, qwenimage_connection):
    attempt = InMemoryAirflow().run_to_end(generate(qwenimage_connection("dashscope")))
    assert "adopted_job" not in attempt.xcoms["images"][0]


def test_what_was_found_is_told_in_manifest_and_metrics(gateway, qwenimage_connection, monkeypatch, place):
    from airflow_provider_qwenimage import telemetry

    counted = []
    stats = type("Stats", (), {"incr": lambda *a, **k: counted.append(a[0]), "timing": lambda *_, **__: None})
    monkeypatch.setattr(telemetry, "_stats", lambda: stats)
    gateway.fault("504")

    attempt = InMemoryAirflow().run_to_end(generate(qwenimage_connection("dashscope"), persist_to=place.uri))

    assert attempt.state == "success"
    assert json.loads(place.read("manifest.json"))["images"][0]["adopted_job"] == attempt.xcoms["job_id"]
    assert counted.count("qwenimage.outcomes_found") == counted.count("qwenimage.requests_billed") == 1


def test_without_a_prompt_one_job_is_named_and_not_adopted(gateway, qwenimage_connection):
    """It may be the job of a task in another process, which is about to write it down."""
    gateway.fault("504")

    attempt = InMemoryAirflow().run_to_end(generate(qwenimage_connection("dashscope"), model=WITHOUT))

    assert (attempt.state, attempt.try_number, gateway.state.posts) == ("failed", 2, 1)
    (job,) = gateway.state.jobs.list("dashscope")
    assert isinstance(attempt.error, OutcomeUnknown)
    assert f"one job that may be it, or another's: {job.id} of " in str(attempt.error)
    assert "(SUCCEEDED)" in str(attempt.error)


def test_two_jobs_of_the_same_prompt_are_named_and_neither_is_adopted(gateway, qwenimage_connection):
    gateway.fault("504", times=2)
    conn_id = qwenimage_connection("dashscope")
    first = InMemoryAirflow().run(generate(conn_id, on_unknown_outcome="fail"))
    assert first.state == "failed"

    attempt = InMemoryAirflow().run_to_end(generate(conn_id))

    assert (attempt.state, gateway.state.posts) == ("failed", 2)
    assert "lists 2 jobs that may be it" in str(attempt.error)
    assert all(job.id in str(attempt.error) for job in gateway.state.jobs.list("dashscope"))


def test_with_fail_the_error_names_the_candidates_and_nothing_is_adopted(gateway, qwenimage_connection):
    gateway.fault("504")
    airflow = InMemoryAirflow()
    task = generate(qwenimage_connection("dashscope"), on_unknown_outcome="fail")

    attempt = airflow.run_to_end(task)

    (job,) = gateway.state.jobs.list("dashscope")
    assert (attempt.state, attempt.try_number, gateway.state.posts) == ("failed", 1, 1)
    assert job.id in str(attempt.error)
    assert "usage log" in str(attempt.error)

    task.on_unknown_outcome = "find"
    airflow.lose_report(task)
    assert airflow.run(task).state == "success"
    assert gateway.state.posts == 1


@pytest.mark.parametrize("fault", ["hang", "500", "html_200", "drop_after"])
def test_a_list_that_cannot_be_read_fails_the_task_no_further(
    gateway, qwenimage_connection, monkeypatch, fault
):
    monkeypatch.setattr("airflow_provider_qwenimage.gateway.find._BRIEFLY", 0.3)
    gateway.fault("504")
    gateway.fault(fault, on="check", times=9, seconds=2)

    attempt = InMemoryAirflow().run_to_end(
        generate(qwenimage_connection("dashscope"), on_unknown_outcome="fail")
    )

    assert isinstance(attempt.error, OutcomeUnknown)
    assert "may have been billed" in str(attempt.error)
    assert "may be it" not in str(attempt.error)


def test_a_retry_finds_the_job_that_a_dead_worker_left(gateway, qwenimage_connection):
    airflow = InMemoryAirflow()
    task = generate(qwenimage_connection("dashscope"))
    first = airflow.run(task)
    leave_intent(airflow, task)

    again = airflow.run(task)

    assert (again.state, gateway.state.posts) == ("success", 1)
    assert again.xcoms["job_id"] == first.xcoms["job_id"]
    assert airflow.stored(task)[KEY]["phase"] == "done"


def test_a_job_older_than_the_request_is_not_it(gateway, qwenimage_connection):
    airflow = InMemoryAirflow()
    task = generate(qwenimage_connection("dashscope"))
    airflow.run(task)
    leave_intent(airflow, task, at=(datetime.now(UTC) + timedelta(minutes=2)).isoformat())

    attempt = airflow.run(task)

    assert "The gateway lists no job that may be it" in str(attempt.error)
    assert gateway.state.posts == 1


@pytest.mark.parametrize(
    "given", [{"gateway": "tokenhot"}, {"gateway": "dashscope", "model": "qwen-image-max"}]
)
def test_find_is_refused_before_anything_is_paid_where_nobody_can_be_asked(
    gateway, qwenimage_connection, given
):
    model = given.get("model", "qwen-image-plus")
    task = generate(qwenimage_connection(given["gateway"]), model=model)

    attempt = InMemoryAirflow().run_to_end(task)

    assert (attempt.state, attempt.try_number, gateway.state.posts) == ("failed", 1, 0)
    assert isinstance(attempt.error, InvalidRequest)
    for named in ("on_unknown_outcome", "dashscope-intl", "idempotency_header"):
        assert named in str(attempt.error)


def test_the_decorator_finds_too(gateway, qwenimage_connection, dag):
    gateway.fault("504")
    with dag:
        task = qwen_image_task(
            lambda: "a teapot", task_id="t", model=WITH_PROMPT, on_unknown_outcome="find", poll_interval=0.05,
            qwenimage_conn_id=qwenimage_connection("dashscope"),
        )().operator  # fmt: skip
    assert InMemoryAirflow().run_to_end(task).state == "success"
    assert gateway.state.posts == 1


def test_the_hook_lists_candidates_in_both_ways(gateway, qwenimage_connection):
    since = datetime.now(UTC)
    with QwenImageHook(qwenimage_connection("dashscope")) as hook:
        request = hook.request("generate", {"prompt": "a teapot", "model": WITH_PROMPT})
        other = hook.request("generate", {"prompt": "a cup", "model": WITH_PROMPT})
        job = hook.submit(request)
        hook.wait(job, interval=0.05)
        (found,) = hook.find(request, since=since)
        assert (found.job.id, found.prompt, found.state) == (job.id, "a teapot", "SUCCEEDED")
        assert hook.find(other, since=since) == []
        assert hook.find(request, since=since - timedelta(hours=2), until=since - timedelta(hours=1)) == []
        assert hook.wait(found.job, interval=0.05).images[0].adopted_job == job.id
        with pytest.raises(InvalidRequest, match="no job"):
            hook.find(hook.request("generate", {"prompt": "p", "model": "qwen-image-max"}), since=since)

    async def asked():
        async with QwenImageHook("qwenimage_default") as hook:
            return await hook.afind(request, since=since)

    assert asyncio.run(asked()) == [found]


def test_a_job_of_another_key_says_so(gateway, qwenimage_connection):
    airflow = InMemoryAirflow()
    task = generate(qwenimage_connection("dashscope"), deferrable=True)
    assert airflow.run(task).state == "deferred"
    airflow.lose_report(task)
    gateway.state.settings.key = "sk-rotated-key-22"
    task.deferrable = False
    qwenimage_connection("dashscope", password="sk-rotated-key-22")
    task.__dict__.pop("hook", None)

    attempt = airflow.run(task)

    assert isinstance(attempt.error, OutcomeUnknown)
    assert not isinstance(attempt.error, JobFailed)
    assert "submitted with another key" in str(attempt.error)
    assert "sk-" not in json.dumps(airflow.stored(task))


@pytest.fixture
def shared_account(gateway, qwenimage_connection, in_redis):
    """An account whose requests are all known, since an hour before the test."""
    conn_id = qwenimage_connection("dashscope")
    seed = QwenImageGenerateOperator(
        task_id="seed", prompt="a seed", model=WITHOUT, qwenimage_conn_id=conn_id, poll_interval=0.05
    )
    assert InMemoryAirflow().run(seed).state == "success"
    in_redis.whole_for(7200)
    gateway.state._requests.clear()
    return conn_id


def test_where_all_requests_are_known_the_one_job_that_nobody_owns_is_found_without_a_prompt(
    gateway, shared_account
):
    airflow = InMemoryAirflow()
    task = generate(shared_account, model=WITHOUT)
    gateway.fault("504")

    attempt = airflow.run_to_end(task)

    assert attempt.error is None
    assert (attempt.state, attempt.try_number, gateway.state.posts) == ("success", 1, 2)
    (owned,) = (job.id for job in gateway.state.jobs.list("dashscope") if job.id != attempt.xcoms["job_id"])
    assert owned != attempt.xcoms["images"][0]["adopted_job"]


POSTER = "https://img.example/poster.png"


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (QwenImageEditOperator, {"model": "qwen-image-3.0-pro", "images": POSTER, "prompt": "in red"}),
        (QwenImageSequenceOperator, {"model": "wan2.7-image", "n": 2, "prompt": "a fox"}),
        (QwenImageTranslateOperator, {"target_lang": "en", "images": POSTER}),
    ],
)
def test_every_operator_finds_its_job(gateway, shared_account, kind, given):
    gateway.fault("504")
    task = kind(
        task_id="t", qwenimage_conn_id=shared_account, on_unknown_outcome="find", poll_interval=0.05, **given
    )

    attempt = InMemoryAirflow().run_to_end(task)

    assert attempt.error is None
    assert (attempt.state, attempt.try_number, gateway.state.posts) == ("success", 1, 2)
    assert {image["adopted_job"] for image in attempt.xcoms["images"]} == {attempt.xcoms["job_id"]}


def test_a_retry_takes_up_the_job_that_its_worker_had_claimed_and_not_written_down(
    gateway, shared_account, in_redis
):
    airflow = InMemoryAirflow()
    task = generate(shared_account, model=WITHOUT)
    first = airflow.run(task)
    (jobs,) = in_redis.client().scan_iter("*:jobs")
    owner = in_redis.client().hget(jobs, f"job:{first.xcoms['job_id']}").decode()
    begun = datetime.strptime(owner.partition("@")[2], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    leave_intent(airflow, task, at=begun.isoformat())
    in_redis.whole_for(0)  # which needs no proof, nor to know of others

    again = airflow.run(task)

    assert (again.state, again.xcoms["job_id"]) == ("success", first.xcoms["job_id"])
    assert gateway.state.posts == 2


def test_while_another_request_may_be_its_owner_a_job_is_nobodys(gateway, shared_account):
    gateway.fault("drop_before")  # it made no job, which nobody can tell
    other = generate(shared_account, model=WITHOUT, prompt="a kettle", on_unknown_outcome="fail", retries=0)
    assert InMemoryAirflow(run_id="another").run(other).state == "failed"
    gateway.fault("504")

    attempt = InMemoryAirflow().run_to_end(generate(shared_account, model=WITHOUT))

    assert attempt.state == "failed"
    assert "one job that may be it, or another's" in str(attempt.error)


def test_a_server_younger_than_the_request_proves_nothing(gateway, shared_account, in_redis):
    in_redis.client().flushall()
    gateway.fault("504")

    attempt = InMemoryAirflow().run_to_end(generate(shared_account, model=WITHOUT))

    assert attempt.state == "failed"
    assert "may be it" in str(attempt.error)

    gateway.fault("504")
    named = InMemoryAirflow(run_id="named").run_to_end(generate(shared_account))
    assert named.state == "success"  # its document names the prompt


def test_a_job_that_another_task_owns_is_no_candidate(gateway, shared_account):
    """Although it is of the same prompt, and of another process."""
    owner = InMemoryAirflow(run_id="another").run(generate(shared_account, prompt="a teapot"))
    claims.RecordClaims._adopted.clear()
    gateway.fault("drop_before")

    for told in ("fail", "find"):
        attempt = InMemoryAirflow(run_id=told).run_to_end(generate(shared_account, on_unknown_outcome=told))
        assert attempt.state == "failed"
        assert "lists no job that may be it" in str(attempt.error)
        assert owner.xcoms["job_id"] not in str(attempt.error)
        gateway.fault("drop_before")


KEYED = {"idempotency_header": "Idempotency-Key"}


@pytest.fixture
def remembering(gateway):
    gateway.state.settings.idempotency_header = "Idempotency-Key"
    return gateway


@pytest.mark.parametrize("fault", ["drop_after", "504", "502"])
def test_a_lost_answer_with_a_key_is_asked_for_again_and_billed_once(
    remembering, qwenimage_connection, fault
):
    remembering.fault(fault)
    task = generate(
        qwenimage_connection("tokenhot", **KEYED), model="qwen-image-plus", on_unknown_outcome="fail"
    )

    attempt = InMemoryAirflow().run_to_end(task)

    assert (attempt.state, attempt.try_number) == ("success", 1)
    assert (remembering.state.posts, remembering.state.billed) == (2, 1)


def test_a_retry_asks_with_the_same_key_and_a_clear_with_another(remembering, qwenimage_connection):
    remembering.fault("504", times=3)
    airflow = InMemoryAirflow()
    task = generate(
        qwenimage_connection("tokenhot", **KEYED), model="qwen-image-plus", on_unknown_outcome="fail"
    )

    assert airflow.run_to_end(task).state == "success"
    keys = [seen.headers["idempotency-key"] for seen in remembering.state.requests if seen.kind == "generate"]
    assert (len(keys), len(set(keys)), remembering.state.billed) == (4, 1, 1)

    airflow.clear(task)
    assert airflow.run_to_end(task).state == "success"
    assert remembering.state.billed == 2


def test_a_job_with_a_key_is_asked_for_again_and_nobody_waits_for_its_first_request(
    remembering, shared_account, qwenimage_connection, in_redis
):
    remembering.fault("504", times=3)
    conn_id = qwenimage_connection("dashscope", conn_id="keyed", **KEYED)
    task = generate(conn_id, model=WITHOUT, on_unknown_outcome="fail")

    attempt = InMemoryAirflow().run_to_end(task)

    assert attempt.error is None
    assert (attempt.state, attempt.try_number) == ("success", 2)
    assert (remembering.state.posts, len(remembering.state.jobs.list("dashscope"))) == (5, 2)
    (told,) = in_redis.client().scan_iter("*:told")
    assert list(in_redis.client().hgetall(told)) == [b"mark"]


def test_every_call_of_the_hook_has_a_key_of_its_own(remembering, qwenimage_connection):
    remembering.fault("504")
    with QwenImageHook(qwenimage_connection("tokenhot", **KEYED)) as hook:
        for _ in range(2):
            hook.generate("a mug", model="qwen-image-plus")
    keys = [seen.headers["idempotency-key"] for seen in remembering.state.requests if seen.kind == "generate"]
    assert (keys[0], remembering.state.billed) == (keys[1], 2)
    assert len(set(keys)) == 2


def test_the_row_of_a_gateway_may_name_the_header(remembering, qwenimage_connection):
    with QwenImageHook(qwenimage_connection("tokenhot")) as hook:
        row = hook.settings.gateway.model_copy(update={"idempotency_header": "Idempotency-Key"})
        hook._settings = hook.settings.model_copy(update={"gateway": row})
        hook.generate("a mug", model="qwen-image-plus")
    (seen,) = (seen for seen in remembering.state.requests if seen.kind == "generate")
    assert seen.headers["idempotency-key"]


@pytest.mark.parametrize("change", ["host", "header", "age"])
def test_a_key_that_the_gateway_cannot_know_is_not_asked_with(remembering, qwenimage_connection, change):
    airflow = InMemoryAirflow()
    task = generate(
        qwenimage_connection("tokenhot", **KEYED), model="qwen-image-plus", on_unknown_outcome="fail"
    )
    airflow.run(task)
    sent = airflow.stored(task)[KEY]
    key, account = (
        task._ledger({"ti": _instance(airflow)}, task._request()).key,
        task.hook.settings.endpoint.account,
    )
    at = datetime.now(UTC) - timedelta(hours=30 if change == "age" else 0)
    leave_intent(airflow, task, key=key, account=account, at=at.isoformat())
    assert sent["phase"]
    if change == "host":
        qwenimage_connection("tokenhot", host=f"{remembering.url}/onetoken", **KEYED)
    elif change == "header":
        qwenimage_connection("tokenhot", idempotency_header="X-Request-Key")
    task.__dict__.pop("hook", None)

    attempt = airflow.run(task)

    assert (attempt.state, remembering.state.posts) == ("failed", 1)
    assert "An earlier try sent this request" in str(attempt.error)


def _instance(airflow):
    (row,) = airflow.api.rows.values()
    facts = {"dag_id": airflow.api.dag_id, "run_id": airflow.api.run_id, "task_id": row.task_id}
    return type("Instance", (), {**facts, "map_index": -1, "max_tries": row.max_tries})


def test_no_header_is_sent_that_nobody_asked_for(gateway, qwenimage_connection):
    InMemoryAirflow().run_to_end(
        generate(qwenimage_connection("tokenhot"), model="qwen-image-plus", on_unknown_outcome="fail")
    )
    (seen,) = (seen for seen in gateway.state.requests if seen.kind == "generate")
    assert not [name for name in seen.headers if "key" in name]


@pytest.mark.parametrize("name", ["Authorization", "content-type", "two words", "X-DashScope-Async", "a:b"])
def test_a_header_that_is_ours_or_none_is_refused(qwenimage_connection, name):
    with pytest.raises(InvalidRequest, match="idempotency_header"):
        QwenImageHook(qwenimage_connection("tokenhot", idempotency_header=name)).settings  # noqa: B018


@pytest.mark.parametrize("prompts", [["a teapot"], ["a teapot", "a kettle"]])
def test_after_kill_9_between_post_and_reply_the_retry_stores_the_images(
    gateway, qwenimage_connection, worker, place, prompts
):
    qwenimage_connection("dashscope")
    gateway.fault("hang", times=9, seconds=120)
    jobs = gateway.state.jobs

    def start():
        places = {prompt: f"{place.uri}{prompt[2:]}/" for prompt in prompts}
        return [worker(prompt, model=WITH_PROMPT, persist_to=prefix) for prompt, prefix in places.items()]

    kill_when(start(), lambda: len(jobs.list("dashscope")) == len(prompts))
    gateway.state.faults.clear()

    told = [ended(process) for process in start()]

    assert gateway.state.posts == len(prompts)
    made = {job.id: job.reply["output"]["results"][0]["orig_prompt"] for job in jobs.list("dashscope")}
    for prompt, each in zip(prompts, told, strict=True):
        assert (each["state"], made[each["job_id"]]) == ("success", prompt), each["error"]
        assert each["uris"][0].startswith(f"{place.uri}{prompt[2:]}/")


def test_two_tasks_killed_without_prompts_in_the_documents_stay_unknown(
    gateway, qwenimage_connection, worker
):
    qwenimage_connection("dashscope")
    gateway.fault("hang", times=9, seconds=120)
    prompts, jobs = ("a teapot", "a kettle"), gateway.state.jobs
    kill_when([worker(prompt, model=WITHOUT) for prompt in prompts], lambda: len(jobs.list("dashscope")) == 2)
    gateway.state.faults.clear()

    told = [ended(process) for process in [worker(prompt, model=WITHOUT) for prompt in prompts]]

    assert gateway.state.posts == 2
    assert [each["state"] for each in told] == ["up_for_retry"] * 2
    assert all("lists 2 jobs that may be it" in each["error"] for each in told)


def test_after_kill_9_a_retry_finds_its_job_without_a_prompt_where_all_requests_are_known(
    gateway, shared_account, worker, in_redis
):
    gateway.fault("hang", times=9, seconds=120)
    jobs = gateway.state.jobs
    kill_when([worker("a teapot", model=WITHOUT)], lambda: len(jobs.list("dashscope")) == 2)
    gateway.state.faults.clear()
    beside = ended(worker("a kettle", model=WITHOUT))  # another task meanwhile, whose job is known

    told = ended(worker("a teapot", model=WITHOUT))

    assert told["state"] == beside["state"] == "success", told["error"]
    assert gateway.state.posts == 3
    assert told["job_id"] != beside["job_id"]


def test_two_tasks_killed_at_once_without_prompts_stay_unknown_where_all_requests_are_known(
    gateway, shared_account, worker
):
    gateway.fault("hang", times=9, seconds=120)
    prompts, jobs = ("a teapot", "a kettle"), gateway.state.jobs
    kill_when([worker(prompt, model=WITHOUT) for prompt in prompts], lambda: len(jobs.list("dashscope")) == 3)
    gateway.state.faults.clear()

    told = [ended(process) for process in [worker(prompt, model=WITHOUT) for prompt in prompts]]

    assert gateway.state.posts == 3
    assert [each["state"] for each in told] == ["up_for_retry"] * 2
    assert all("lists 2 jobs that may be it" in each["error"] for each in told)
