"""The text of an image in another language: one job, one JPEG, a glossary, and in a batch as well."""

from __future__ import annotations

import pytest

from airflow_provider_qwenimage.catalog import gateway as row_of
from airflow_provider_qwenimage.catalog.rules import check
from airflow_provider_qwenimage.decorators.qwen_image import qwen_image_task
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.models.coercion import build
from airflow_provider_qwenimage.models.requests import TranslateRequest
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.qwenimage import QwenImageTranslateOperator
from harness import InMemoryAirflow
from operators.pictures import opened, picture, served

POSTER = "https://img.example/poster.png"
DASHSCOPE = row_of("dashscope")


@pytest.fixture
def gateway(simulator):
    simulator.state.settings.job_seconds = 0.1
    return simulator


def translate(conn_id, images=POSTER, **arguments):
    given = {"target_lang": "en", "poll_interval": 0.05, **arguments}
    return QwenImageTranslateOperator(task_id="translate", qwenimage_conn_id=conn_id, images=images, **given)


def sent(gateway):
    return gateway.state.bodies[-1]["input"]


def test_one_image_is_translated_by_one_job(gateway, qwenimage_connection):
    task = translate(
        qwenimage_connection("dashscope"),
        source_lang="{{ params.from }}",
        terminologies='{"{{ params.term }}": "API"}',
        params={"from": "zh", "term": "interface"},
        prompt="a poster for engineers",
    )
    attempt = InMemoryAirflow().run(task)

    assert attempt.error is None
    (url,) = attempt.result
    (image,) = attempt.xcoms["images"]
    assert (image["url"], image["model"], image["index"]) == (url, "qwen-mt-image-2.0", 0)
    assert image["prompt"] == "zh \u2192 en: a poster for engineers"
    assert opened(gateway.content(url)).format == "JPEG"
    assert attempt.xcoms["usage"] == {
        "image_count": 1, "input_tokens": None, "output_tokens": None, "total_tokens": None,
        "cost": 0.004, "currency": "CNY", "estimate": "T-public, 2026-11-01",
    }  # fmt: skip
    assert attempt.xcoms["job_id"]
    assert sent(gateway) == {
        "image_url": POSTER,
        "source_lang": "zh",
        "target_lang": "en",
        "ext": {
            "domainHint": "a poster for engineers",
            "terminologies": [{"src": "interface", "tgt": "API"}],
        },
    }
    assert (gateway.state.posts, gateway.state.billed) == (1, 1)


def test_an_image_in_s3_goes_as_a_signed_link_because_the_vendor_takes_links_only(
    gateway, qwenimage_connection, s3, bucket
):
    s3.client().put_object(Bucket=bucket, Key="photos/mug.png", Body=picture(size=(640, 400)))
    task = translate(
        qwenimage_connection("dashscope"), f"s3://{bucket}/photos/mug.png", persist_to=f"s3://{bucket}/en/"
    )
    attempt = InMemoryAirflow().run(task)

    assert attempt.error is None
    assert sent(gateway)["image_url"].startswith("http")
    assert "Signature" in sent(gateway)["image_url"]
    (stored,) = attempt.xcoms["stored"]
    assert (stored["content_type"], stored["width"], stored["height"]) == ("image/jpeg", 640, 400)
    assert attempt.result == [stored["uri"]]
    assert stored["uri"].endswith(".jpg")


@pytest.mark.parametrize("image", ["data:image/png;base64,AAAA", "/photos/mug.png"])
def test_what_is_no_link_is_refused_before_anything_is_sent(gateway, qwenimage_connection, image):
    attempt = InMemoryAirflow().run(translate(qwenimage_connection("dashscope"), image))
    assert "qwen-mt-image-2.0 takes input images by URL only" in str(attempt.error)
    assert gateway.state.posts == 0


def test_an_image_without_text_comes_back_billed_with_a_note(gateway, qwenimage_connection, capsys):
    gateway.fault("no_text")
    attempt = InMemoryAirflow().run(translate(qwenimage_connection("dashscope")))
    assert attempt.error is None
    assert len(attempt.result) == 1
    assert attempt.xcoms["texts"] == ["No text detected for translation"]
    assert "is billed, and the gateway notes: No text detected for translation" in capsys.readouterr().out


def test_it_waits_in_the_triggerer(gateway, qwenimage_connection):
    attempt = InMemoryAirflow().run_to_end(translate(qwenimage_connection("dashscope"), deferrable=True))
    assert attempt.error is None
    assert len(attempt.result) == 1
    assert gateway.state.posts == 1


def test_a_retry_of_a_translation_that_was_paid_replays_it(gateway, qwenimage_connection):
    airflow = InMemoryAirflow()
    task = translate(qwenimage_connection("dashscope"), retries=1)
    first = airflow.run(task)
    again = airflow.run(task)
    assert first.result == again.result
    assert gateway.state.posts == 1


@pytest.mark.parametrize("name", ["tokenhot", "dashscope-compatible", "openai-compatible"])
def test_a_gateway_without_jobs_cannot_translate(gateway, qwenimage_connection, name):
    attempt = InMemoryAirflow().run(translate(qwenimage_connection(name)))
    assert "has no jobs, and a translation is one" in str(attempt.error)
    assert gateway.state.posts == 0


def test_a_model_that_is_not_known_to_translate_is_refused(gateway, qwenimage_connection):
    attempt = InMemoryAirflow().run(translate(qwenimage_connection("dashscope"), model="next-translator"))
    assert "'next-translator' is not known to translate" in str(attempt.error)
    attempt = InMemoryAirflow().run(translate(qwenimage_connection("dashscope"), model="qwen-image"))
    assert "translate is not supported for qwen-image" in str(attempt.error)
    assert gateway.state.posts == 0


def request(model="qwen-mt-image", **fields):
    return TranslateRequest(**{"images": POSTER, "target_lang": "en", "model": model, **fields})


REFUSED = {
    "one language": (request(source_lang="EN"), "target_lang: en is the language of the source"),
    "auto": (request(target_lang="auto", source_lang="zh"), "target_lang: is auto"),
    "neither": (request(source_lang="ja", target_lang="Korean"), "ja to Korean is not from or into zh"),
    "two images": (
        request(images=[POSTER, POSTER]),
        "the number of input images, 2, is not 1",
    ),
    "two copies": (request(n=2), "n: 2 is not 1"),
    "a text": (request(parameters={"sensitives": "9.9"}), "is not a list of at most 50 texts"),
    "no text": (request(parameters={"sensitives": [""]}), "holds what is no text"),
    "no object": (request(parameters={"config": True}), "is not an object"),
}


@pytest.mark.parametrize(("wanted", "words"), REFUSED.values(), ids=REFUSED)
def test_what_the_vendor_refuses_is_refused(wanted, words):
    with pytest.raises(InvalidRequest, match=words):
        check(wanted, gateway=DASHSCOPE)


PASSES = {
    "by name": request(source_lang="Japanese", target_lang="English"),
    "auto": request(target_lang="ja"),
    "any two": request("qwen-mt-image-2.0", source_lang="ja", target_lang="ko"),
    "options": request(parameters={"config": {"imageSegment": True}, "sensitives": ["9.9"]}),
}


@pytest.mark.parametrize("wanted", PASSES.values(), ids=PASSES)
def test_what_the_vendor_takes_passes_without_a_word(wanted):
    checked = check(wanted, gateway=DASHSCOPE)
    assert (checked.request, checked.warnings) == (wanted, ())


GLOSSARY = ({"src": "a", "tgt": "b"}, {"src": "c", "tgt": "d"})


@pytest.mark.parametrize(
    "written",
    [{"a": "b", "c": "d"}, list(GLOSSARY), '{"a": "b", "c": "d"}', str(list(GLOSSARY))],
    ids=["object", "list", "json", "rendered"],
)
def test_a_glossary_may_be_written_in_any_of_its_forms(written):
    assert request(terminologies=written).terminologies == GLOSSARY


@pytest.mark.parametrize("blank", [None, "", "None"])
def test_what_is_blank_is_unset(blank):
    made = request(model=blank, terminologies=blank, prompt=None, source_lang="")
    assert (made.model, made.terminologies, made.prompt, made.source_lang) == (
        "qwen-mt-image-2.0",
        None,
        "",
        "auto",
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"target_lang": ""}, "target_lang"),
        ({"images": []}, "images"),
        ({"terminologies": [{"src": "a"}]}, "terminologies.0"),
        ({"terminologies": {"a": ""}}, "terminologies.0"),
        ({"size": "2K"}, "size"),
        ({"seed": 1}, "seed"),
        ({"negative_prompt": "x"}, "negative_prompt"),
    ],
    ids=str,
)
def test_what_means_nothing_to_a_translation_is_named(fields, field):
    with pytest.raises(InvalidRequest) as caught:
        build(TranslateRequest, **{"images": POSTER, "target_lang": "en", **fields})
    assert caught.value.field == field


def test_the_hook_translates(gateway, qwenimage_connection):
    with QwenImageHook(qwenimage_connection("dashscope")) as hook:
        generation = hook.translate(POSTER, "ja", source_lang="en", terminologies={"mug": "cup"})
    assert len(generation.urls) == 1
    assert sent(gateway)["ext"] == {"terminologies": [{"src": "mug", "tgt": "cup"}]}


async def test_the_hook_translates_asynchronously(gateway, qwenimage_connection):
    async with QwenImageHook(qwenimage_connection("dashscope")) as hook:
        generation = await hook.atranslate(POSTER, "ja")
    assert len(generation.urls) == 1


def test_a_function_may_say_what_to_translate(gateway, qwenimage_connection, dag):
    with dag:

        @qwen_image_task(
            operation="translate", qwenimage_conn_id=qwenimage_connection("dashscope"), poll_interval=0.05
        )
        def localise():
            return {"images": POSTER, "target_lang": "fr", "source_lang": "en"}

        task = localise().operator
    attempt = InMemoryAirflow().run(task)
    assert attempt.error is None
    assert sent(gateway) == {"image_url": POSTER, "source_lang": "en", "target_lang": "fr"}


def test_a_batch_translates_beside_what_it_makes(gateway, qwenimage_connection, s3, bucket):
    rows = [
        {"prompt": "a mug", "n": 2},
        {"operation": "translate", "images": POSTER, "target_lang": "en", "source_lang": "zh"},
        {"images": POSTER, "target_lang": "ja", "terminologies": {"mug": "cup"}, "model": "qwen-mt-image"},
    ]
    task = QwenImageBatchOperator(
        task_id="campaign",
        requests=rows,
        persist_to=f"s3://{bucket}/campaign/",
        model="qwen-image-2.0",
        size="1K",
        seed=7,
        parameters={"watermark": False},
        qwenimage_conn_id=qwenimage_connection("dashscope"),
        poll_interval=0.05,
    )
    attempt = InMemoryAirflow().run_to_end(task)
    assert attempt.error is None
    assert [uri.rpartition(".")[2] for uri in attempt.result] == ["png", "png", "jpg", "jpg"]
    assert attempt.xcoms["usage"]["cost"] == pytest.approx(2 * 0.2 + 0.004 + 0.003)
    assert gateway.state.posts == 3


def test_one_image_of_a_gateway_becomes_another_of_it(gateway, qwenimage_connection):
    with served({"/poster.png": picture(size=(300, 500))}) as (base, _):
        attempt = InMemoryAirflow().run(translate(qwenimage_connection("dashscope"), f"{base}/poster.png"))
    assert attempt.error is None
    assert opened(gateway.content(attempt.result[0])).size == (300, 500)
