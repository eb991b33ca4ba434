"""Downloads over real HTTP: what is followed, what is tried again, what is refused, what is never sent."""

from __future__ import annotations

import base64
import gzip
import hashlib
import time
import tracemalloc

import pytest

from airflow_provider_qwenimage.exceptions import (
    BlockedHost,
    ImageExpired,
    ImageTooLarge,
    NotAnImage,
    TransferError,
)
from airflow_provider_qwenimage.images.checked import receive_bytes, receive_data_url
from airflow_provider_qwenimage.images.download import Downloads, Limits
from store.file_server import Answer, png

IMAGE = png(1)
XML = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>{}</Message>{}</Error>'


def test_an_image_arrives_unaltered_hashed_and_measured(files, downloads):
    with downloads.fetch(files.put("/a.png", IMAGE)) as image:
        assert image.read() == image.body == IMAGE
        assert (image.size, image.sha256) == (len(IMAGE), hashlib.sha256(IMAGE).hexdigest())
        assert (image.facts.content_type, image.facts.width, image.facts.height) == ("image/png", 37, 23)


def test_a_large_image_waits_on_disk(files, downloads):
    large = png(1, width=1500, height=1200)
    assert len(large) > 5_000_000
    with downloads.fetch(files.put("/a.png", large)) as image:
        assert not isinstance(image.body, bytearray)
        assert image.read() == large
        assert image.sha256 == hashlib.sha256(large).hexdigest()


def test_the_type_is_told_by_the_bytes_and_not_by_the_header(files, downloads):
    url = files.put("/a", Answer(IMAGE, headers={"Content-Type": "text/html"}))
    with downloads.fetch(url) as image:
        assert image.facts.ext == "png"


def test_neither_key_nor_cookie_reaches_an_image_host(files, downloads):
    files.put("/b.png", Answer(IMAGE, headers={"Set-Cookie": "b=2"}))
    url = files.put("/a.png", Answer(status=302, headers={"Location": "/b.png", "Set-Cookie": "a=1; Path=/"}))
    for _ in range(2):
        downloads.fetch(url).close()
    assert len(files.seen) == 4
    sent = {name for seen in files.seen for name in seen.headers}
    assert not sent & {"authorization", "cookie", "proxy-authorization", "referer"}


def test_the_query_of_a_signed_url_arrives_as_it_was_signed(files, downloads):
    query = "?Expires=99999999999&Signature=a%2Bb%2Fc%3D&x-oss-process=a,b&empty="
    downloads.fetch(files.put("/a%20b.png", IMAGE, query=query)).close()
    assert files.seen[0].path == f"/a%20b.png{query}"


class Loopback:
    """A resolver that leads every name to the file server's address."""

    def __init__(self):
        self.asked = []

    def __call__(self, host, port):
        self.asked.append(host)
        return ("127.0.0.1",)


def test_names_are_resolved_once_and_reached_at_the_address_that_was_checked(files, monkeypatch, naps):
    monkeypatch.setattr("airflow_provider_qwenimage.images.hosts.is_public", lambda address: True)
    resolve = Loopback()
    files.put("/a.png", IMAGE)
    with Downloads(resolve=resolve, sleep=naps.append) as downloads:
        downloads.fetch(f"http://images.invalid:{files.port}/a.png").close()
    assert resolve.asked == ["images.invalid"]
    assert files.seen[0].headers["host"] == f"images.invalid:{files.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(files, downloads, status):
    files.put("/b.png", IMAGE)
    url = files.put("/a.png", Answer(status=status, headers={"Location": "b.png"}))
    with downloads.fetch(url) as image:
        assert image.size == len(IMAGE)


def test_the_sixth_redirect_is_one_too_many(files, downloads):
    files.put("/5", IMAGE)
    for hop in range(5):
        files.put(f"/{hop}", Answer(status=302, headers={"Location": f"/{hop + 1}"}))
    downloads.fetch(f"{files.url}/0").close()
    files.put("/5", Answer(status=302, headers={"Location": "/6"}))
    files.put("/6", IMAGE)
    with pytest.raises(TransferError, match="more than 5 redirects"):
        downloads.fetch(f"{files.url}/0")


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/latest/", "http://10.0.0.1/x", "file:///etc/passwd", "ftp://h.example/x"],
)
def test_a_redirect_off_the_open_internet_is_blocked_and_not_tried_again(files, monkeypatch, naps, target):
    url = files.put("/a.png", Answer(status=302, headers={"Location": target}))
    reach = "airflow_provider_qwenimage.images.hosts.is_public"
    monkeypatch.setattr(reach, lambda address: str(address) == "127.0.0.1")
    with Downloads(sleep=naps.append) as downloads, pytest.raises(BlockedHost):
        downloads.fetch(url)
    assert (len(files.seen), naps) == (1, [])


def test_loopback_is_blocked_unless_the_connection_allows_it(files):
    with Downloads() as downloads, pytest.raises(BlockedHost, match="allow_private_hosts"):
        downloads.fetch(files.put("/a.png", IMAGE))
    assert files.seen == []


@pytest.mark.parametrize(
    "stumble",
    [
        Answer(IMAGE, cut=500),
        Answer(IMAGE, cut=500, length=False),
        Answer(IMAGE, cut=0),
        Answer(status=500),
        Answer(status=503),
        Answer(b"slow down", status=429),
        Answer(status=408),
    ],
    ids=["short", "short without a length", "no byte", "500", "503", "429", "408"],
)
def test_what_may_pass_is_tried_again(files, downloads, naps, stumble):
    with downloads.fetch(files.put("/a.png", stumble, stumble, IMAGE)) as image:
        assert image.sha256 == hashlib.sha256(IMAGE).hexdigest()
    assert len(files.seen) == 3
    assert len(naps) == 2
    assert all(0 < nap <= 2 for nap in naps)


def test_the_host_is_given_the_time_it_asks_for_up_to_a_bound(files, downloads, naps):
    times = ("7", "86400", "Fri, 31 Dec 2100 23:59:59 GMT")
    busy = [Answer(status=429, headers={"Retry-After": after}) for after in times]
    downloads.fetch(files.put("/a.png", *busy, IMAGE)).close()
    assert naps == [7.0, 20.0, 20.0]


def test_what_does_not_pass_ends_after_a_few_attempts(files, downloads, naps):
    url = files.put("/a.png", Answer(status=503), query="?Signature=topsecret")
    with pytest.raises(TransferError, match="4 attempts: the image host answers 503") as caught:
        downloads.fetch(url)
    assert (len(files.seen), len(naps)) == (4, 3)
    assert "topsecret" not in str(caught.value)
    assert caught.value.may_be_billed


def test_a_host_that_is_not_there_ends_after_a_few_attempts(files, downloads, naps):
    files.close()
    with pytest.raises(TransferError, match="4 attempts"):
        downloads.fetch(f"{files.url}/a.png")
    assert len(naps) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 451])
def test_a_refusal_is_not_tried_again(files, downloads, naps, status):
    url = files.put("/a.png", Answer(status=status), query="?Signature=topsecret")
    with pytest.raises(TransferError, match=f"answers {status}") as caught:
        downloads.fetch(url)
    assert (len(files.seen), naps) == (1, [])
    assert not isinstance(caught.value, ImageExpired)
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_an_expired_link_says_so_and_how_long_ago(files, downloads, naps, status):
    ended = int(time.time()) - (3 * 3600 + 12 * 60 + 30)
    url = files.put("/a.png", Answer(status=status), query=f"?Expires={ended}&Signature=topsecret")
    with pytest.raises(ImageExpired, match="expired 3 h 12 min ago") as caught:
        downloads.fetch(url)
    assert (len(files.seen), naps) == (1, [])
    assert "topsecret" not in str(caught.value)


def test_a_link_whose_signature_still_holds_has_not_expired(files, downloads):
    url = files.put("/a.png", Answer(status=403), query="?Expires=99999999999")
    with pytest.raises(TransferError) as caught:
        downloads.fetch(url)
    assert type(caught.value) is TransferError


@pytest.mark.parametrize(
    ("detail", "said"),
    [("", "expired"), ("<Expires>2020-01-01T00:00:00.000Z</Expires>", r"expired \d+ d")],
)
def test_the_object_store_may_say_that_a_link_expired(files, downloads, detail, said):
    body = XML.format("Request has expired.", detail).encode()
    with pytest.raises(ImageExpired, match=said):
        downloads.fetch(files.put("/a.png", Answer(body, status=403)))


def test_the_gateway_may_have_said_when_a_link_dies(files, downloads):
    from airflow_provider_qwenimage.wire.links import moment

    with pytest.raises(ImageExpired, match="at 2020-01-01 00:00:00 UTC"):
        downloads.fetch(files.put("/a.png", Answer(status=404)), expires=moment("2020-01-01T00:00:00Z"))


def test_a_link_that_is_past_its_time_and_works_is_used(files, downloads):
    with downloads.fetch(files.put("/a.png", IMAGE, query="?Expires=1600000000")) as image:
        assert image.size == len(IMAGE)


def test_a_declared_size_above_the_cap_is_refused_before_the_body(files, naps):
    huge = Answer(IMAGE, headers={}, cut=0)
    limits = Limits(max_bytes=len(IMAGE) - 1, allow_private_hosts=True)
    with (
        Downloads(limits=limits, sleep=naps.append) as downloads,
        pytest.raises(ImageTooLarge, match="max_image_bytes"),
    ):
        downloads.fetch(files.put("/a.png", huge))
    assert (len(files.seen), naps) == (1, [])


def test_an_undeclared_size_above_the_cap_is_refused_on_the_way(files, naps):
    limits = Limits(max_bytes=len(IMAGE) - 1, allow_private_hosts=True)
    with Downloads(limits=limits, sleep=naps.append) as downloads, pytest.raises(ImageTooLarge):
        downloads.fetch(files.put("/a.png", Answer(IMAGE, length=False)))
    assert (len(files.seen), naps) == (1, [])


def test_an_image_of_exactly_the_cap_is_taken(files):
    with Downloads(limits=Limits(max_bytes=len(IMAGE), allow_private_hosts=True)) as downloads:
        downloads.fetch(files.put("/a.png", IMAGE)).close()


@pytest.mark.parametrize("coding", ["gzip", "GZIP, gzip", "br", "identity, deflate"])
@pytest.mark.parametrize("status", [200, 403])
def test_a_body_in_an_encoding_is_never_expanded(files, downloads, naps, coding, status):
    packed = gzip.compress(gzip.compress(b"expired" + b"\0" * 10_000_000))
    url = files.put("/a.png", Answer(packed, status=status, headers={"Content-Encoding": coding}))
    tracemalloc.start()
    try:
        with pytest.raises(TransferError, match=coding if status == 200 else "answers 403") as caught:
            downloads.fetch(url)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert type(caught.value) is TransferError
    assert (len(files.seen), naps) == (1, [])


def test_a_body_whose_encoding_is_none_is_taken(files, downloads):
    url = files.put("/a.png", Answer(IMAGE, headers={"Content-Encoding": "Identity"}))
    downloads.fetch(url).close()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=302, headers={"Location": "http://["}),
        Answer(status=302, headers={"Location": "http://a.example:port/"}),
        Answer(status=302, headers={"Location": "http://\u2100.example/".encode().decode("latin-1")}),
        Answer(status=302, headers={"Location": f"/{'a' * 40_000}"}),
        Answer(IMAGE, headers={"Content-Length": "9" * 5000}, length=False),
        Answer(b"<Expires>2026-13-45T99:99:99Z</Expires>", status=403),
        Answer(b"<Expires>99999999-01-01T00:00:00Z</Expires>", status=403),
    ],
    ids=[
        "half an address",
        "no port",
        "no letter of a host",
        "too long",
        "digits without end",
        "no date",
        "no year",
    ],
)
def test_whatever_a_host_says_ends_in_an_error_of_ours(files, downloads, naps, answer):
    with pytest.raises(TransferError):
        downloads.fetch(files.put("/a.png", answer))
    assert len(files.seen) == len(naps) + 1 <= 4


@pytest.mark.parametrize(
    "after",
    [
        "9" * 400,
        "9" * 5000,
        "Fri, 31 Dec 99999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 -0000",
        "Fri, 31 Dec 2100 23:59:59 +99999999999999999999",
        "soon",
    ],
)
def test_a_pause_that_no_calendar_holds_is_a_pause_of_ours(files, downloads, naps, after):
    busy = Answer(status=429, headers={"Retry-After": after})
    downloads.fetch(files.put("/a.png", busy, IMAGE)).close()
    assert len(naps) == 1
    assert 0 < naps[0] <= 20


class Minutes:
    """A clock that moves on by a minute whenever it is looked at."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 60.0
        return self.now


@pytest.mark.parametrize("status", [200, 403])
def test_an_image_that_drips_ends_with_its_time_and_not_with_its_bytes(files, naps, status):
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in IMAGE)
    drip = Answer(body, status=status, headers={"Transfer-Encoding": "chunked"}, length=False)
    limits = Limits(allow_private_hosts=True, seconds=300)
    with (
        Downloads(limits=limits, sleep=naps.append, clock=Minutes()) as downloads,
        pytest.raises(TransferError, match="did not arrive within 300 s"),
    ):
        downloads.fetch(files.put("/a.png", drip))
    assert (len(files.seen), naps) == (1, [])


def test_attempts_end_with_the_time_of_their_image(files):
    clock = Minutes()

    def sleep(seconds):
        clock.now += 100

    limits = Limits(allow_private_hosts=True, seconds=400)
    with (
        Downloads(limits=limits, sleep=sleep, clock=clock) as downloads,
        pytest.raises(TransferError, match="did not arrive within 400 s"),
    ):
        downloads.fetch(files.put("/a.png", Answer(status=503)))
    assert len(files.seen) == 2


def test_a_task_that_is_told_to_end_ends_between_two_chunks(files, naps):
    told = iter([False, False, False])
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in IMAGE)
    drip = Answer(body, headers={"Transfer-Encoding": "chunked"}, length=False)
    with (
        Downloads(
            limits=Limits(allow_private_hosts=True), sleep=naps.append, stopped=lambda: next(told, True)
        ) as downloads,
        pytest.raises(TransferError, match="told to end"),
    ):
        downloads.fetch(files.put("/a.png", drip))
    assert (len(files.seen), naps) == (1, [])


def through_a_proxy(files, monkeypatch, exception):
    """Fetch two images, with the file server as the proxy and as the one host that the proxy is not for."""
    monkeypatch.setattr("airflow_provider_qwenimage.images.hosts.is_public", lambda address: True)
    monkeypatch.setenv("http_proxy", files.url)
    monkeypatch.setenv("no_proxy", exception)
    files.put("/a.png", IMAGE)
    files.put("http://other.invalid/b.png", IMAGE)
    resolve = Loopback()
    with Downloads(resolve=resolve) as downloads:
        downloads.fetch(f"http://images.invalid:{files.port}/a.png").close()
        downloads.fetch("http://other.invalid/b.png").close()
    return resolve.asked, [(seen.path, seen.headers["host"]) for seen in files.seen]


@pytest.mark.parametrize("exception", ["images.invalid", "images.invalid:{port}", ".invalid:{port},x"])
def test_what_no_proxy_names_is_connected_to_where_it_was_checked(files, monkeypatch, exception):
    asked, seen = through_a_proxy(files, monkeypatch, exception.format(port=files.port))
    assert asked == ["images.invalid"]
    assert seen == [
        ("/a.png", f"images.invalid:{files.port}"),
        ("http://other.invalid/b.png", "other.invalid"),
    ]


def test_a_proxy_that_cannot_be_used_is_an_error_of_ours(files, downloads, monkeypatch):
    monkeypatch.setenv("http_proxy", "gopher://user:topsecret@proxy.invalid")
    monkeypatch.setenv("no_proxy", "elsewhere.invalid")
    with pytest.raises(TransferError, match="proxy") as caught:
        downloads.fetch(files.put("/a.png", IMAGE))
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "looks"),
    [
        (b"<!doctype html><title>Login</title>", "an HTML page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (XML.format("no", "").encode(), "an XML document"),
        (b'{"code": 1}', "JSON"),
        (b"", "an empty body"),
    ],
)
def test_what_is_no_image_is_refused_whatever_its_header_says(files, downloads, naps, body, looks):
    url = files.put("/a.png", Answer(body, headers={"Content-Type": "image/png"}))
    with pytest.raises(NotAnImage, match=looks):
        downloads.fetch(url)
    assert (len(files.seen), naps) == (1, [])


def test_an_image_its_host_holds_only_half_of_is_refused_at_once(files, downloads, naps):
    with pytest.raises(NotAnImage, match="truncated"):
        downloads.fetch(files.put("/a.png", IMAGE[:-20]))
    assert (len(files.seen), naps) == (1, [])


def test_data_urls_pass_the_same_checks():
    packed = base64.b64encode(IMAGE).decode()
    for url in (
        f"data:image/png;base64,{packed}",
        f"DATA:;name=a;base64,{packed}",
        f"data:image/png;base64,{packed}".replace("+", "%2B").replace("=", "%3d"),
        f"data:image/png;base64,{packed[:50]}\n {packed[50:]}%0A",
    ):
        with receive_data_url(url, max_bytes=10_000) as image:
            assert (image.body, image.facts.ext) == (IMAGE, "png")
    with receive_data_url(
        "data:image/png," + "".join(f"%{byte:02x}" for byte in IMAGE), max_bytes=10_000
    ) as image:
        assert image.body == IMAGE


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("data:image/png;base64", NotAnImage),
        ("data:image/png;base64,", NotAnImage),
        ("data:image/png;base64,AAAAA", NotAnImage),
        ("data:image/png;base64," + base64.b64encode(b"<html></html>").decode(), NotAnImage),
        ("data:image/png;base64," + base64.b64encode(IMAGE[:-9]).decode(), NotAnImage),
        ("data:image/png;base64," + "A" * 20_000, ImageTooLarge),
        ("data:image/svg+xml,<svg/>", NotAnImage),
        ("data:image/png;base64,iVBORw0KGgo\u00e9", NotAnImage),
        ("data:image/png;base64,iVBORw0KGgo\ud83d", NotAnImage),
        ("data:image/png;base64,iVBO*Rw0KGgo", NotAnImage),
        ("data:image/png,\ud83d", NotAnImage),
        ("data:" + ";" * 2000 + ",", NotAnImage),
        ("data:image/png," + "%41" * 2_000_000, NotAnImage),
    ],
)
def test_data_urls_that_hold_no_image_are_refused(url, error):
    with pytest.raises(error):
        receive_data_url(url, max_bytes=10_000)


@pytest.mark.parametrize("spell", [lambda packed: packed, lambda packed: packed.replace("/", "%2F")])
def test_a_data_url_is_the_same_wherever_its_blocks_end(spell):
    large = png(1, width=500, height=400)
    for lead in range(4):
        url = "data:image/png;base64," + " " * lead + spell(base64.b64encode(large).decode())
        with receive_data_url(url, max_bytes=10_000_000) as image:
            assert image.body == large


def test_inline_bytes_pass_the_same_checks():
    with receive_bytes(IMAGE, max_bytes=len(IMAGE)) as image:
        assert image.facts.width == 37
    with pytest.raises(ImageTooLarge):
        receive_bytes(IMAGE, max_bytes=len(IMAGE) - 1)
    with pytest.raises(NotAnImage):
        receive_bytes(b"{}", max_bytes=10)


def test_two_names_behind_one_address_share_no_tls_connection():
    from airflow_provider_qwenimage.images.hosts import Route

    with Downloads() as downloads:
        taken = [
            downloads._client(Route(f"{scheme}://47.92.1.1/x", name, name))
            for scheme, name in (
                ("https", "a.example"), ("https", "b.example"), ("https", "a.example"), ("http", "c.example"),
            )
        ]  # fmt: skip
    assert taken[0] is taken[2] is taken[3]
    assert taken[0] is not taken[1]
