"""
Takes out of a text what must not reach a message, a log or XCom: keys, signed queries, image bytes.

Gateways choose these texts, so a text is cut before it is looked at, and no pattern here can backtrack: what repeats
is possessive, and no run is looked at from more than one start. ``tests/hostile/test_worst_cases.py`` feeds each
pattern the worst text it can be given.
"""

from __future__ import annotations

import re
import string
from urllib.parse import urlsplit, urlunsplit

# JSON quoted within JSON: & as \u0026, / as \/, and any letter of a key.
_ESCAPED = re.compile(r"(?<!\\)\\++(?:u00([2-7][0-9a-fA-F])|(/))")
_URL = re.compile(r"https?://[^\s\"'<>]++", re.IGNORECASE)
_ENCODED_URL = re.compile(r"(https?%(?:25)*+3a%(?:25)*+2f%(?:25)*+2f)([^\s\"'<>&]++)", re.IGNORECASE)
_ENCODED_QUERY = re.compile(r"%(?:25)*+(?:3f|23)", re.IGNORECASE)
_DATA_URL = re.compile(
    r"data:[\w.+-]{1,80}+/[\w.+-]{1,80}+;base64,[A-Za-z0-9+/=_-]*+", re.IGNORECASE | re.ASCII
)
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{200,}+={0,2}")
_BEARER = re.compile(r"(bearer\s++)\S++", re.IGNORECASE)
_KEY = re.compile(r"\bsk-[A-Za-z0-9_\-*.]{4,}+")
# What gives the right to an image where its URL has lost scheme or host: the name is looked for, not what leads to it.
_SIGNED = re.compile(
    r"((?:signature|credential|token|secret|access_?key(?:_?id)?|(?<![a-z])(?:sig|sign|ak|(?:auth|api)_?key))"
    r"(?:=|%(?:25)*+3d))(?:[^&\s\"'<>\\%]|%(?!(?:25)*+26))++",
    re.IGNORECASE,
)
# One of these is in whatever a pattern above finds, but for a long run; most texts have none.
_SUSPECT = re.compile(r"[\\:%=]|bearer|sk-", re.IGNORECASE)
_SHORT = 200  # characters; no run of base64 is found in fewer
_SPARE = 1024  # characters looked at beyond the limit, and as often again as the limit: much of a text goes
_WORD = string.ascii_letters + string.digits + "+/_-=.%~:?&@#*\\"  # what keys and signed URLs are written in


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
    said = str(text)
    if len(said) < _SHORT and len(said) <= limit and _SUSPECT.search(said) is None:
        return said
    clean = _head(said, 4 * limit + _SPARE)
    cut = len(clean) < len(said)
    clean = _ESCAPED.sub(lambda match: match[2] or chr(int(match[1], 16)), clean)
    clean = _DATA_URL.sub("data:…", clean)
    clean = _URL.sub(lambda match: without_query(match[0]), clean)
    clean = _ENCODED_URL.sub(lambda match: match[1] + _ENCODED_QUERY.split(match[2], 1)[0], clean)
    clean = _SIGNED.sub(r"\1***", clean)
    clean = _BASE64.sub("…", clean)
    clean = _BEARER.sub(r"\1***", clean)
    clean = _KEY.sub("sk-***", clean)
    return clean[:limit] + "…" if cut or len(clean) > limit else clean


def _head(text: str, longest: int) -> str:
    """Cut a text where a word ends: half a key is not known for one."""
    return text if len(text) <= longest else text[:longest].rstrip(_WORD)


def without_key(data: bytes, key: bytes) -> bytes:
    """
    Return ``data`` with ``***`` for a key, however JSON spells it: each of its characters may be escaped.

    :param data: a body or a header; gateways quote the key they refuse.
    """
    data = data.replace(key, b"***")
    if b"\\" not in data:
        return data
    spelled = b"".join(
        rb"(?:%s|\\u00(?i:%02x)|\\%s)" % (re.escape(letter), letter[0], re.escape(letter))
        for letter in (key[place : place + 1] for place in range(len(key)))
    )
    return re.sub(spelled, b"***", data)
