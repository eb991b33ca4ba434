"""What a task pushes as its cost: of the images that came, of the input images, in one currency."""

from __future__ import annotations

import pytest

from airflow_provider_qwenimage.batch.items import read_batch
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
from airflow_provider_qwenimage.operators.batch import QwenImageBatchOperator
from airflow_provider_qwenimage.operators.qwenimage import QwenImageEditOperator, QwenImageGenerateOperator
from harness import InMemoryAirflow

LISTED = "T-public, 2026-11-01"
IMAGES = ["https://img.example/1.png", "https://img.example/2.png"]


@pytest.fixture(autouse=True)
def _quick(simulator):
    simulator.state.settings.job_seconds = 0.1


def usage(kind, conn_id, **arguments):
    given = {"prompt": "a teapot", "model": "qwen-image-3.0-pro", "poll_interval": 0.05, **arguments}
    attempt = InMemoryAirflow().run(kind(task_id="task", qwenimage_conn_id=conn_id, **given))
    assert attempt.error is None
    told = attempt.xcoms["usage"]
    estimate = [told.pop("estimate")] if "estimate" in told else []
    assert set(told) == {"image_count", "input_tokens", "output_tokens", "total_tokens", "cost", "currency"}
    return (told["cost"], told["currency"], *estimate)


def test_without_a_price_of_its_own_a_job_costs_what_the_vendors_list_says(qwenimage_connection):
    conn_id = qwenimage_connection("dashscope")
    assert usage(QwenImageGenerateOperator, conn_id, size="2K", n=2) == (1.0, "CNY", LISTED)
    assert usage(QwenImageGenerateOperator, conn_id, size="1K", n=2) == (0.5, "CNY", LISTED)


def test_input_images_cost_and_an_edit_costs_by_the_size_that_came(qwenimage_connection):
    # Asked for 2k; the vendor follows the input image and delivers, and bills, 1k.
    conn_id = qwenimage_connection("dashscope")
    assert usage(QwenImageEditOperator, conn_id, images=IMAGES, size="2048*2048") == (0.29, "CNY", LISTED)


def test_tiers_of_the_connection_go_before_the_list(qwenimage_connection):
    tiers = {"qwen-image-3.0-pro": {"1k": 1, "2k": 3, "input": 0.5}, "currency": "EUR"}
    conn_id = qwenimage_connection("dashscope", price_per_image=tiers)
    assert usage(QwenImageEditOperator, conn_id, images=IMAGES) == (2.0, "EUR")


def test_a_gateway_that_resells_has_no_listed_price(qwenimage_connection):
    assert usage(QwenImageGenerateOperator, qwenimage_connection("tokenhot")) == (None, None)


def test_a_batch_knows_before_the_first_request_what_it_may_cost(qwenimage_connection):
    settings = QwenImageHook(qwenimage_connection("dashscope")).settings
    rows = [
        {"prompt": "a", "model": "qwen-image-3.0-pro", "size": "1K", "n": 2},
        {"prompt": "b", "model": "qwen-image-3.0-pro", "images": IMAGES},
        {"prompt": "c", "model": "qwen-image-max"},
    ]
    batch = read_batch(
        [(f"row {place}", row) for place, row in enumerate(rows)], defaults={}, settings=settings
    )
    assert batch.cost == pytest.approx(0.5 + 0.54 + 0.5)
    assert batch.listed == {"T-public, 2026-11-01", "A-price, 2026-06-30"}


def test_a_batch_says_that_its_cost_is_an_estimate(qwenimage_connection, s3, bucket, caplog):
    task = QwenImageBatchOperator(
        task_id="batch",
        requests=[{"prompt": "a", "model": "qwen-image-3.0", "size": "1K"}],
        persist_to=f"s3://{bucket}/a/",
        qwenimage_conn_id=qwenimage_connection("dashscope"),
        poll_interval=0.05,
    )
    attempt = InMemoryAirflow().run(task)
    assert attempt.error is None
    told = attempt.xcoms["usage"]
    assert (told["cost"], told["currency"], told["estimate"]) == (0.18, "CNY", LISTED)
    assert "about 0.18 CNY (an estimate by the vendor's list, T-public, 2026-11-01)" in caplog.text
