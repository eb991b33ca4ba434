"""Brings one image from where a gateway left it into a checked temporary file."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin, urlsplit

from airflow_provider_qwenimage import transport
from airflow_provider_qwenimage.exceptions import BlockedHost, TransferError
from airflow_provider_qwenimage.images.checked import MIB, Downloaded, check_size, receive
from airflow_provider_qwenimage.images.formats import TruncatedImage
from airflow_provider_qwenimage.images.hosts import Resolve, Route, Unresolved, route, system_resolve
from airflow_provider_qwenimage.images.refused import PassingFailure, encoded, refusal
from airflow_provider_qwenimage.redaction import redact, without_query
from airflow_provider_qwenimage.wire.links import expires_at

if TYPE_CHECKING:
    from datetime import datetime

Authorize = Callable[[str], dict[str, str]]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 20.0  # seconds
_MOST_DIGITS = 18  # of a Content-Length that can be a number of bytes
# No Accept-Encoding: bytes are hashed and stored as the gateway made them, and Content-Length counts them.
_HEADERS = {"Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Limits:
    """
    How far a download goes.

    :param max_bytes: of one image.
    :param attempts: requests for one image, redirects not counted; downloads cost nothing.
    :param seconds: from the first request to the last byte of one image, whatever happens on the way.
    """

    max_bytes: int = 64 * MIB
    allow_private_hosts: bool = False
    max_redirects: int = 5
    attempts: int = 4
    seconds: float = 600.0


def anonymous(_url: str) -> dict[str, str]:
    """Return no headers: image hosts get no credentials."""
    return {}


def never() -> bool:
    """Say that nobody has told the task to end."""
    return False


@dataclass
class Downloads:
    """
    Fetches images over HTTP, reusing connections; one serves all threads of a set.

    :param verify: TLS verification, or the path of a CA bundle.
    :param max_connections: how many threads fetch at once.
    :param timeout: of one read, in seconds; ``limits.seconds`` bounds the whole.
    :param sleep: waits between attempts.
    :param clock: seconds that only grow; what ``limits.seconds`` is measured by.
    :param stopped: whether the task was told to end; asked between any two chunks.
    :param authorize: the headers of a URL that the gateway itself serves (``Settings.headers_for``); asked
        again at each redirect, and not any more once a hop got none.
    """

    limits: Limits = field(default_factory=Limits)
    verify: bool | str = True
    max_connections: int = 16
    timeout: float = 60.0
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic
    stopped: Callable[[], bool] = never
    resolve: Resolve = system_resolve
    authorize: Authorize = anonymous
    _clients: dict[tuple[str | None, int], Any] = field(default_factory=dict, init=False, repr=False)
    _names: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()

    def fetch(self, url: str, *, expires: datetime | None = None) -> Downloaded:
        """
        Fetch one image, trying again after what may pass: a broken stream, a short body, 429, 5xx.

        :param expires: when the gateway said the link dies, for URLs that do not say it themselves.
        :raises TransferError: one of its kinds; none says that the image must be bought again.
        """
        patience = _Patience(self, ends=self.clock() + self.limits.seconds)
        for turn in range(self.limits.attempts):
            patience.check(url)
            try:
                return self._follow(url, expires, turn, patience)
            except (PassingFailure, Unresolved, transport.StreamBroken) as failure:
                last = failure
            if turn + 1 < self.limits.attempts:
                self.sleep(_pause(turn, getattr(last, "after", None)))
        raise TransferError(
            f"{without_query(url)} could not be fetched in {self.limits.attempts} attempts: {redact(last)}",
            advice="The image is paid; fetching it again is free while its link lives.",
        ) from last

    def _follow(self, url: str, expires: datetime | None, turn: int, patience: _Patience) -> Downloaded:
        expires = expires_at(url) or expires
        key = self.authorize(url)
        for _ in range(self.limits.max_redirects + 1):
            allow = self.limits.allow_private_hosts
            path = route(url, allow_private=allow, resolve=self.resolve, turn=turn)
            host = {"Host": path.host_header} if path.host_header else {}
            client = self._client(path)
            with transport.open_stream(
                client,
                path.url,
                headers={**_HEADERS, **host, **key},
                server_name=path.server_name,
                seconds=max(patience.left, 0.0),
            ) as stream:
                location = stream.headers.get("location")
                if stream.status in _REDIRECTS and location:
                    url = _redirected(url, location)
                    key = self.authorize(url) if key else key
                    continue
                return self._take(stream, url, expires_at(url) or expires, patience)
        raise TransferError(f"{without_query(url)} is behind more than {self.limits.max_redirects} redirects")

    def _take(
        self, stream: transport.Stream, url: str, expires: datetime | None, patience: _Patience
    ) -> Downloaded:
        chunks = patience.watch(stream.chunks(), url)
        if stream.status != 200:
            raise refusal(stream, chunks, url, expires)
        if stream.encoding:
            raise encoded(stream, url)
        length = stream.headers.get("content-length", "")
        if length.isdecimal():
            check_size(int(length[:_MOST_DIGITS]), max_bytes=self.limits.max_bytes)
        try:
            return receive(chunks, max_bytes=self.limits.max_bytes)
        except TruncatedImage as failure:
            if length or "transfer-encoding" in stream.headers:
                raise
            # Only the end of the connection marked the end of the body: it may have been cut off on its way.
            raise PassingFailure(failure.what) from failure

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
            if (path.proxy, place) not in self._clients:
                self._clients[path.proxy, place] = self._open(path.proxy)
            return self._clients[path.proxy, place]

    def _open(self, proxy: str | None) -> Any:
        return transport.image_client(
            verify=self.verify, max_connections=self.max_connections, timeout=self.timeout, proxy=proxy
        )


@dataclass(frozen=True, slots=True)
class _Patience:
    """
    How long one image is waited for.

    :param ends: of the clock.
    """

    downloads: Downloads
    ends: float

    @property
    def left(self) -> float:
        """Seconds until the time is over."""
        return self.ends - self.downloads.clock()

    def check(self, url: str) -> None:
        """Raise where the task was told to end, or the time is over."""
        if self.downloads.stopped():
            raise TransferError(f"The task was told to end before {without_query(url)} had come")
        if self.left < 0:
            raise TransferError(
                f"{without_query(url)} did not arrive within {self.downloads.limits.seconds:g} s",
                advice="The image is paid; fetching it again is free while its link lives.",
            )

    def watch(self, chunks: Iterator[bytes], url: str) -> Iterator[bytes]:
        """Yield the chunks, and check before each: a host may send one in a minute."""
        for chunk in chunks:
            self.check(url)
            yield chunk


def _pause(turn: int, after: float | None) -> float:
    if after is not None:
        return min(after, _LONGEST_PAUSE)
    return min(_FIRST_PAUSE * 2.0**turn, _LONGEST_PAUSE) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


def _redirected(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise BlockedHost(f"{without_query(url)} redirects to what is no URL") from None
