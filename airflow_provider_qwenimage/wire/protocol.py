"""The words a flow and its driver speak: ``Call`` and ``Pause`` out, ``Reply`` in."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from airflow_provider_qwenimage.wire.documents import body_of

Value = TypeVar("Value")
_SECONDS = re.compile(r"\d{1,20}+(?:\.\d{1,20}+)?", re.ASCII)
_LONGEST_DATE = 64  # characters
_LONGEST_WAIT = 7 * 86400.0  # seconds; what is asked for beyond it fits into no calendar of Airflow's


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a multipart body."""

    name: str
    filename: str
    content: bytes = field(repr=False)
    content_type: str


@dataclass(frozen=True, slots=True)
class Call:
    """
    One HTTP request to the gateway.

    :param method: ``GET`` or ``POST``.
    :param path: joined to the base URL by the driver; a prefix of the base URL is kept.
    :param json: the body, ``None`` for none, for a form, or where ``body`` is it.
    :param body: the body spelled already, so that what it was made of can be let go.
    :param form: fields of a multipart body; used together with ``parts``.
    :param headers: beyond Authorization and Content-Type.
    :param timeout: read timeout in seconds where it differs from the connection's.
    :param billable: whether an answer that never comes may have cost money.
    :param keyed: it carries an idempotency key: the same may be asked for again, and is billed once.
    :param spare: fields of the body that are ours and not the author's: a gateway that refuses one of them is asked
        again without it.
    """

    method: str
    path: str
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    body: bytes | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    parts: tuple[Part, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    billable: bool = False
    keyed: bool = False
    spare: tuple[str, ...] = ()

    def without(self, name: str) -> Call:
        """Return the call without one field of its body."""
        return replace(
            self,
            json=_less(self.json, name),
            form=_less(self.form, name),
            body=None if self.body is None else body_of(_less(json.loads(self.body), name)),
            spare=tuple(kept for kept in self.spare if kept != name),
        )


def _less(fields: Mapping[str, Any] | None, name: str) -> Any:
    return None if fields is None else {key: value for key, value in fields.items() if key != name}


@dataclass(frozen=True, slots=True)
class Reply:
    """
    One HTTP answer, body read whole.

    :param headers: names in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def content_type(self) -> str:
        """The media type without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Pause:
    """A wait of ``seconds`` before the flow goes on."""

    seconds: float


# A driver answers a Call with a Reply, or throws GatewayUnreachable (nothing sent) or OutcomeUnknown (sent,
# nothing heard) into the flow; it answers a Pause with None.
Flow = Generator[Call | Pause, Reply | None, Value]


def retry_after(value: str, *, now: float) -> float | None:
    """
    Read the header ``Retry-After``: seconds, or an HTTP date; ``None`` when absent or unreadable.

    :param now: epoch seconds.
    """
    value = value.strip()[:_LONGEST_DATE]
    try:
        seconds = (
            float(value) if _SECONDS.fullmatch(value) else parsedate_to_datetime(value).timestamp() - now
        )
    except (ValueError, OverflowError, OSError, LookupError, TypeError):  # a date of no calendar
        return None
    return min(max(0.0, seconds), _LONGEST_WAIT)
