"""Takes out of a text what must not reach a message, a log or XCom: keys, signed queries, image bytes."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

# A backslash belongs to it: a signed URL quoted as JSON within JSON spells & as \u0026.
_URL = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)
_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,[A-Za-z0-9+/=_-]*", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{200,}={0,2}")
_BEARER = re.compile(r"(bearer\s+)\S+", re.IGNORECASE)
_KEY = re.compile(r"\bsk-[A-Za-z0-9_\-*.]{4,}")
# What gives the right to an image where its URL has lost scheme or host.
_SIGNED = re.compile(r"\b([\w-]*(?:signature|credential|token|accesskeyid)=)[^&\s\"'<>\\]+", re.IGNORECASE)


def without_query(url: str) -> str:
    """Return ``url`` without query, fragment and user info: the part that names the image, not the right to it."""
    try:
        parts = urlsplit(url)
    except ValueError:  # no URL after all, such as http://[x
        return f"{url.partition(':')[0]}://…"
    if not parts.scheme.lower().startswith("http"):
        return redact(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def redact(text: object, *, limit: int = 500) -> str:
    """
    Return ``text`` fit for an error message or a log line.

    :param text: whatever a gateway, an engine or a library said.
    :param limit: characters kept; what is longer is cut and marked.
    """
    clean = _DATA_URL.sub("data:…", str(text))
    clean = _URL.sub(lambda match: without_query(match[0]), clean)
    clean = _SIGNED.sub(r"\1***", clean)
    clean = _BASE64.sub("…", clean)
    clean = _BEARER.sub(r"\1***", clean)
    clean = _KEY.sub("sk-***", clean)
    return clean if len(clean) <= limit else clean[:limit] + "…"
