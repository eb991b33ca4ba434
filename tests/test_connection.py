"""A connection is checked and coerced field by field, and its test never costs anything or tells a secret."""

from __future__ import annotations

import json
import os
import re
import socket

import pytest

from airflow_provider_qwenimage.catalog.prices import price_of
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.gateway import connection
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook

KEY = "sk-simulator-key"


def read(*, host=None, port=None, schema=None, password=KEY, **extra):
    return connection.read(host=host, port=port, schema=schema, password=password, extra=extra)


def rejected(**fields):
    with pytest.raises(InvalidRequest) as raised:
        read(**fields)
    return raised.value


def test_a_gateway_alone_is_enough():
    settings = read(gateway="tokenhot")

    assert (settings.gateway.name, settings.endpoint.base_url) == ("tokenhot", "https://api.tokenhot.ai")
    assert (settings.endpoint.key, settings.endpoint.timeout, settings.verify) == (KEY, 600.0, True)
    assert (settings.model, settings.allow_private_hosts, settings.price("x")) == (None, False, None)


def test_a_host_alone_is_an_engine_which_needs_no_key():
    settings = read(host="http://engine.example:8000", password=None)

    assert (settings.gateway.name, settings.endpoint.key) == ("openai-compatible", None)


def test_what_the_form_and_a_uri_give_as_text_is_coerced():
    settings = read(
        gateway="tokenhot",
        model="qwen-image-plus",
        request_format="flat",
        timeout="30",
        verify="false",
        allow_private_hosts="True",
        price_per_image='{"qwen-image-plus": "0.2", "currency": "CNY"}',
    )

    assert settings.gateway.request_format == "flat"
    assert (settings.model, settings.endpoint.timeout, settings.verify) == ("qwen-image-plus", 30.0, False)
    assert settings.allow_private_hosts is True
    assert (settings.price("alibaba/qwen-image-plus"), settings.currency) == (price_of(0.2), "CNY")


def test_checks_are_the_gateways_unless_the_connection_says_otherwise():
    assert read(gateway="tokenhot").gateway.checks == "strict"
    assert read(gateway="tokenhot", checks="warn").gateway.checks == "warn"
    assert read(host="http://engine.example").gateway.checks == "warn"
    assert read(host="http://engine.example", checks="strict").gateway.checks == "strict"
    assert rejected(gateway="tokenhot", checks="off").field == "extra.checks"


def test_what_is_blank_is_unset():
    names = (
        "model",
        "request_format",
        "timeout",
        "verify",
        "allow_private_hosts",
        "checks",
        "price_per_image",
    )

    assert read(gateway="tokenhot", **dict.fromkeys(names, "")) == read(gateway="tokenhot")
    assert read(gateway="tokenhot", **dict.fromkeys(names)) == read(gateway="tokenhot")
    assert read(gateway="", host="http://engine.example", password="").gateway.name == "openai-compatible"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"gateway": "tokenhot", "time_out": 3}, r"extra\.time_out: is not known; known are gateway, model"),
        ({"gateway": "tokenbot"}, "'tokenbot' is not known; known are tokenhot, onetoken"),
        ({"gateway": "tokenhot", "timeout": "soon"}, r"extra\.timeout: .*number.*'soon'"),
        ({"gateway": "tokenhot", "timeout": 0}, r"extra\.timeout: .*above 0"),
        ({"gateway": "tokenhot", "timeout": True}, r"extra\.timeout: must be a number"),
        ({"gateway": "tokenhot", "timeout": "inf"}, r"extra\.timeout: .*finite"),
        ({"gateway": "tokenhot", "request_format": "xml"}, r"extra\.request_format: .*'native' or 'flat'"),
        ({"gateway": "tokenhot", "allow_private_hosts": "maybe"}, r"extra\.allow_private_hosts"),
        (
            {"gateway": "tokenhot", "price_per_image": "0.2 CNY"},
            r"extra\.price_per_image: must be a JSON object",
        ),
        (
            {"gateway": "tokenhot", "price_per_image": {"qwen-image": -1}},
            r"extra\.price_per_image\.qwen-image: must be a number, or tiers such as",
        ),
        (
            {"gateway": "tokenhot", "price_per_image": {"qwen-image-3.0": {"1k": 0.25, "4k": 1}}},
            r"extra\.price_per_image\.qwen-image-3\.0: must be a number, or tiers such as",
        ),
        ({}, "gateway: is not set and there is no host.*Choose a gateway"),
        ({"gateway": "openai-compatible"}, "host: is empty"),
        ({"gateway": "tokenhot", "password": None}, "password: is empty: put the API key of TokenHot there"),
        ({"gateway": "tokenhot", "password": "  "}, "password: is empty"),
        ({"gateway": "tokenhot", "password": "sk-a b"}, "password: holds a blank"),
        ({"gateway": "tokenhot", "password": "sk-\u2026"}, "password: holds a blank, a line break or a sign"),
        ({"host": "ftp://gw.example"}, "host: must be an http or https URL, got ftp://"),
        ({"host": "https://me:secret@gw.example"}, "host: must be a URL such as"),
        ({"host": "https://gw.example/?key=secret"}, "host: must be a URL such as"),
        ({"host": "https://gw.example/a b"}, "host: must be a URL such as"),
        ({"host": "https://"}, "host: must be a URL such as"),
        ({"host": "https://gw.example:port"}, "host: must be a URL such as"),
        ({"host": "https://gw.example:99999"}, "host: must be a URL such as"),
        ({"host": "https://[oops"}, "host: must be a URL such as"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:30],
)
def test_a_field_at_fault_is_named_with_its_rule(fields, words):
    error = rejected(**fields)

    assert re.search(words, str(error)), str(error)
    assert "secret" not in str(error)
    assert "sk-" not in str(error)


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "gw.example"}, "https://gw.example"),
        ({"host": "gw.example", "schema": "http"}, "http://gw.example"),
        ({"host": "http://gw.example/"}, "http://gw.example"),
        ({"host": "HTTPS://gw.example/proxy/"}, "https://gw.example/proxy"),
        ({"host": "https://gw.example/proxy", "port": 8443}, "https://gw.example:8443/proxy"),
        ({"host": "https://gw.example:9000", "port": 8443}, "https://gw.example:9000"),
        ({"host": "http://[::1]", "port": 8000}, "http://[::1]:8000"),
        ({"host": "gw.example", "schema": "proxy/v1", "port": 8443}, "https://gw.example:8443/proxy/v1"),
        ({"host": " https://gw.example "}, "https://gw.example"),
    ],
    ids=str,
)
def test_a_host_is_read_as_a_base_url(fields, url):
    assert read(**fields).endpoint.base_url == url


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"gateway": "dashscope-eu"}, "https://llm-4f2k.eu-central-1.maas.aliyuncs.com"),
        ({"gateway": "dashscope-jp"}, "https://llm-4f2k.ap-northeast-1.maas.aliyuncs.com"),
        ({"gateway": "dashscope-hk"}, "https://llm-4f2k.cn-hongkong.maas.aliyuncs.com"),
        ({"gateway": "dashscope"}, "https://llm-4f2k.cn-beijing.maas.aliyuncs.com"),
        ({"gateway": "dashscope-intl"}, "https://llm-4f2k.ap-southeast-1.maas.aliyuncs.com"),
        ({"gateway": "dashscope-us", "port": 443}, "https://llm-4f2k.us-east-1.maas.aliyuncs.com:443"),
        ({"gateway": "dashscope-compatible"}, "https://llm-4f2k.cn-beijing.maas.aliyuncs.com"),
        ({"gateway": "dashscope", "port": 8000}, "https://LLM-4f2k:8000"),
        ({"gateway": "dashscope", "schema": "http"}, "http://LLM-4f2k"),
        ({"gateway": "tokenhot"}, "https://LLM-4f2k"),
    ],
    ids=str,
)
def test_a_workspace_id_leads_to_the_workspaces_own_host(fields, url):
    assert read(host="LLM-4f2k", **fields).endpoint.base_url == url


def test_a_region_with_workspace_hosts_only_asks_for_the_id():
    assert "give the workspace id" in rejected(gateway="dashscope-eu").rule
    assert read(gateway="qwencloud").endpoint.base_url == "https://maas.qwencloudapi.com"


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("qwenimage://:sk-key@gw.example:8443/?gateway=tokenhot&timeout=30", "https://gw.example:8443"),
        (
            "qwenimage://:sk-key@https%3A%2F%2Fgw.example%2Fproxy/?gateway=tokenhot&timeout=30",
            "https://gw.example/proxy",
        ),
        ("qwenimage://:sk-key@gw.example/proxy?gateway=tokenhot&timeout=30", "https://gw.example/proxy"),
        ("qwenimage://:sk-key@gw.example/http?gateway=tokenhot&timeout=30", "http://gw.example"),
        ("qwenimage://:sk-key@/?gateway=tokenhot&timeout=30", "https://api.tokenhot.ai"),
    ],
)
def test_a_uri_says_the_same_as_the_form(uri, url):
    os.environ["AIRFLOW_CONN_FROM_URI"] = uri
    settings = QwenImageHook("from_uri").settings

    assert (settings.endpoint.base_url, settings.endpoint.key) == (url, "sk-key")
    assert (settings.gateway.name, settings.endpoint.timeout) == ("tokenhot", 30.0)


def test_the_key_is_in_no_text_of_the_settings():
    settings = read(gateway="tokenhot")

    assert KEY not in f"{settings!r} {settings} {settings.endpoint!r} {settings.model_dump()}"


# --- test_connection


@pytest.fixture
def ask(simulator, qwenimage_connection):
    """Press the button; whatever happens, nothing is posted and no key is told."""
    simulator.state.reset()

    def press(gateway="tokenhot", **fields):
        ok, message = QwenImageHook(qwenimage_connection(gateway, **fields)).test_connection()
        assert simulator.state.posts == 0
        assert "sk-" not in message
        return ok, message

    return press


@pytest.mark.parametrize(
    "gateway",
    [
        "tokenhot",
        "onetoken",
        "dashscope",
        "dashscope-eu",
        "dashscope-compatible",
        "qwencloud",
        "openai-compatible",
    ],
)
def test_a_good_key_is_accepted_by_every_gateway_with_one_get(ask, simulator, gateway):
    ok, message = ask(gateway)

    assert ok, message
    assert message.startswith("Key accepted by ")
    assert [seen.method for seen in simulator.state.requests] == ["GET"]


def test_a_default_model_that_is_not_listed_is_a_warning(ask):
    assert ask(model="qwen-image-plus") == (True, "Key accepted by TokenHot.")
    assert ask(model="qwen-image-pluss") == (
        True,
        "Key accepted, but the default model 'qwen-image-pluss' is not listed: check its name.",
    )


@pytest.mark.parametrize("gateway", ["tokenhot", "dashscope", "openai-compatible"])
def test_a_wrong_key_fails(ask, gateway):
    ok, message = ask(gateway, password="sk-wrong-key-wrong-key")

    assert not ok
    assert "answered 401: the key is not accepted." in message
    assert ("Keys are bound to a region" in message) == (gateway == "dashscope")


@pytest.mark.parametrize(
    ("fault", "ok", "words"),
    [
        ("403", False, "answered 403: the key has no access."),
        ("404", True, "is reachable; it has no /v1/models, so the key is not verified."),
        ("405", True, "is reachable; it has no /v1/models, so the key is not verified."),
        ("500", False, "answered 500 to /v1/models."),
        ("429", False, "answered 429 to /v1/models."),
        ("html_200", False, "answers, but not like an API: check the host."),
        ("truncated_json", False, "answers, but not like an API: check the host."),
        ("error_200_native", False, "TokenHot refused: Input data may contain inappropriate content."),
        ("error_200_openai", False, "TokenHot refused: The task failed"),
        ("reset_after", False, "gave no answer"),
    ],
)
def test_what_the_gateway_answers_is_said_in_words(ask, simulator, fault, ok, words):
    simulator.fault(fault, on="check")

    answered, message = ask()

    assert (answered, words in message) == (ok, True), message


def test_a_host_nobody_listens_on_is_unreachable(ask):
    with socket.socket() as taken:  # bound and not listening: refused for as long as it is held
        taken.bind(("127.0.0.1", 0))
        ok, message = ask(host=f"http://127.0.0.1:{taken.getsockname()[1]}")

    assert not ok
    assert message.startswith("No connection to 127.0.0.1:")


def test_a_host_that_answers_drop_by_drop_does_not_keep_the_button_waiting(ask, monkeypatch):
    from airflow_provider_qwenimage.gateway import probe

    monkeypatch.setattr(probe, "TIME_LIMIT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and says nothing
        ok, message = ask(host=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=600)

    assert not ok
    assert "no answer" in message


def test_a_connection_that_cannot_be_read_is_told_and_not_raised():
    os.environ["AIRFLOW_CONN_BROKEN"] = json.dumps(
        {"conn_type": "qwenimage", "extra": {"gateway": "tokenhot"}}
    )

    ok, message = QwenImageHook("broken").test_connection()

    assert not ok
    assert "password: is empty" in message


def test_a_host_that_is_no_url_is_told_and_not_raised(ask):
    ok, message = ask(host="http://gw.example:notaport")

    assert not ok
    assert "host: " in message


@pytest.mark.parametrize("extra", ["[1]", '"x"', "not json", "7"])
def test_an_extra_that_is_no_object_is_refused(extra):
    with pytest.raises(InvalidRequest, match=r"extra\.json: the connection's extra"):
        connection.read(host="https://gw.test", port=None, schema=None, password="k", extra=extra)
