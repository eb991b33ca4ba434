"""
Opens clients, for a gateway and for image hosts, fetches images as streams, and bounds what an exchange takes.

A read timeout begins anew with every byte, so a peer that drips headers or ``103`` answers is waited for without end.
"""

from __future__ import annotations

import hashlib
import ssl
import threading
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import httpx

from airflow_provider_qwenimage.defaults import READ_TIMEOUT
from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HttpClient = httpx.Client
AsyncHttpClient = httpx.AsyncClient


class _NoCookies(httpx.Cookies):
    def extract_cookies(self, response: httpx.Response) -> None:
        """Look for none: no host knows us again by one, and to look is a tenth of the CPU that a request takes."""


class _Client(httpx.Client):
    cookies = _NoCookies()  # type: ignore[override]


class _AsyncClient(httpx.AsyncClient):
    cookies = _NoCookies()  # type: ignore[override]


CONNECT_TIMEOUT = 10.0  # seconds; a gateway that takes no connection by then is not there

ENCODINGS = "gzip, deflate"  # what replies are asked for; anything else is refused
_WINDOWS = {"gzip": 31, "deflate": 15}  # zlib's own words for the two formats
_EXPANDED = 64 * 1024  # bytes; what is expanded at a time, so that a bound counts before the memory is full


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

    @property
    def account(self) -> str:
        """A digest of host and key: tells whether two requests were of one account, and nothing of the key."""
        return hashlib.sha256(f"{self.base_url}\n{self.key or ''}".encode()).hexdigest()[:16]

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
        return _Client(**self._options())

    def async_client(self, *, max_connections: int = 100) -> httpx.AsyncClient:
        """Open a client for ``arun``; the caller closes it."""
        return self.async_clients(max_connections, each=max_connections)[0]

    def async_clients(self, connections: int, *, each: int = 8) -> tuple[httpx.AsyncClient, ...]:
        """
        Open clients for ``connections`` at once; the caller closes them.

        Several, because the time a pool of httpcore takes for a request grows with the square of its connections.

        :param each: connections of one client.
        """
        import anyio._backends._asyncio  # noqa: F401 - the first request would load it, and leave after its moment

        options = self._options()
        options["verify"] = httpx.create_ssl_context(verify=options["verify"])  # read once for all
        limits = httpx.Limits(max_connections=each, max_keepalive_connections=each)
        return tuple(_AsyncClient(**options, limits=limits) for _ in range(-(-connections // each)))


def _tls(verify: bool | str) -> bool | ssl.SSLContext:
    """Return what httpx takes for ``verify``; raises ``InvalidRequest`` for a CA bundle that cannot be read."""
    if not isinstance(verify, str):
        return verify
    try:
        return ssl.create_default_context(cafile=verify)
    except OSError as error:
        raise InvalidRequest("verify", f"cannot read the CA bundle {verify!r}: {error.strerror}") from None


def longest(request: httpx.Request) -> float:
    """Return the seconds from connect to last byte: a read timeout for the first byte, and one for the rest."""
    timeout = request.extensions["timeout"]
    return float((timeout["connect"] or 0.0) + 2 * (timeout["read"] or 0.0))


class Deadline:
    """
    When an exchange has to be over: a context manager, inside which this thread reads and writes no longer.

    What takes longer ends with an ``httpx.TimeoutException``, if its request was sent as ``HEEDED``.

    :param seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def __enter__(self) -> Self:
        _UNDER_WAY.deadline = self
        return self

    def __exit__(self, *_: object) -> None:
        _UNDER_WAY.deadline = None

    @property
    def passed(self) -> bool:
        """Whether it has passed."""
        return time.monotonic() >= self._at

    def left(self, timeout: float | None) -> float:
        """Return the seconds that a read or write may take, ``timeout`` at most."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise httpx.ReadTimeout("the time of the exchange is over")
        return left if timeout is None else min(left, timeout)


_UNDER_WAY = threading.local()  # .deadline: of the exchange that this thread is in


def _opened(name: str, info: dict[str, Any]) -> None:
    """Let a connection heed deadlines, the one of its first exchange and those of later ones."""
    if name.endswith((".connect_tcp.complete", ".start_tls.complete")):
        stream = info["return_value"]
        stream.read, stream.write = _in_time(stream.read), _in_time(stream.write)
    elif name.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT":
        info["request"].extensions.pop("trace", None)  # its connection is open: what else is told is in vain


HEEDED = {"trace": _opened}  # the extensions of a request that heeds deadlines


def _in_time(method: Callable[..., Any]) -> Callable[..., Any]:
    def heeding(what: Any, timeout: float | None = None) -> Any:
        deadline: Deadline | None = getattr(_UNDER_WAY, "deadline", None)
        return method(what, timeout if deadline is None else deadline.left(timeout))

    return heeding


class NotTaken(httpx.DecodingError):
    """A body that is refused before it is read to its end."""


class Expanding:
    """
    Expands the body of a reply piece by piece.

    :raises NotTaken: for an encoding that was not asked for, or one within another.
    """

    def __init__(self, response: httpx.Response) -> None:
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", *_WINDOWS):
            raise NotTaken(f"the body has the encoding {encoding[:40]!r}, which was not asked for")
        self._inflate = zlib.decompressobj(_WINDOWS[encoding]) if encoding in _WINDOWS else None

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a chunk expands to, a bounded piece at a time."""
        if self._inflate is None:
            yield chunk
            return
        try:
            while chunk:
                yield self._inflate.decompress(chunk, _EXPANDED)
                chunk = self._inflate.unconsumed_tail
        except zlib.error as error:
            raise httpx.DecodingError(f"the body cannot be expanded: {error}") from error


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

    @property
    def encoding(self) -> str:
        """The encoding of the body, which was not asked for; empty for a plain one."""
        named = self.headers.get("content-encoding", "").strip()
        return "" if named.lower() == "identity" else named

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it arrives; raise ``StreamBroken`` where it breaks off."""
        try:
            yield from self._response.iter_bytes()
        except httpx.HTTPError as error:
            raise StreamBroken(redact(error) or type(error).__name__) from error


def image_client(
    *,
    verify: bool | str = True,
    max_connections: int = 16,
    timeout: float = 60.0,
    proxy: str | None = None,
) -> httpx.Client:
    """
    Open a client for image hosts: no credentials, no cookies kept, no redirects followed.

    :param proxy: its URL; the environment is not asked again, which may have meant another host than was checked.
    """
    context = httpx.create_ssl_context(verify=_tls(verify))  # reads SSL_CERT_FILE of the environment
    try:
        return _Client(
            verify=context,
            proxy=proxy,
            trust_env=False,
            timeout=httpx.Timeout(timeout, connect=CONNECT_TIMEOUT),
            limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
            follow_redirects=False,
        )
    except (ValueError, ImportError, httpx.InvalidURL) as error:  # such as SOCKS without the package for it
        raise TransferError(f"The proxy that the environment names cannot be used: {redact(error)}") from None


@contextmanager
def open_stream(
    client: httpx.Client,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    server_name: str | None = None,
    seconds: float = 600.0,
) -> Iterator[Stream]:
    """
    GET an image.

    :param server_name: the name TLS must prove, where ``url`` holds the address it was resolved to.
    :param seconds: until its headers have come, however they drip.
    :raises StreamBroken: on any network failure.
    """
    named: dict[str, Any] = {"sni_hostname": server_name} if server_name else {}
    with Deadline(seconds):
        try:
            extensions = named | HEEDED
            request = client.build_request("GET", url, headers=dict(headers or {}), extensions=extensions)
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
