"""Fetches images: the body of a GET, read while it is consumed."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

import httpx

from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.transport.clients import CONNECT_TIMEOUT, tls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


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
        verify=tls(verify),
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
