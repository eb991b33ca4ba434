"""Brings one image from where a gateway left it into a checked temporary file."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

from airflow_provider_qwenimage import transport
from airflow_provider_qwenimage.exceptions import ImageExpired, TransferError
from airflow_provider_qwenimage.images.checked import MIB, Downloaded, check_size, receive
from airflow_provider_qwenimage.images.formats import TruncatedImage
from airflow_provider_qwenimage.images.hosts import Resolve, Route, Unresolved, route, system_resolve
from airflow_provider_qwenimage.redaction import redact, without_query
from airflow_provider_qwenimage.wire.links import expires_at
from airflow_provider_qwenimage.wire.protocol import retry_after

Authorize = Callable[[str], dict[str, str]]

_HEAD_BYTES = 4096  # of an error body: enough for the XML that object stores answer with
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAYBE_EXPIRED = frozenset({400, 401, 403, 404, 410})
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
_EXPIRED_BODY = re.compile(rb"\bexpired\b", re.IGNORECASE)
_EXPIRES_BODY = re.compile(rb"<Expires>\s*(\d{4}-\d\d-\d\dT[\d:.]+Z)\s*</Expires>")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 20.0  # seconds
# No Accept-Encoding: bytes are hashed and stored as the gateway made them, and Content-Length counts them.
_HEADERS = {"Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Limits:
    """
    How far a download goes.

    :param max_bytes: of one image.
    :param attempts: requests for one image, redirects not counted; downloads cost nothing.
    """

    max_bytes: int = 64 * MIB
    allow_private_hosts: bool = False
    max_redirects: int = 5
    attempts: int = 4


class _Again(Exception):
    """This attempt failed in a way the next one may not."""

    def __init__(self, reason: str, *, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


def anonymous(_url: str) -> dict[str, str]:
    """Return no headers: image hosts get no credentials."""
    return {}


@dataclass
class Downloads:
    """
    Fetches images over HTTP, reusing connections; one serves all threads of a set.

    :param verify: TLS verification, or the path of a CA bundle.
    :param max_connections: how many threads fetch at once.
    :param sleep: waits between attempts.
    :param authorize: the headers of a URL that the gateway itself serves (``Settings.headers_for``); asked
        again at each redirect, and not any more once a hop got none.
    """

    limits: Limits = field(default_factory=Limits)
    verify: bool | str = True
    max_connections: int = 16
    timeout: float = 60.0
    sleep: Callable[[float], object] = time.sleep
    resolve: Resolve = system_resolve
    authorize: Authorize = anonymous
    _clients: list[Any] = field(default_factory=list, init=False, repr=False)
    _names: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()

    def fetch(self, url: str, *, expires: datetime | None = None) -> Downloaded:
        """
        Fetch one image, trying again after what may pass: a broken stream, a short body, 429, 5xx.

        :param expires: when the gateway said the link dies, for URLs that do not say it themselves.
        :raises TransferError: one of its kinds; none says that the image must be bought again.
        """
        for turn in range(self.limits.attempts):
            try:
                return self._follow(url, expires, turn)
            except (_Again, Unresolved, transport.StreamBroken) as failure:
                last = failure
            if turn + 1 < self.limits.attempts:
                self.sleep(_pause(turn, getattr(last, "after", None)))
        raise TransferError(
            f"{without_query(url)} could not be fetched in {self.limits.attempts} attempts: {redact(last)}",
            advice="The image is paid; fetching it again is free while its link lives.",
        ) from last

    def _follow(self, url: str, expires: datetime | None, turn: int) -> Downloaded:
        expires = expires_at(url) or expires
        key = self.authorize(url)
        for _ in range(self.limits.max_redirects + 1):
            allow = self.limits.allow_private_hosts
            path = route(url, allow_private=allow, resolve=self.resolve, turn=turn)
            host = {"Host": path.host_header} if path.host_header else {}
            client = self._client(path)
            with transport.open_stream(
                client, path.url, headers={**_HEADERS, **host, **key}, server_name=path.server_name
            ) as stream:
                location = stream.headers.get("location")
                if stream.status in _REDIRECTS and location:
                    url = urljoin(url, location)
                    key = self.authorize(url) if key else key
                    continue
                return self._take(stream, url, expires_at(url) or expires)
        raise TransferError(f"{without_query(url)} is behind more than {self.limits.max_redirects} redirects")

    def _take(self, stream: transport.Stream, url: str, expires: datetime | None) -> Downloaded:
        if stream.status != 200:
            raise _refusal(stream, url, expires)
        length = stream.headers.get("content-length", "")
        if length.isdecimal():
            check_size(int(length), max_bytes=self.limits.max_bytes)
        try:
            return receive(stream.chunks(), max_bytes=self.limits.max_bytes)
        except TruncatedImage as failure:
            if length or "transfer-encoding" in stream.headers:
                raise
            # Only the end of the connection marked the end of the body: it may have been cut off on its way.
            raise _Again(failure.what) from failure

    def _client(self, path: Route) -> Any:
        """
        Return a client whose open connections prove the right name.

        Connections are pooled by address, and two names behind one (any CDN) must not share a TLS session.
        """
        with self._lock:
            place = 0
            if path.server_name and path.url.startswith("https:"):
                names = self._names.setdefault(urlsplit(path.url).netloc, [])
                if path.server_name not in names:
                    names.append(path.server_name)
                place = names.index(path.server_name)
            while len(self._clients) <= place:
                self._clients.append(self._open())
            return self._clients[place]

    def _open(self) -> Any:
        return transport.image_client(
            verify=self.verify, max_connections=self.max_connections, timeout=self.timeout
        )


def _pause(turn: int, after: float | None) -> float:
    if after is not None:
        return min(after, _LONGEST_PAUSE)
    return min(_FIRST_PAUSE * 2.0**turn, _LONGEST_PAUSE) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


def _refusal(stream: transport.Stream, url: str, expires: datetime | None) -> Exception:
    shown = without_query(url)
    if stream.status in _TEMPORARY:
        after = retry_after(stream.headers.get("retry-after", ""), now=time.time())
        return _Again(f"the image host answers {stream.status}", after=after)
    if stream.status in _MAYBE_EXPIRED:
        body = _head(stream)
        if match := _EXPIRES_BODY.search(body):
            expires = datetime.fromisoformat(match[1].decode())
        now = datetime.now(UTC)
        if (expires and expires < now) or _EXPIRED_BODY.search(body):
            return _expired(shown, expires, now)
    return TransferError(
        f"The image host answers {stream.status} to {shown}",
        advice="Nothing is bought again; look whether the link is still valid.",
    )


def _expired(shown: str, expires: datetime | None, now: datetime) -> ImageExpired:
    ago = (
        f" {age(now - expires)} ago, at {expires:%Y-%m-%d %H:%M:%S} UTC" if expires and expires < now else ""
    )
    return ImageExpired(
        f"The link to {shown} expired{ago}",
        advice="Store images in the task that makes them (persist_to), or transfer them sooner.",
    )


def _head(stream: transport.Stream) -> bytes:
    body = b""
    try:
        for chunk in stream.chunks():
            body += chunk
            if len(body) >= _HEAD_BYTES:
                break
    except transport.StreamBroken:
        return body  # the status is what counts
    return body[:_HEAD_BYTES]


def age(span: timedelta) -> str:
    """Spell a span of time in its two largest units: ``3 h 12 min``."""
    seconds = max(int(span.total_seconds()), 0)
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds} s"
