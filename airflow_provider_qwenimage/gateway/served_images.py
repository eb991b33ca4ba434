"""
Images that the gateway serves itself, beside its API: they are fetched with the connection's key.

SGLang answers edits with the relative URL ``/v1/images/{id}/content``, which takes the key (contract 6.4). To
every other URL the key is never sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from airflow_provider_qwenimage.wire.protocol import join

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_qwenimage.gateway.connection import Settings

_PORTS = {"http": 80, "https": 443}


def key_for(settings: Settings) -> Callable[[str], dict[str, str]]:
    """
    Return what ``Downloads.authorize`` takes: the key's header for URLs below the gateway's images route.

    Scheme, host, port and the path up to that route must be those of the connection, and the gateway an engine:
    the others leave their images with an object store, which is never shown the key.
    """
    endpoint = settings.endpoint
    if not settings.gateway.edits:
        return lambda _: {}
    route = urlsplit(join(endpoint.base_url, settings.gateway.generations).rpartition("/")[0])
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}

    def headers_for(url: str) -> dict[str, str]:
        return headers if _lies_below(url, route) else {}

    return headers_for


def _lies_below(url: str, route: SplitResult) -> bool:
    try:
        parts = urlsplit(url)
        same = _origin(parts) == _origin(route)
    except ValueError:  # a port that is no number
        return False
    climbs = {".", ".."} & set(unquote(parts.path).replace("\\", "/").split("/"))
    return same and "@" not in parts.netloc and not climbs and parts.path.startswith(f"{route.path}/")


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
