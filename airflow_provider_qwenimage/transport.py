"""The only place that speaks HTTP: opens clients, drives flows, streams images."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

import httpx

from airflow_provider_qwenimage.defaults import READ_TIMEOUT
from airflow_provider_qwenimage.exceptions import (
    GatewayUnreachable,
    InvalidRequest,
    OutcomeUnknown,
    QwenImageError,
    UnexpectedReply,
)
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.wire.protocol import Call, Flow, Pause, Reply, body_of, join

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

Value = TypeVar("Value")
HttpClient = httpx.Client
AsyncHttpClient = httpx.AsyncClient

CONNECT_TIMEOUT = 10.0  # seconds; a gateway that takes no connection by then is not there
MAX_REPLY_BYTES = 512 * 1024 * 1024  # a dozen inline 4K images as base64 stay below; a runaway body does not
# After one of these the request never left: no connection, or none that speaks TLS.
_UNSENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,  # a header no request may have
)
_REAL_KEY = 16  # characters; engines are given words such as "none" or "x", which occur in any reply


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    Where a connection leads and how.

    :param base_url: scheme, host, port and path prefix.
    :param key: sent as a bearer token; never shown.
    :param timeout: read timeout in seconds.
    :param verify: TLS verification, or the path of a CA bundle.
    """

    base_url: str
    key: str | None
    timeout: float = READ_TIMEOUT
    verify: bool | str = True

    def __repr__(self) -> str:
        return f"Endpoint({self.base_url!r})"

    def _options(self) -> dict[str, Any]:
        try:
            base_url = httpx.URL(self.base_url)
        except httpx.InvalidURL as error:
            raise InvalidRequest("host", f"is not a URL that can be called: {redact(error)}") from None
        return {
            "base_url": base_url,
            "headers": {"Authorization": f"Bearer {self.key}"} if self.key else {},
            "timeout": httpx.Timeout(self.timeout, connect=min(CONNECT_TIMEOUT, self.timeout)),
            "verify": _tls(self.verify),
            "follow_redirects": False,  # a POST that is redirected may run twice
        }

    def client(self) -> httpx.Client:
        """Open a client for ``run``; the caller closes it."""
        return httpx.Client(**self._options())

    def async_client(self, *, max_connections: int = 100) -> httpx.AsyncClient:
        """Open a client for ``arun``; the caller closes it."""
        limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
        return httpx.AsyncClient(**self._options(), limits=limits)

    def async_clients(self, connections: int, *, each: int = 8) -> tuple[httpx.AsyncClient, ...]:
        """
        Open clients for ``connections`` at once; the caller closes them.

        Several, because the time a pool of httpcore takes for a request grows with the square of its connections.

        :param each: connections of one client.
        """
        options = self._options()
        options["verify"] = httpx.create_ssl_context(verify=options["verify"])  # read once for all
        limits = httpx.Limits(max_connections=each, max_keepalive_connections=each)
        return tuple(httpx.AsyncClient(**options, limits=limits) for _ in range(-(-connections // each)))


def _tls(verify: bool | str) -> bool | ssl.SSLContext:
    if not isinstance(verify, str):
        return verify
    try:
        return ssl.create_default_context(cafile=verify)
    except OSError as error:
        raise InvalidRequest("verify", f"cannot read the CA bundle {verify!r}: {error.strerror}") from None


class _Course(Generic[Value]):
    """Where a flow stands: the step it waits on, or ``None`` and its value."""

    def __init__(self, flow: Flow[Value]) -> None:
        self._flow = flow
        self.step: Call | Pause | None = None
        self.value: Value
        self.answer(None)

    def answer(self, reply: Reply | None) -> None:
        self._advance(lambda: self._flow.send(reply))

    def fail(self, failure: QwenImageError) -> None:
        self._advance(lambda: self._flow.throw(failure))

    def _advance(self, resume: Callable[[], Call | Pause]) -> None:
        try:
            self.step = resume()
        except StopIteration as stop:
            self.step, self.value = None, stop.value


def run(client: httpx.Client, flow: Flow[Value], *, sleep: Callable[[float], object] = time.sleep) -> Value:
    """Drive ``flow`` to its end: send its calls, sleep its pauses, throw network failures into it."""
    course = _Course(flow)
    while (step := course.step) is not None:
        if isinstance(step, Pause):
            sleep(step.seconds)
            course.answer(None)
            continue
        try:
            reply = _exchange(client, step)
        except QwenImageError as failure:
            course.fail(failure)
        else:
            course.answer(reply)
    return course.value


async def arun(
    client: httpx.AsyncClient,
    flow: Flow[Value],
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Value:
    """Drive ``flow`` as ``run`` does, without blocking the event loop."""
    course = _Course(flow)
    while (step := course.step) is not None:
        if isinstance(step, Pause):
            await sleep(step.seconds)
            course.answer(None)
            continue
        try:
            reply = await _aexchange(client, step)
        except QwenImageError as failure:
            course.fail(failure)
        else:
            course.answer(reply)
    return course.value


def _exchange(client: httpx.Client, call: Call) -> Reply:
    body = _Body()
    try:
        with client.stream(**_request(client, call)) as response:
            body.begin(response)
            for chunk in response.iter_bytes():
                body.add(chunk)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        body.break_off(error, call, client)
    return body.reply(client)


async def _aexchange(client: httpx.AsyncClient, call: Call) -> Reply:
    body = _Body()
    try:
        async with client.stream(**_request(client, call)) as response:
            body.begin(response)
            async for chunk in response.aiter_bytes():
                body.add(chunk)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        body.break_off(error, call, client)
    return body.reply(client)


def _request(client: httpx.Client | httpx.AsyncClient, call: Call) -> dict[str, Any]:
    """Spell a call as arguments of ``client.stream``."""
    request: dict[str, Any] = {
        "method": call.method,
        "url": join(str(client.base_url), call.path),
        "headers": dict(call.headers),
    }
    if call.json is not None:
        request["content"] = body_of(call.json)
        request["headers"].setdefault("Content-Type", "application/json")
    if call.parts:
        request["files"] = [
            (part.name, (part.filename, part.content, part.content_type)) for part in call.parts
        ]
        request["data"] = dict(call.form or {})
    if call.timeout is not None:
        request["timeout"] = httpx.Timeout(call.timeout, connect=min(CONNECT_TIMEOUT, call.timeout))
    return request


class _Body:
    """The reply as far as it has arrived."""

    def __init__(self) -> None:
        self._head: httpx.Response | None = None
        self._chunks: list[bytes] = []
        self._size = 0

    def begin(self, response: httpx.Response) -> None:
        self._head = response

    def add(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > MAX_REPLY_BYTES:
            raise UnexpectedReply(
                f"The gateway's reply is larger than {MAX_REPLY_BYTES // 2**20} MiB",
                advice="Ask for fewer or smaller images.",
            )
        self._chunks.append(chunk)

    def break_off(self, error: Exception, call: Call, client: httpx.Client | httpx.AsyncClient) -> None:
        """Say what a broken exchange means; a refusal whose body broke off is still a refusal."""
        if self._head is not None and self._head.status_code >= 400:
            return
        _explain(error, call, client)

    def reply(self, client: httpx.Client | httpx.AsyncClient) -> Reply:
        assert self._head is not None
        body = b"".join(self._chunks)
        # Headers are read raw: httpx guesses their encoding anew for every name it is asked for.
        key = next((value for name, value in client.headers.raw if name.lower() == b"authorization"), b"")
        key = key.removeprefix(b"Bearer ")
        if len(key) >= _REAL_KEY and key in body:  # some gateways quote the key they refuse
            body = body.replace(key, b"***")
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self._head.headers.raw
        }
        return Reply(status=self._head.status_code, headers=headers, body=body)


def _explain(error: Exception, call: Call, client: httpx.Client | httpx.AsyncClient) -> NoReturn:
    host = client.base_url.host
    what = redact(error) or type(error).__name__
    if isinstance(error, httpx.InvalidURL):
        raise InvalidRequest("host", f"is not a URL that can be called: {what}") from None
    if isinstance(error, _UNSENT):
        raise GatewayUnreachable(
            f"No connection to {host}: {what}",
            advice="Check host, port, TLS and proxy of the connection; a retry is free.",
        ) from error
    if not call.billable:
        raise GatewayUnreachable(f"{host} gave no answer: {what}", advice="A retry is free.") from error
    if isinstance(error, httpx.ReadTimeout):
        what = "no answer within the read timeout"
    raise OutcomeUnknown(
        f"The request was sent to {host} and its answer was lost: {what} ({type(error).__name__})",
        advice="Look at the gateway's usage log before paying again.",
    ) from error


class StreamBroken(Exception):
    """A GET for an image failed on the network; trying again costs nothing."""


@dataclass(frozen=True, slots=True)
class Stream:
    """
    The answer to a GET for an image; the body is read while it is consumed.

    :param headers: names in lower case.
    """

    status: int
    headers: Mapping[str, str]
    _response: httpx.Response

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it arrives; raise ``StreamBroken`` where it breaks off."""
        try:
            yield from self._response.iter_bytes()
        except httpx.HTTPError as error:
            raise StreamBroken(redact(error) or type(error).__name__) from error


def image_client(
    *, verify: bool | str = True, max_connections: int = 16, timeout: float = 60.0
) -> httpx.Client:
    """Open a client for image hosts: no credentials, no cookies kept, no redirects followed."""
    return httpx.Client(
        verify=_tls(verify),
        timeout=httpx.Timeout(timeout, connect=CONNECT_TIMEOUT),
        limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
    )


@contextmanager
def open_stream(
    client: httpx.Client,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    server_name: str | None = None,
) -> Iterator[Stream]:
    """
    GET an image.

    :param server_name: the name TLS must prove, where ``url`` holds the address it was resolved to.
    :raises StreamBroken: on any network failure.
    """
    extensions = {"sni_hostname": server_name} if server_name else {}
    request = client.build_request("GET", url, headers=dict(headers or {}), extensions=extensions)
    try:
        response = client.send(request, stream=True)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StreamBroken(redact(error) or type(error).__name__) from error
    try:
        yield Stream(
            response.status_code,
            {name.lower(): value for name, value in response.headers.items()},
            response,
        )
    finally:
        response.close()
