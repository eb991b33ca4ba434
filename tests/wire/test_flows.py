"""Flows driven by hand: no loop, no clock, no network. What is sent again, after which pause, and what is not."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime

import pytest

from airflow_provider_qwenimage import catalog
from airflow_provider_qwenimage.exceptions import (
    ContentRefused,
    GatewayUnreachable,
    JobFailed,
    OutcomeUnknown,
    PermanentRefusal,
    QwenImageError,
    TemporaryRefusal,
    UnexpectedReply,
    restore,
)
from airflow_provider_qwenimage.models.requests import Asked, EditRequest, GenerateRequest, SequenceRequest
from airflow_provider_qwenimage.models.results import Job
from airflow_provider_qwenimage.wire import flows, jobs
from airflow_provider_qwenimage.wire.protocol import Call, Pause, Reply
from wire.reading import BASE, NOW, Clock, conduct, reply

CALL = Call("POST", "/v1/images/generations", json={}, billable=True)
REQUEST = GenerateRequest(model="qwen-image-plus", prompt="a fox", size="1328*1328", seed=0)
GOOD = "tokenhot/200_qwen_example.json"


class Driven:
    """
    A flow and what it did: each answer is a file, a reply or a failure.

    Pauses move the clock on; ``pauses`` are their seconds, ``calls`` what was sent.
    """

    def __init__(self, flow, answers, *, clock=None):
        self.calls, self.pauses, self.value, self.error = [], [], None, None
        answers = iter(answers)
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    self.pauses.append(step.seconds)
                    if clock:
                        clock.now += step.seconds
                    step = flow.send(None)
                    continue
                self.calls.append(step)
                answer = next(answers)
                if isinstance(answer, Exception):
                    step = flow.throw(answer)
                else:
                    step = flow.send(reply(answer) if isinstance(answer, str) else answer)
        except StopIteration as stop:
            self.value = stop.value
        except QwenImageError as error:
            self.error = error


def generate(*answers, request=REQUEST, gateway="tokenhot", clock=None, **settings):
    clock = clock or Clock()
    flow = flows.generate(
        request,
        CALL,
        gateway=catalog.gateway(gateway),
        base_url=BASE,
        conduct=conduct(clock=clock, **settings),
    )
    return Driven(flow, answers, clock=clock)


@pytest.mark.parametrize(
    "first",
    [
        "dashscope/429_rate_quota.json",
        "dashscope/503_model_unavailable.json",
        "new-api/503_overloaded.json",
        "proxies/429_empty.txt",
        "wrapped/200_throttled.json",
        GatewayUnreachable("No connection"),
    ],
    ids=str,
)
def test_what_was_surely_not_billed_is_sent_again(first):
    driven = generate(first, GOOD)

    assert driven.calls == [CALL, CALL]
    assert driven.pauses == [1.0]
    assert len(driven.value.images) == 1


@pytest.mark.parametrize(
    "only",
    [
        "dashscope/500_internal_error.json",
        "dashscope/429_allocation_quota_free.json",
        "dashscope/400_data_inspection.json",
        "dashscope/401_invalid_api_key.json",
        "new-api/503_model_not_found.json",
        "new-api/500_bad_response_timeout.json",
        "proxies/502_bad_gateway.html",
        "proxies/503_empty.txt",
        "proxies/524_timeout.html",
        "proxies/200_truncated.json",
        "engines/200_no_data.json",
        "sse/200_error_after_text.txt",
        OutcomeUnknown("the answer was lost"),
    ],
    ids=str,
)
def test_everything_else_is_sent_once(only):
    driven = generate(only)

    assert driven.calls == [CALL]
    assert driven.pauses == []
    assert driven.error is not None


def test_it_gives_up_after_the_attempts_with_the_last_refusal():
    driven = generate(*["dashscope/429_rate_quota.json"] * 3, attempts=3)

    assert len(driven.calls) == 3
    assert driven.pauses == [1.0, 2.0]
    assert isinstance(driven.error, TemporaryRefusal)


def test_pauses_double_and_are_spread_by_jitter():
    driven = generate(*["proxies/429_empty.txt"] * 4, jitter=0.5)

    assert driven.pauses == [1.5, 3.0, 6.0]


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        ("7", 7.0),
        ("Fri, 21 Nov 2025 04:00:30 GMT", 30.0),
        ("86400", 60.0),
        ("0", 1.0),
        ("soon", 1.0),
    ],
    ids=["seconds", "date", "capped", "at least a second", "garbage"],
)
def test_retry_after_is_honoured(header, pause):
    throttled = reply("proxies/429_empty.txt", retry_after=header)

    assert generate(throttled, GOOD).pauses == [pause]


def test_retry_after_is_spread_too_so_that_mapped_tasks_do_not_return_together():
    throttled = reply("proxies/429_empty.txt", retry_after="7")

    assert generate(throttled, GOOD, jitter=0.25).pauses == [7.25]


def test_no_pause_goes_beyond_the_wall_time():
    throttled = reply("proxies/429_empty.txt", retry_after="50")
    driven = generate(throttled, throttled, throttled, wall_time=120.0)

    assert driven.pauses == [50.0, 50.0]
    assert driven.error.retry_after == 50.0


def test_a_generation_joins_what_came_with_what_was_asked():
    driven = generate(GOOD)
    (image,) = driven.value.images

    assert (driven.value.gateway, driven.value.model) == ("tokenhot", "qwen-image-plus")
    assert image.model_dump(mode="json") == {
        "url": "https://api-results.example.com/outputs/plus_generated_artwork.png",
        "index": 0,
        "gateway": "tokenhot",
        "model": "qwen-image-plus",
        "prompt": "a fox",
        "revised_prompt": None,
        "seed": 0,
        "size": "1328*1328",
        "asked_size": "1328*1328",
        "request_id": "req_qwen_plus_e359bc8d_f9911e9aac07",
        "created_at": "2025-11-21T04:00:00Z",
        "expires_at": "2025-11-22T04:00:00Z",
        "origin": None,
        "operation": "generate",
        "labels": {},
    }


def test_a_signed_url_says_itself_when_it_ends():
    driven = generate("new-api/200_metadata_escaped.json")

    assert driven.value.images[0].expires_at == datetime.fromtimestamp(1763784000, UTC)


def test_inline_bytes_have_no_url_and_no_end_and_stay_out_of_every_dump():
    driven = generate("engines/200_b64_nulls.json")
    (image,) = driven.value.images

    assert (image.url, image.expires_at, image.data[:4]) == (None, None, b"\x89PNG")
    assert "data" not in driven.value.xcom()["images"][0]


def failures(name, request):
    return [(failure.index, failure.reason) for failure in generate(name, request=request).value.failures]


def test_an_image_that_was_asked_for_and_never_named_is_a_failure():
    two = GenerateRequest(model="qwen-image-2.0", prompt="a fox", n=3)

    assert failures("dashscope/200_one_per_choice.json", two) == [(2, "asked for 3, the gateway delivered 2")]


def test_a_failed_item_keeps_its_place_and_its_code():
    two = GenerateRequest(model="qwen-image-2.0", prompt="a fox", n=2)
    driven = generate("new-api/200_failed_item.json", request=two)

    (failure,) = driven.value.failures
    assert (failure.index, failure.code) == (1, "DataInspectionFailed")
    assert [image.index for image in driven.value.images] == [0]


def test_a_series_may_end_early_but_not_below_what_it_counts_as_delivered():
    series = SequenceRequest(model="wan2.7-image", prompt="a fox", n=12)

    assert failures("dashscope/200_many_in_one_choice.json", series) == []
    lost = reply("dashscope/200_many_in_one_choice.json")
    body = lost.body.replace(b'"image_count": 4', b'"image_count": 5')
    driven = generate(type(lost)(200, {}, body), request=series)
    assert [failure.reason for failure in driven.value.failures] == [
        "the gateway counts 5, the gateway delivered 4"
    ]


INLINE = Call(
    "POST", "/v1/images/generations", json={"n": 1, "response_format": "b64_json"}, spare=("response_format",)
)
FORM = Call(
    "POST", "/v1/images/edits", form={"n": "1", "response_format": "b64_json"}, spare=("response_format",)
)


SPELLED = Call(
    "POST",
    "/v1/images/generations",
    body=b'{"n":1,"response_format":"b64_json"}',
    spare=("response_format",),
)


def sent(call, *answers, **settings):
    flow = flows.send_until_answered(call, conduct(**settings))
    return Driven(flow, answers)


@pytest.mark.parametrize("call", [INLINE, FORM, SPELLED], ids=["json", "form", "spelled"])
@pytest.mark.parametrize(
    "refused",
    [
        "litellm/400_response_format.json",
        Reply(400, {}, b'{"error": {"message": "Unknown parameter: \'response_format\'."}}'),
        Reply(
            422,
            {},
            b'{"detail": [{"loc": ["body", "response_format"], "msg": "Extra inputs are not permitted"}]}',
        ),
    ],
    ids=str,
)
def test_a_gateway_that_refuses_a_field_of_ours_is_asked_again_without_it(call, refused):
    driven = sent(call, refused, GOOD, attempts=1)

    assert driven.calls == [call, call.without("response_format")]
    again = driven.calls[1]
    assert (again.json or again.form or json.loads(again.body)) in ({"n": 1}, {"n": "1"})
    assert driven.pauses == []
    assert driven.value is not None


@pytest.mark.parametrize(
    "refused",
    [
        "dashscope/400_invalid_parameter.json",
        Reply(400, {}, b'{"error": {"message": "size is not supported with response_form"}}'),
        Reply(500, {}, b'{"error": {"message": "response_format is not supported"}}'),
        Reply(200, {}, b'{"error": {"message": "response_format is not supported"}}'),
    ],
    ids=str,
)
def test_any_other_refusal_is_not_asked_again(refused):
    assert sent(INLINE, refused).calls == [INLINE]


def test_a_field_of_the_author_is_never_left_out():
    theirs = Call("POST", "/v1/images/generations", json={"response_format": "b64_json"})

    assert sent(theirs, "litellm/400_response_format.json").calls == [theirs]
    assert len(sent(INLINE, *["litellm/400_response_format.json"] * 2).calls) == 2


# --- jobs

DASHSCOPE = catalog.gateway("dashscope")


def submitted(**asked):
    fields = {"operation": "generate", "model": "wan2.5-t2i-preview", "prompt": "a fox", **asked}
    return Job(
        id="t-1",
        gateway="dashscope",
        asked=Asked(**fields),
        request_id="job-r",
        submitted_at=datetime.fromtimestamp(NOW, UTC),
    )


def wait(*answers, interval=5.0, timeout=3600.0, job=None, **settings):
    clock = Clock()
    flow = jobs.wait(
        job or submitted(),
        gateway=DASHSCOPE,
        base_url=BASE,
        conduct=conduct(clock=clock, **settings),
        interval=interval,
        timeout=timeout,
    )
    return Driven(flow, answers, clock=clock)


DONE = "jobs/200_succeeded_choices.json"


def test_a_submission_is_a_job_that_can_be_waited_for_elsewhere():
    request = EditRequest(
        model="wan2.7-image", prompt="a fox", images="https://cdn.example/a.png", n=2, seed=7
    )
    flow = jobs.submit(request, CALL, gateway=DASHSCOPE, base_url=BASE, conduct=conduct())
    driven = Driven(flow, ["dashscope/429_rate_quota.json", "jobs/200_submitted.json"])

    job = driven.value
    assert Job.model_validate(job.model_dump(mode="json")) == job
    assert (job.id, job.request_id, job.asked.n, job.asked.seed, job.asked.operation) == (
        "t-1",
        "job-r",
        2,
        7,
        "edit",
    )


def test_a_gateway_that_answers_a_submission_with_the_images_is_taken_at_its_word():
    flow = jobs.submit(REQUEST, CALL, gateway=DASHSCOPE, base_url=BASE, conduct=conduct())

    assert len(Driven(flow, ["dashscope/200_qwen_plus.json"]).value.images) == 1


def test_a_job_is_polled_while_it_waits_and_read_when_it_is_done():
    driven = wait(
        "jobs/200_pending.json", "jobs/200_running.json", "jobs/200_suspended.json", DONE, interval=3.0
    )

    assert [(call.method, call.path, call.billable) for call in driven.calls] == [
        ("GET", "/api/v1/tasks/t-1", False)
    ] * 4
    assert driven.pauses == [3.0, 3.0, 3.0]
    assert (len(driven.value.images), driven.value.job_id) == (1, "t-1")


@pytest.mark.parametrize(
    "poll",
    [
        "proxies/502_bad_gateway.html",
        "proxies/503_empty.txt",
        "proxies/200_login.html",
        "proxies/200_empty.txt",
        "proxies/200_truncated.json",
        "dashscope/500_internal_error.json",
        "dashscope/429_rate_quota.json",
        "dashscope/401_invalid_api_key.json",
        GatewayUnreachable("gave no answer"),
    ],
    ids=str,
)
def test_a_poll_that_fails_never_fails_the_job(poll):
    assert len(wait(poll, poll, DONE).value.images) == 1


def test_a_key_that_is_refused_poll_after_poll_ends_the_wait_and_not_the_job():
    driven = wait(*["dashscope/401_invalid_api_key.json"] * 3)

    assert isinstance(driven.error, PermanentRefusal)
    assert (driven.error.job_id, driven.error.billing) == ("t-1", "maybe")


def test_a_good_poll_between_refused_ones_starts_the_count_anew():
    refused = "dashscope/401_invalid_api_key.json"

    assert wait(refused, refused, "jobs/200_running.json", refused, refused, DONE).error is None


def test_a_throttled_poll_waits_as_told_up_to_the_longest_pause():
    def throttled(seconds):
        return reply("dashscope/429_rate_quota.json", retry_after=seconds)

    assert wait(throttled("20"), throttled("7200"), throttled("1"), DONE).pauses == [20.0, 60.0, 5.0]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        (
            "jobs/200_failed_in_output.json",
            "InternalError.Algo",
            "FAILED: InternalError.Algo inference failed",
        ),
        (
            "jobs/200_failed_beside_output.json",
            "InvalidParameter",
            "FAILED: InvalidParameter size is not supported",
        ),
        ("jobs/200_canceled.json", None, "ended as CANCELED"),
    ],
)
def test_a_failed_job_says_why_wherever_the_detail_stands(name, code, words):
    error = wait("jobs/200_running.json", name).error

    assert isinstance(error, JobFailed)
    assert error.final is (code == "InvalidParameter")
    assert words in str(error)
    assert (error.code, error.job.id, error.job_id, error.request_id) == (code, "t-1", "t-1", "job-r")
    assert error.billing == "no"


def failed(code, message=""):
    output = {"task_id": "t-1", "task_status": "FAILED", "code": code, "message": message}
    return Reply(200, {}, json.dumps({"output": output, "request_id": "poll-r"}).encode())


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("InvalidParameter", "Change what it names"),
        ("InvalidURL", "Change what it names"),
        ("InvalidFile.Resolution", "Change what it names"),
        ("Arrearage", "Top up the account"),
        ("InvalidApiKey", "Check the connection's API key"),
        ("AccessDenied.Unpurchased", "Ask for access"),
        ("ModelNotFound", "Check the model's name"),
        ("InternalError.Timeout", "Clear the task to ask again"),
    ],
)
def test_a_job_that_would_fail_again_is_never_retried_here_or_after_the_trigger(code, advice):
    error = wait(failed(code)).error

    for known in (error, restore(json.loads(json.dumps(error.facts()))), pickle.loads(pickle.dumps(error))):  # noqa: S301
        assert isinstance(known, JobFailed)
        assert known.final
        assert (known.code, known.billing, known.job_id) == (code, "no", "t-1")
        assert advice in str(known)
    assert error.job == submitted()


@pytest.mark.parametrize("code", ["InternalError", "Throttling.RateQuota", "ModelUnavailable", "NewWord", ""])
def test_a_job_that_may_pass_stays_retryable_after_one_that_may_not(code):
    assert wait(failed("Arrearage")).error.final

    error = wait(failed(code)).error

    assert type(error) is type(restore(error.facts())) is JobFailed


def test_a_job_whose_every_item_was_refused_is_refused_content():
    error = wait("dashscope/200_all_results_refused.json").error

    assert type(error) is ContentRefused
    assert (error.job_id, error.request_id) == ("t-1", "ds-24")


def test_a_result_without_a_request_id_has_that_of_the_submission():
    done = reply(DONE)
    named = done.body.replace(b"request_id", b"nothing")

    assert wait(DONE).value.request_id == "job-r"
    assert wait(Reply(200, {}, named)).value.images[0].request_id == "job-r"
    empty = reply("jobs/200_succeeded_empty.json").body.replace(b"request_id", b"nothing")
    assert wait(Reply(200, {}, empty)).error.request_id == "job-r"


def test_a_job_that_moderation_ended_is_refused_content():
    error = wait("jobs/200_failed_moderation.json").error

    assert type(error) is ContentRefused
    assert (error.code, error.job_id, error.request_id) == ("DataInspectionFailed", "t-1", "job-r")


def test_a_job_the_gateway_forgot_may_have_been_billed():
    error = wait("jobs/200_unknown.json").error

    assert type(error) is JobFailed
    assert (error.billing, error.job_id, error.request_id) == ("maybe", "t-1", "job-r")


def test_a_job_that_succeeded_in_part_keeps_its_images_and_names_the_others():
    driven = wait("jobs/200_succeeded_partly.json", job=submitted(n=2))

    assert [image.index for image in driven.value.images] == [0]
    assert [(failure.index, failure.code) for failure in driven.value.failures] == [
        (1, "InternalError.Timeout")
    ]


@pytest.mark.parametrize(
    "name", ["jobs/200_no_status.json", "jobs/200_new_word.json", "jobs/200_succeeded_empty.json"]
)
def test_a_state_nobody_documented_and_success_without_an_image_are_unexpected(name):
    error = wait(name).error

    assert type(error) is UnexpectedReply
    assert (error.job_id, error.billing) == ("t-1", "maybe")


def test_the_last_poll_is_at_the_deadline():
    driven = wait(*["jobs/200_running.json"] * 3, interval=40.0, timeout=60.0)

    assert driven.pauses == [40.0, 20.0]
    assert type(driven.error) is OutcomeUnknown
    assert (driven.error.job_id, driven.error.request_id) == ("t-1", "job-r")
    assert "60 s after its submission" in str(driven.error)


def test_the_deadline_counts_from_the_submission_and_not_from_the_wait():
    old = submitted().model_copy(update={"submitted_at": datetime.fromtimestamp(NOW - 100, UTC)})

    assert wait("jobs/200_running.json", timeout=60.0, job=old).pauses == []
    assert len(wait(DONE, timeout=60.0, job=old).value.images) == 1


@pytest.mark.parametrize(
    ("answer", "cancelled"),
    [
        ("jobs/200_cancelled_now.json", True),
        ("jobs/200_canceled.json", True),
        ("jobs/200_cancel_while_running.json", False),
        ("jobs/200_succeeded_choices.json", False),
        ("jobs/400_too_late_to_cancel.json", False),
        ("dashscope/200_error_body.json", False),
        ("proxies/200_login.html", False),
        ("proxies/200_empty.txt", False),
        ("proxies/502_bad_gateway.html", False),
        (Reply(200, {}, b"{}"), False),
        (GatewayUnreachable("gave no answer"), False),
    ],
    ids=str,
)
def test_a_job_is_cancelled_where_the_vendor_says_so(answer, cancelled):
    driven = Driven(jobs.cancel(submitted()), [answer])

    assert driven.value is cancelled
    assert [(call.method, call.path, call.billable) for call in driven.calls] == [
        ("POST", "/api/v1/tasks/t-1/cancel", False)
    ]


def submit(*answers):
    flow = jobs.submit(REQUEST, CALL, gateway=DASHSCOPE, base_url=BASE, conduct=conduct())
    return Driven(flow, answers)


def test_the_id_of_a_job_is_quoted_in_the_path():
    job = submit("jobs/200_submitted_odd_id.json").value

    assert wait(DONE, job=job).calls[0].path == "/api/v1/tasks/..%2Fjobs%2Ft%201%3Fx%3D%C3%A9"


@pytest.mark.parametrize(
    "named",
    [{"id": "t-1"}, ["t-1"], True, 1.5, "..", ".", "t\n1", "t" * 200, "sk-abcdef0123456789", "t \ud83d"],
    ids=repr,
)
def test_a_job_that_nobody_can_ask_for_is_accepted_and_may_be_billed(named):
    body = json.dumps({"output": {"task_id": named, "task_status": "PENDING"}, "request_id": "r"}).encode()
    driven = submit(Reply(200, {}, body))

    assert driven.calls == [CALL]
    assert type(driven.error) is OutcomeUnknown
    assert (driven.error.billing, driven.error.job_id, driven.error.request_id) == ("maybe", None, "r")
    assert "sk-abcdef" not in str(driven.error)
    assert type(submit("jobs/200_submitted_no_id.json").error) is OutcomeUnknown


@pytest.mark.parametrize("recorded", ["", "..", "t\n1"])
def test_a_record_with_the_id_of_no_job_leads_nowhere(recorded):
    driven = wait(job=submitted().model_copy(update={"id": recorded}))

    assert (driven.calls, type(driven.error)) == ([], UnexpectedReply)
    assert Driven(jobs.cancel(submitted().model_copy(update={"id": recorded})), []).value is False
