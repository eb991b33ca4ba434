"""A gateway that drips, or sends more than it seems to: every exchange ends, within bounds, as an error of ours."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from airflow_provider_qwenimage.exceptions import (
    GatewayUnreachable,
    OutcomeUnknown,
    TransferError,
    UnexpectedReply,
)
from airflow_provider_qwenimage.images.download import Downloads, Limits
from airflow_provider_qwenimage.transport import Endpoint, arun, run
from airflow_provider_qwenimage.transport import exchange as exchange_module
from airflow_provider_qwenimage.wire.protocol import Call

POST = Call("POST", "/v1/images/generations", json={"prompt": "a fox"}, billable=True)
POLL = Call("GET", "/api/v1/tasks/t-1")
TIMEOUT = 0.4  # seconds; the drips are closer together, so that it never fires
DRIP = 0.1
DAY = timedelta(days=1)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DRIPS = {
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-Later: yes\r\n"),
    "a header": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"),
    "103": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "a body": (HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
    "comments": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\n:\n\r\n"),
    "nothing": (b"", b""),
}


class Hostile:
    """
    Answers every connection with a beginning, then drips until the other side is gone.

    :param tls: what makes it speak TLS.
    """

    def __init__(self, first: bytes, drip: bytes, *, tls: ssl.SSLContext | None = None) -> None:
        self._first, self._drip, self._tls = first, drip, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._told = threading.Event()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._told.set()
        self._listener.close()

    def _serve(self):
        try:
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()
        except OSError:  # closed by the test
            return

    def _answer(self, connection):
        with self._tls.wrap_socket(connection, server_side=True) if self._tls else connection as spoken:
            self._speak(spoken)

    def _speak(self, connection):
        connection.recv(65536)
        try:
            connection.sendall(self._first)
            self._trickle(connection)
            self._told.wait(30 if not self._first else 0)
        except OSError:  # the other side has had enough
            return

    def _trickle(self, connection):
        while self._drip and not self._told.wait(DRIP):
            connection.sendall(self._drip)


class HostileLater(Hostile):
    """Answers the first request of a connection at once, and drips at the second."""

    def _trickle(self, connection):
        connection.recv(65536)
        super()._trickle(connection)


def ping(call):
    reply = yield call
    return reply


@pytest.fixture(params=["sync", "async"])
def ask(request):
    async def awaited(endpoint, call):
        async with endpoint.async_client() as client:
            return await arun(client, ping(call))

    def asked(url, call, *, timeout=TIMEOUT):
        endpoint = Endpoint(url, "a-key", timeout=timeout, verify=False)
        if request.param == "async":
            return asyncio.run(awaited(endpoint, call))
        with endpoint.client() as client:
            return run(client, ping(call))

    return asked


@pytest.mark.parametrize("kind", DRIPS)
def test_an_exchange_that_drips_ends_and_may_have_been_billed(ask, kind):
    with Hostile(*DRIPS[kind]) as gateway, pytest.raises(OutcomeUnknown, match=r"timeout|within") as lost:
        ask(gateway.url, POST)
    assert lost.value.billing == "maybe"


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """What speaks TLS with a certificate of its own making."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "drips")]),
    )
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + DAY)
    pem = tmp_path_factory.mktemp("tls") / "both.pem"
    pem.write_bytes(
        made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    return context


@pytest.mark.parametrize("kind", ["headers", "a body"])
def test_tls_keeps_nobody_waiting_longer(ask, kind, tls):
    with Hostile(*DRIPS[kind], tls=tls) as gateway, pytest.raises(OutcomeUnknown, match=r"timeout|within"):
        ask(gateway.url, POST)


class Tunnel(threading.Thread):
    """A proxy that lets one connection through, as ``CONNECT`` asks it to; a context manager."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._listener.close()

    def run(self):
        near, _ = self._listener.accept()
        port = int(near.recv(65536).split()[1].rpartition(b":")[2])
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._pass_on, args=(far, near), daemon=True)
            back.start()
            self._pass_on(near, far)
            back.join()

    @staticmethod
    def _pass_on(source, target):
        try:
            while heard := source.recv(65536):
                target.sendall(heard)
            target.shutdown(socket.SHUT_WR)
        except OSError:  # the other side has had enough
            return


def test_a_proxy_keeps_nobody_waiting_longer(ask, tls, monkeypatch):
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Hostile(*DRIPS["headers"], tls=tls) as gateway, Tunnel() as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
        with pytest.raises(OutcomeUnknown, match=r"timeout|within"):
            ask(gateway.url, POST)
    tunnel.join(30)
    assert not tunnel.is_alive()


def test_a_connection_that_is_taken_up_again_heeds_the_next_deadline_too():
    whole = HEAD + b"Content-Length: 2\r\n\r\n{}"
    early = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    with (
        HostileLater(whole, early) as gateway,
        Endpoint(gateway.url, "a-key", timeout=TIMEOUT).client() as client,
    ):
        assert run(client, ping(POST)).body == b"{}"
        with pytest.raises(OutcomeUnknown, match=r"timeout|within"):
            run(client, ping(POST))


def test_a_poll_that_drips_ends_and_cost_nothing(ask):
    with Hostile(*DRIPS["a body"]) as gateway, pytest.raises(GatewayUnreachable) as lost:
        ask(gateway.url, POLL)
    assert lost.value.billing == "no"


def whole(body: bytes, encoding: str) -> bytes:
    return HEAD + f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("encoding", ["gzip", "GZIP"])
def test_one_encoding_is_expanded(ask, encoding):
    with Hostile(whole(gzip.compress(b'{"data": []}'), encoding), b"") as gateway:
        assert ask(gateway.url, POST, timeout=5).body == b'{"data": []}'


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "gzip;q=1", "x" * 500])
def test_another_encoding_is_refused_before_anything_is_expanded(ask, encoding):
    twice = gzip.compress(gzip.compress(bytes(2**20)))
    with Hostile(whole(twice, encoding), b"") as gateway, pytest.raises(UnexpectedReply) as refused:
        ask(gateway.url, POST, timeout=5)
    assert "was not asked for" in str(refused.value)
    assert refused.value.billing == "maybe"


def test_a_body_is_expanded_no_further_than_a_reply_may_be(ask, monkeypatch):
    monkeypatch.setattr(exchange_module, "MAX_REPLY_BYTES", 2**20)
    bomb = gzip.compress(bytes(64 * 2**20))
    with Hostile(whole(bomb, "gzip"), b"") as gateway, pytest.raises(UnexpectedReply, match="larger than"):
        ask(gateway.url, POST, timeout=5)


def test_a_body_that_is_not_what_it_says_is_no_answer(ask):
    with Hostile(whole(b"not gzip at all", "gzip"), b"") as gateway, pytest.raises(OutcomeUnknown):
        ask(gateway.url, POST, timeout=5)


BOMB = r"""
import gzip, resource, socket, threading
from airflow_provider_qwenimage.exceptions import UnexpectedReply
from airflow_provider_qwenimage.transport import Endpoint, run
from airflow_provider_qwenimage.wire.protocol import Call

bomb = gzip.compress(gzip.compress(bytes(256 * 2**20)))
head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
listener = socket.create_server(("127.0.0.1", 0))

def serve():
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(head + bomb)
    connection.close()

threading.Thread(target=serve, daemon=True).start()

def ping():
    return (yield Call("POST", "/v1/images/generations", json={}, billable=True))

before = resource.getrusage(resource.RUSAGE_SELF)
with Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}", None).client() as client:
    try:
        run(client, ping())
    except UnexpectedReply:
        after = resource.getrusage(resource.RUSAGE_SELF)
        print(after.ru_utime - before.ru_utime, (after.ru_maxrss - before.ru_maxrss) / 1024)
"""


def test_a_bomb_costs_neither_time_nor_memory(in_subprocess):
    seconds, mebibytes = map(float, in_subprocess(BOMB).split()[-2:])
    assert seconds < 1
    assert mebibytes < 64


@pytest.mark.parametrize("kind", ["headers", "a header", "103"])
def test_an_image_host_that_drips_its_headers_is_left(kind):
    limits = Limits(allow_private_hosts=True, seconds=1.0, attempts=1)
    with (
        Hostile(*DRIPS[kind]) as host,
        Downloads(limits=limits) as downloads,
        pytest.raises(TransferError) as lost,
    ):
        downloads.fetch(f"{host.url}/a.png")
    assert lost.value.billing == "yes"
