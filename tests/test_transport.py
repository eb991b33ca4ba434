"""What the network does to a call, on real sockets and through both drivers."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from airflow_provider_qwenimage.exceptions import (
    GatewayUnreachable,
    InvalidRequest,
    OutcomeUnknown,
    PermanentRefusal,
    UnexpectedReply,
)
from airflow_provider_qwenimage.transport import Endpoint, arun, run
from airflow_provider_qwenimage.transport import exchange as exchange_module
from airflow_provider_qwenimage.wire.documents import documents
from airflow_provider_qwenimage.wire.links import join
from airflow_provider_qwenimage.wire.protocol import Call, Part, Pause
from airflow_provider_qwenimage.wire.refusals import classify

KEY = "a-key-of-some-length-0123456789"
POST = Call("POST", "/v1/images/generations", json={"prompt": "a fox"}, billable=True)
POLL = Call("GET", "/api/v1/tasks/t-1")


class Peer:
    """A raw server that answers each connection with the next text, closes it, and keeps what it was sent."""

    def __init__(self, listener):
        self._listener = listener
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.answers: list[bytes] = []
        self.heard: list[bytes] = []

    def serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed by the test
                return
            with connection:
                self.heard.append(_request(connection))
                connection.sendall(self.answers.pop(0))


def _request(connection):
    heard = connection.recv(65536)
    while b"\r\n\r\n" not in heard and not heard.startswith(b"\x16"):  # how TLS says hello
        heard += connection.recv(65536) or b"\r\n\r\n"
    head, _, body = heard.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    while len(body) < length:
        body += connection.recv(65536) or b"\0" * length
    return head + b"\r\n\r\n" + body


@contextmanager
def peer():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Peer(listener)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture
def server():
    with peer() as running:
        yield running


def answer(status, body, *headers, length=None):
    size = len(body) if length is None else length
    # Each answer has its connection; one that was kept alive may end before or after the next request.
    lines = [f"HTTP/1.1 {status} X", f"content-length: {size}", "connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def one(call):
    """A flow of one call that gives its reply away."""
    return (yield call)


@pytest.fixture(params=["sync", "async"])
def exchange(request):
    """Send one call and return its reply."""

    def sync(endpoint, flow):
        with endpoint.client() as client:
            return run(client, flow)

    async def awaited(endpoint, flow):
        async with endpoint.async_client() as client:
            return await arun(client, flow)

    def through(url, call=POST, *, key=KEY, **fields):
        endpoint, flow = Endpoint(url, key, **fields), one(call)
        return sync(endpoint, flow) if request.param == "sync" else asyncio.run(awaited(endpoint, flow))

    return through


def test_a_reply_comes_whole_with_its_header_names_in_lower_case(exchange, server):
    server.answers = [
        answer(201, b"{}", "X-Request-Id: r-1", "Content-Type: Application/JSON; charset=utf-8")
    ]

    reply = exchange(server.url + "/proxy")

    assert (reply.status, reply.body, reply.content_type) == (201, b"{}", "application/json")
    assert reply.headers["x-request-id"] == "r-1"
    (heard,) = server.heard
    assert heard.startswith(b"POST /proxy/v1/images/generations HTTP/1.1\r\n")
    assert f"Authorization: Bearer {KEY}".encode() in heard
    assert heard.endswith(b'\r\n\r\n{"prompt":"a fox"}')


def test_text_goes_out_as_utf_8_and_headers_of_the_call_with_it(exchange, server):
    server.answers = [answer(200, b"{}")]

    exchange(server.url, Call("POST", "/x", json={"prompt": "狐狸"}, headers={"X-DashScope-SSE": "enable"}))

    assert '{"prompt":"狐狸"}'.encode() in server.heard[0]
    assert b"X-DashScope-SSE: enable" in server.heard[0]
    assert b"Content-Type: application/json" in server.heard[0]


def test_a_form_goes_out_with_its_files_in_order(exchange, server):
    server.answers = [answer(200, b"{}")]
    parts = (Part("image", "0.png", b"first", "image/png"), Part("image", "1.png", b"second", "image/png"))

    exchange(server.url, Call("POST", "/v1/images/edits", form={"n": "2"}, parts=parts, billable=True))

    heard = server.heard[0]
    assert b"multipart/form-data; boundary=" in heard
    assert heard.index(b'name="n"') < heard.index(b"first") < heard.index(b"second")


def test_without_a_key_no_authorization_is_sent(exchange, server):
    server.answers = [answer(200, b"{}")]
    exchange(server.url, key=None)

    assert b"authorization" not in server.heard[0].lower()


def test_a_redirect_is_not_followed(exchange, server):
    server.answers = [answer(307, b"", f"location: {server.url}/elsewhere")]

    assert exchange(server.url).status == 307
    assert len(server.heard) == 1


FIRST = """
import asyncio, encodings.idna, sys  # a worker has looked up a host before
from airflow_provider_qwenimage.transport import Endpoint, arun, run
from airflow_provider_qwenimage.wire.protocol import Call

def one():
    return (yield Call("POST", "/v1/images/generations", json={}, billable=True))

def told(loaded):
    print(*sorted(set(sys.modules) - loaded))

async def awaited(endpoint):
    async with endpoint.async_client() as client:
        loaded = set(sys.modules)
        await arun(client, one())
        told(loaded)

endpoint = Endpoint(sys.argv[1], None)
if sys.argv[2] == "async":
    asyncio.run(awaited(endpoint))
else:
    with endpoint.client() as client:
        loaded = set(sys.modules)
        run(client, one())
        told(loaded)
"""


@pytest.mark.parametrize("driver", ["sync", "async"])
def test_the_first_request_loads_nothing_so_it_leaves_at_its_moment(server, driver):
    server.answers = [answer(200, b"{}")]

    command = [sys.executable, "-c", FIRST, server.url, driver]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)

    assert ran.stdout.split() == []


def test_a_cookie_is_kept_for_no_later_request(server):
    server.answers = [answer(200, b"{}", "set-cookie: known=again; Path=/"), answer(200, b"{}")]

    with Endpoint(server.url, KEY).client() as client:
        for _ in range(2):
            run(client, one(POST))

    assert [b"cookie" in heard.lower() for heard in server.heard] == [False, False]


@pytest.mark.parametrize("call", [POST, POLL], ids=["post", "poll"])
def test_no_connection_means_nothing_was_sent(exchange, call):
    with socket.socket() as taken:  # bound and not listening: refused for as long as it is held
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(GatewayUnreachable, match=r"No connection to 127\.0\.0\.1") as raised:
            exchange(f"http://127.0.0.1:{taken.getsockname()[1]}", call)

    assert raised.value.billing == "no"


def test_a_server_that_speaks_no_tls_was_sent_nothing(exchange, server):
    server.answers = [b"not tls at all\r\n"] * 2
    with pytest.raises(GatewayUnreachable):
        exchange(server.url.replace("http:", "https:"))


@pytest.mark.parametrize(
    "answered",
    [b"", b"HTTP/1.1 200 OK\r\n", answer(200, b'{"data"', length=500), b"\x00\x01 no http\r\n\r\n"],
    ids=["nothing", "half a head", "half a body", "no http"],
)
def test_an_answer_that_is_lost_leaves_a_post_unknown_and_a_poll_free(exchange, server, answered):
    server.answers = [answered] * 2

    with pytest.raises(OutcomeUnknown, match="its answer was lost") as raised:
        exchange(server.url)
    assert raised.value.billing == "maybe"
    with pytest.raises(GatewayUnreachable, match="gave no answer"):
        exchange(server.url, POLL)


def test_a_body_that_cannot_be_unpacked_was_sent_all_the_same(exchange, server):
    server.answers = [answer(200, b"no gzip", "content-encoding: gzip")]

    with pytest.raises(OutcomeUnknown):
        exchange(server.url)


def test_a_read_timeout_on_a_post_is_an_unknown_outcome(exchange):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the request and says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(OutcomeUnknown, match="no answer within the read timeout"):
            exchange(url, timeout=0.2)
        with pytest.raises(GatewayUnreachable):
            exchange(url, Call("GET", "/", timeout=0.2))


def test_a_refusal_whose_body_broke_off_is_still_a_refusal(exchange, server):
    server.answers = [answer(401, b'{"error', length=500)]

    reply = exchange(server.url)

    assert isinstance(classify(reply, documents(reply), now=0), PermanentRefusal)


def test_a_reply_without_end_is_cut_off(exchange, server, monkeypatch):
    monkeypatch.setattr(exchange_module, "MAX_REPLY_BYTES", 1000)
    server.answers = [answer(200, b"x" * 1001)]

    with pytest.raises(UnexpectedReply, match="larger than"):
        exchange(server.url)


def test_a_key_that_the_gateway_quotes_is_taken_out(exchange, server):
    server.answers = [answer(401, f'{{"error": {{"message": "Incorrect key: {KEY}"}}}}'.encode())]

    reply = exchange(server.url)

    assert KEY not in str(classify(reply, documents(reply), now=0))
    assert b"Incorrect key: ***" in reply.body


def test_a_word_that_stands_for_a_key_does_not_spoil_the_reply(exchange, server):
    body = b'{"data": [{"url": "https://cdn.example/image/none.png"}]}'
    server.answers = [answer(200, body)]

    assert exchange(server.url, key="image").body == body


@pytest.mark.parametrize(
    "value", [dt.date(2026, 1, 1), float("nan"), "\ud83d", {1, 2}], ids=["date", "nan", "surrogate", "set"]
)
def test_what_is_no_json_is_refused_before_it_is_sent(exchange, server, value):
    with pytest.raises(InvalidRequest, match="parameters: cannot be sent as JSON"):
        exchange(server.url, Call("POST", "/", json={"parameters": {"when": value}}, billable=True))

    assert server.heard == []


def test_a_host_that_is_no_url_names_its_field(exchange):
    with pytest.raises(InvalidRequest, match="host: is not a URL"):
        exchange("http://gw.example:port")


def test_a_ca_bundle_that_cannot_be_read_names_its_field(exchange, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")

    for path in (tmp_path / "missing.pem", empty, tmp_path):
        with pytest.raises(InvalidRequest, match="verify: cannot read the CA bundle"):
            exchange("https://gw.example", verify=str(path))


def test_the_key_is_in_no_text_of_an_endpoint():
    assert KEY not in f"{Endpoint('https://gw.example', KEY)!r}{Endpoint('https://gw.example', KEY)}"


# --- drivers


def patient():
    """Three polls with pauses; network failures are thrown into it."""
    seen = []
    for _ in range(3):
        try:
            reply = yield POLL
        except GatewayUnreachable as failure:
            seen.append(type(failure).__name__)
        else:
            seen.append(reply.status)
        yield Pause(5.0)
    return seen


@pytest.mark.parametrize("driver", ["sync", "async"])
def test_a_driver_sends_sleeps_and_throws_failures_into_the_flow(server, driver):
    server.answers = [answer(200, b"{}"), b"", answer(503, b"{}")]
    pauses: list[float] = []

    async def asleep(seconds):
        pauses.append(seconds)

    async def main():
        async with Endpoint(server.url, KEY).async_client() as client:
            return await arun(client, patient(), sleep=asleep)

    if driver == "async":
        seen = asyncio.run(main())
    else:
        with Endpoint(server.url, KEY).client() as client:
            seen = run(client, patient(), sleep=pauses.append)

    assert seen == [200, "GatewayUnreachable", 503]
    assert pauses == [5.0, 5.0, 5.0]


def test_a_flow_that_needs_nothing_ends_at_once():
    def idle():
        return 7
        yield

    with Endpoint("http://gw.example", None).client() as client:
        assert run(client, idle()) == 7


def test_a_cancelled_driver_sends_nothing_more(server):
    server.answers = [answer(200, b"{}")]

    async def main():
        reached = asyncio.Event()

        async def asleep(_seconds):
            reached.set()
            await asyncio.Event().wait()

        async with Endpoint(server.url, KEY).async_client() as client:
            task = asyncio.create_task(arun(client, patient(), sleep=asleep))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert len(server.heard) == 1


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("https://gw", "/v1/images/generations", "https://gw/v1/images/generations"),
        ("https://gw/", "/v1/models", "https://gw/v1/models"),
        ("https://gw/v1", "/v1/images/generations", "https://gw/v1/images/generations"),
        ("https://gw/v1/", "/v1/models", "https://gw/v1/models"),
        ("https://gw/proxy", "/v1/models", "https://gw/proxy/v1/models"),
        ("https://gw/proxy/v1", "/v1/models", "https://gw/proxy/v1/models"),
        ("https://gw/proxy", "/proxy/v1/images/i/content", "https://gw/proxy/v1/images/i/content"),
        ("https://gw:8443/api/v1", "/api/v1/tasks/t-1", "https://gw:8443/api/v1/tasks/t-1"),
        ("https://v1", "/v1/models", "https://v1/v1/models"),
        (
            "https://gw",
            "/api/v1/tasks?page_no=1&page_size=1",
            "https://gw/api/v1/tasks?page_no=1&page_size=1",
        ),
    ],
)
def test_a_prefix_of_the_host_is_kept_and_what_both_name_is_named_once(base, path, url):
    assert join(base, path) == url
