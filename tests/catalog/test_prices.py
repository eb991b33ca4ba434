"""What a request costs: one function before and after, from the connection's prices or the vendor's dated lists."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_qwenimage.catalog import gateway, gateways
from airflow_provider_qwenimage.catalog.models import models, sources
from airflow_provider_qwenimage.catalog.prices import Price, listed_price, listed_prices, price_of
from airflow_provider_qwenimage.gateway import connection
from airflow_provider_qwenimage.models.requests import Asked, EditRequest, GenerateRequest
from airflow_provider_qwenimage.models.results import GeneratedImage, Generation, Usage

TIERS = price_of({"1k": 0.25, "2k": 0.5, "input": 0.02})
TWO = ("https://img.example/1.png", "https://img.example/2.png")


def asked(**fields):
    kind = EditRequest if fields.get("images") else GenerateRequest
    return Asked.of(kind(prompt="a boat", model="qwen-image-3.0-pro", **fields))


def came(*sizes, image_count=None):
    shared = {"gateway": "dashscope", "model": "m", "prompt": "a boat", "created_at": datetime.now(UTC)}
    images = tuple(
        GeneratedImage(url="https://img.example/x.png", index=index, size=size, **shared)
        for index, size in enumerate(sizes)
    )
    return Generation(images=images, gateway="dashscope", usage=Usage(image_count=image_count))


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ({"size": "1024*1024"}, 0.25),
        ({"size": "1920*1080"}, 0.25),
        ({"size": "1500*1500"}, 0.25),
        ({"size": "1501*1500"}, 0.5),
        ({"size": "1K", "n": 3}, 0.75),
        ({"size": "2K", "n": 2}, 1.0),
        ({"parameters": {"size": "1024*1024"}}, 0.25),
        ({"parameters": {"size": "auto"}}, 0.5),
        ({}, 0.5),
        ({"images": TWO, "size": "1024*1024", "n": 2}, 0.54),
    ],
    ids=str,
)
def test_before_a_request_is_sent_it_costs_as_much_as_it_may(fields, cost):
    assert TIERS.cost(asked(**fields)) == cost


@pytest.mark.parametrize(
    ("sizes", "count", "cost"),
    [
        (("1024*1024",), 1, 0.25),
        (("2048*2048", "1024*1024"), None, 0.75),
        (("2048*2048",), 3, 1.5),  # three are billed, one arrived: the others are taken to be like it
        (("2048*2048", "2048*2048"), 1, 0.5),
        ((None,), None, 0.5),
        ((), 2, 0.5),
        ((), None, 0),
    ],
)
def test_afterwards_it_costs_what_came(sizes, count, cost):
    assert TIERS.cost(asked(size="1024*1024", n=2), came(*sizes, image_count=count)) == cost


def test_what_the_gateway_says_it_bills_goes_before_what_was_asked():
    brought = came("1024*1024")
    told = Usage(image_count=1, output_image_type="qima_output_2k", input_image_count=1)
    assert TIERS.cost(asked(images=TWO), brought.model_copy(update={"usage": told})) == 0.52
    unread = Usage(output_image_type="tier 4", input_image_count=0)
    assert TIERS.cost(asked(images=TWO), brought.model_copy(update={"usage": unread})) == 0.25


def test_a_rewritten_prompt_and_input_images_are_charged():
    price = price_of({"image": 0.1, "extended": 2, "input": 0.01})
    assert price.cost(asked(images=TWO, n=2, parameters={"prompt_extend": True})) == 0.42
    assert price.cost(asked(n=2, parameters={"prompt_extend": False})) == 0.2


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "much",
        -1,
        float("nan"),
        float("inf"),
        {},
        {"1k": 1},
        {"2k": 1},
        {"image": 1, "1k": 1, "2k": 1},
        {"3k": 1},
    ],
    ids=str,
)
def test_what_is_no_price_is_refused_with_an_example(value):
    with pytest.raises(ValueError, match="must be a number, or tiers such as"):
        price_of(value)


@pytest.mark.parametrize("row", listed_prices(), ids=lambda row: f"{row.model}-{row.region}-{row.currency}")
def test_every_listed_price_is_of_a_model_with_a_source(row):
    assert row.model in models()
    assert row.source in sources()
    assert row.sure == {"A": "V", "M": "M", "T": "T"}[row.source[0]]
    assert isinstance(row.price, Price)


def test_no_list_says_a_price_twice_on_one_day():
    keys = [(row.model, row.region, row.currency, row.date) for row in listed_prices()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("row", [row for row in gateways().values() if row.prices], ids=lambda row: row.name)
def test_a_gateways_lists_exist(row):
    assert any(
        (one.region, one.currency) == (row.prices.region, row.prices.currency) for one in listed_prices()
    )


@pytest.mark.parametrize(
    ("model", "place", "currency", "size", "cost"),
    [
        ("qwen-image-3.0", "dashscope", None, "2K", 0.18),
        ("alibaba/qwen-image-3.0-pro", "dashscope", None, "1K", 0.25),
        ("qwen-image-3.0-pro", "dashscope", None, "2K", 0.5),
        ("qwen-image-3.0-pro", "dashscope-intl", None, "1K", 0.03438),
        ("qwen-image-3.0-pro", "dashscope-intl", "USD", "2K", 0.068761),
        ("qwen-image-max-2025-12-30", "dashscope", None, None, 0.5),
        ("qwen-image-max", "dashscope-intl", "CNY", None, 0.55),
    ],
)
def test_the_vendors_list_knows_models_by_region_and_currency(model, place, currency, size, cost):
    listed = listed_price(model, gateway(place).prices, currency=currency)
    assert listed.price.cost(Asked(operation="generate", model=model, prompt="x", size=size)) == cost
    assert listed.cited.startswith(listed.source)


def settings(name, **prices):
    extra = {"gateway": name, **({"price_per_image": prices} if prices else {})}
    return connection.read(host=None, port=None, schema=None, password="sk-simulator-key", extra=extra)


def test_the_connections_price_goes_before_the_vendors_list():
    own = settings("dashscope", currency="CNY", **{"qwen-image-plus": 0.15})
    assert (own.price("qwen-image-plus"), own.listed("qwen-image-plus")) == (price_of(0.15), None)
    assert own.price("qwen-image-max") == price_of(0.5)
    assert own.listed("qwen-image-max").cited == "A-price, 2026-06-30"


def test_without_a_price_of_its_own_the_gateways_list_holds():
    assert (settings("dashscope").currency, settings("dashscope").price("qwen-image")) == (
        "CNY",
        price_of(0.25),
    )
    assert settings("dashscope-intl").currency == "USD"
    assert settings("dashscope-intl", currency="CNY").price("qwen-image") == price_of(0.257)
    assert settings("dashscope").price("next-image-7") is None
    assert settings("dashscope").price(None) is None


def test_prices_of_two_currencies_are_never_added_up():
    unnamed = settings("dashscope", **{"qwen-image-plus": 0.15})
    assert (unnamed.currency, unnamed.price("qwen-image-max")) == (None, None)
    assert settings("dashscope", currency="EUR", **{"qwen-image-plus": 0.15}).price("qwen-image-max") is None


def test_a_gateway_that_resells_has_prices_of_its_own():
    assert settings("tokenhot").price("qwen-image-plus") is None
    assert settings("tokenhot").currency is None
