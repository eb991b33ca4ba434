from __future__ import annotations

import itertools

import httpx
import pytest

from airflow_provider_qwenimage.simulator.faults import FAULTS
from simulator.bodies import body_for, image_urls


@pytest.fixture
def url(call):
    return image_urls(call.post("tokenhub", body_for("tokenhub")).json())[0]


def test_a_wrong_signature_is_denied_as_xml(call, url):
    for broken in (
        url.replace("Signature=", "Signature=x"),
        url.split("?")[0],
        url.replace("Expires=1", "Expires=2"),
    ):
        reply = call.client.get(broken)
        assert (reply.status_code, reply.headers["content-type"]) == (403, "application/xml")
        assert "<Code>AccessDenied</Code>" in reply.text
    assert call.client.head(url).status_code == 403


def test_an_old_url_has_expired(sim, call):
    sim.state.settings.url_lifetime = -5
    url = image_urls(call.post("tokenhub", body_for("tokenhub")).json())[0]
    reply = call.client.get(url)
    assert reply.status_code == 403
    assert "<Code>AccessDenied</Code>" in reply.text
    assert "<Message>Request has expired.</Message>" in reply.text
    sim.fault("expired_url")
    sim.state.settings.url_lifetime = 60
    (expired,) = image_urls(call.post("dashscope", body_for("dashscope")).json())
    assert "has expired" in call.client.get(expired).text


def test_an_authorization_header_on_a_file_is_counted(sim, call, url):
    call.client.get(url)
    assert sim.state.total("authorization_on_files") == 0
    call.client.get(url, headers={"Authorization": "Bearer demo-key"})
    assert sim.state.total("authorization_on_files") == 1


@pytest.mark.parametrize(
    ("name", "status", "start_and_type"),
    [
        ("file_expired", 403, (b"<?xml", "application/xml")),
        ("file_denied", 403, (b"<?xml", "application/xml")),
        ("file_404", 404, (b"<?xml", "application/xml")),
        ("file_500_once", 500, (b"<?xml", "application/xml")),
        ("file_empty", 200, (b"", "image/png")),
        ("file_html", 200, (b"<!DOCTYPE html>", "image/png")),
        ("file_svg", 200, (b"<svg", "image/svg+xml")),
        ("file_jpeg", 200, (b"\xff\xd8\xff", "image/png")),
        ("file_octet_stream", 200, (b"\x89PNG", "application/octet-stream")),
        ("file_given", 200, (b"\x89PNG", "application/octet-stream")),
        ("file_slow", 200, (b"\x89PNG", "image/png")),
    ],
)
def test_a_broken_file_is_broken_once_and_then_good(call, url, name, status, start_and_type):
    call.sim.fault(name)
    reply = call.client.get(url)
    start, media_type = start_and_type
    assert (reply.status_code, reply.headers["content-type"]) == (status, media_type)
    assert reply.content.startswith(start)
    assert call.client.get(url).content == call.sim.content(url)


def test_a_prompt_breaks_its_files_for_good_but_a_500_only_once(sim, call):
    (url,) = image_urls(call.post("tokenhub", body_for("tokenhub", "x [fault:file_html]")).json())
    assert [call.client.get(url).content[:5] for _ in range(2)] == [b"<!DOC", b"<!DOC"]
    (url,) = image_urls(call.post("tokenhub", body_for("tokenhub", "x [fault:file_500_once]")).json())
    assert [call.client.get(url).status_code for _ in range(2)] == [500, 200]


def test_a_truncated_file_is_half_and_says_so(sim, call, url):
    sim.fault("file_truncated")
    content = call.client.get(url).content
    assert content == sim.content(url)[: len(content)]
    assert len(content) == len(sim.content(url)) // 2


def test_a_short_body_and_a_reset_break_off(sim, call, url):
    sim.fault("file_short_body")
    with pytest.raises(httpx.RemoteProtocolError):
        call.client.get(url)
    sim.fault("file_reset")
    with pytest.raises(httpx.ReadError):
        call.client.get(url)
    sim.fault("reset_before", on="file")
    with pytest.raises((httpx.ReadError, httpx.WriteError)):
        call.client.get(url)
    assert call.client.get(url).content == sim.content(url)


def test_an_oversized_file_is_announced_and_an_endless_one_is_not(sim, call, url):
    sim.fault("file_huge")
    with call.client.stream("GET", url) as reply:
        assert int(reply.headers["content-length"]) == 256 * 1024 * 1024
    sim.fault("file_endless")
    with call.client.stream("GET", url) as reply:
        assert "content-length" not in reply.headers
        assert sum(map(len, itertools.islice(reply.iter_bytes(65536), 200))) > 8 * 1024 * 1024


def test_redirects_lead_to_a_good_file_in_circles_or_astray(sim, call, url):
    sim.fault("file_redirect")
    first = call.client.get(url)
    assert first.status_code == 302
    assert call.client.get(first.headers["location"]).content == sim.content(url)
    sim.fault("file_redirect_loop")
    assert call.client.get(url).headers["location"] == url
    for name, target in (
        ("file_redirect_private", "http://10.0.0.1/"),
        ("file_redirect_metadata", "http://169.254.169.254/"),
        ("file_redirect_scheme", "file:///"),
    ):
        sim.fault(name)
        assert call.client.get(url).headers["location"].startswith(target)


def test_a_file_that_is_given_is_served_as_it_is(call, url):
    call.client.post(call.sim.url + "/_settings", json={"given_file": "R0lGODlh"})
    call.sim.fault("file_given")
    assert call.client.get(url).content == b"GIF89a"


def test_every_file_fault_changes_what_a_get_sees(sim, call, url):
    for name in [name for name, row in FAULTS.items() if row.on == "file" and name != "file_slow"]:
        sim.fault(name)
        try:
            with call.client.stream("GET", url) as reply:
                seen = (
                    reply.status_code,
                    reply.headers.get("content-type"),
                    reply.headers.get("content-length"),
                )
                whole = seen == (
                    200,
                    "image/png",
                    str(len(sim.content(url))),
                ) and reply.read() == sim.content(url)
        except httpx.TransportError:
            whole = False
        assert not whole, name
