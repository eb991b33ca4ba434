"""What the answer of an image host means that is no image."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_qwenimage import transport
from airflow_provider_qwenimage.exceptions import ImageExpired, TransferError
from airflow_provider_qwenimage.redaction import redact, without_query
from airflow_provider_qwenimage.wire.links import moment
from airflow_provider_qwenimage.wire.protocol import retry_after

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAYBE_EXPIRED = frozenset({400, 401, 403, 404, 410})
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
_HEAD_BYTES = 4096  # of an error body: enough for the XML that object stores answer with
_EXPIRED_BODY = re.compile(rb"\bexpired\b", re.IGNORECASE)
_EXPIRES_BODY = re.compile(rb"<Expires>\s*+(\d{4}-\d\d-\d\dT[\d:.]++Z)\s*+</Expires>")


class PassingFailure(Exception):
    """This attempt failed in a way the next one may not."""

    def __init__(self, reason: str, *, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


def encoded(stream: transport.Stream, url: str) -> TransferError:
    """Return the error for a body that would have to be expanded: a little of it may be gigabytes."""
    how = redact(stream.encoding, limit=40)
    return TransferError(
        f"The image host answers {without_query(url)} with Content-Encoding {how}, which was not accepted",
        advice="Images are fetched as they are; let the host, or the proxy before it, send them so.",
    )


def refusal(
    stream: transport.Stream, body: Iterable[bytes], url: str, expires: datetime | None
) -> PassingFailure | TransferError:
    """
    Return what a status other than 200 means.

    :param body: read only as far as it takes to tell.
    :param expires: when the link dies, as far as it is known.
    """
    shown = without_query(url)
    if stream.status in _TEMPORARY:
        after = retry_after(stream.headers.get("retry-after", ""), now=time.time())
        return PassingFailure(f"the image host answers {stream.status}", after=after)
    if stream.status in _MAYBE_EXPIRED:
        head = b"" if stream.encoding else _head(body)
        if match := _EXPIRES_BODY.search(head):
            expires = moment(match[1].decode()) or expires
        now = datetime.now(UTC)
        if (expires and expires < now) or _EXPIRED_BODY.search(head):
            return _expired(shown, expires, now)
    return TransferError(
        f"The image host answers {stream.status} to {shown}",
        advice="Nothing is bought again; look whether the link is still valid.",
    )


def _head(body: Iterable[bytes]) -> bytes:
    head = b""
    try:
        for chunk in body:
            head += chunk
            if len(head) >= _HEAD_BYTES:
                break
    except transport.StreamBroken:
        return head  # the status is what counts
    return head[:_HEAD_BYTES]


def _expired(shown: str, expires: datetime | None, now: datetime) -> ImageExpired:
    ago = (
        f" {age(now - expires)} ago, at {expires:%Y-%m-%d %H:%M:%S} UTC" if expires and expires < now else ""
    )
    return ImageExpired(
        f"The link to {shown} expired{ago}",
        advice="Store images in the task that makes them (persist_to), or transfer them sooner.",
    )


def age(span: timedelta) -> str:
    """Spell a span of time in its two largest units: ``3 h 12 min``."""
    seconds = max(int(span.total_seconds()), 0)
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds} s"
