"""What links say: where a path leads, when the link of an image dies, which image or object they name."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, unquote, urlsplit

from airflow_provider_qwenimage.defaults import STORES
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.redaction import redact, without_query

# Date and lifetime of version 4 signatures: Amazon S3, Alibaba OSS, Google Cloud Storage, Volcengine TOS.
_V4_FAMILIES = ("x-amz", "x-oss", "x-goog", "x-tos")
_V4_DATE = "%Y%m%dT%H%M%SZ"
# Parameters that give the right to an image and do not choose which one.
_SIGNING = re.compile(
    r"expires|signature|ossaccesskeyid|awsaccesskeyid|googleaccessid|security-token|key-pair-id|policy"
    r"|x-(amz|goog|tos)-.*|x-oss-(?!process).*|x-cos-security-token|q-.*|s[verptd]|ske|sk[tsv]|skoid|sktid|spr|sig"
    r"|response-.*"
)
# A quarter of the time that parse_qsl takes; a name is looked for from its beginning only.
_PARAMETER = re.compile(r"(?<![\w-])([\w-]++)=([^&#]++)", re.ASCII)
_COS_SIGN_TIME = re.compile(r"\A\d++;(\d++)")
# Before an @ stands the Airflow connection, where it is named; files of the worker have no bucket.
_STORED = re.compile(
    r"(s3://[a-zA-Z0-9][\w.-]{1,254}|(?:gs|abfss?)://(?:[^/@\s]+@)?[a-zA-Z0-9][\w.-]{1,254}|file://(?=/))(?:/(.*))?",
    re.DOTALL | re.ASCII,
)


def join(base_url: str, path: str) -> str:
    """
    Join a base URL and a path; a prefix of the base URL is kept, what both name is named once.

    ``https://gw/proxy`` and ``https://gw/proxy/v1`` lead to the same ``/v1/images/generations``.
    """
    base = base_url.rstrip("/")
    scheme, _, rest = base.partition("://")
    segments = rest.split("/")[1:]
    wanted = path.lstrip("/").split("/")
    for count in range(min(len(segments), len(wanted)), 0, -1):
        if segments[-count:] == wanted[:count]:
            wanted = wanted[count:]
            break
    return "/".join([f"{scheme}://{rest}", *wanted])


def identity(url: str) -> str | None:
    """
    Return ``url`` without its signature, ``None`` where what is left does not name one image.

    ``view?filename=a.png`` and ``view?filename=b.png`` are two images: such a query cannot be dropped.
    """
    if url.startswith(STORES):
        return url
    try:
        parts = urlsplit(url)
        names = [key.lower() for key, _ in parse_qsl(parts.query, keep_blank_values=True)]
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not all(_SIGNING.fullmatch(name) for name in names):
        return None
    return without_query(url)


def split_uri(uri: object, *, field: str) -> tuple[str, str]:
    """
    Take ``s3://bucket/key`` apart: ``s3://bucket`` and ``key``.

    :raises InvalidRequest: naming ``field``.
    """
    match = _STORED.fullmatch(uri.strip()) if isinstance(uri, str) else None
    if match is None:
        forms = "s3://bucket/path/, gs://bucket/path/, abfs://container/path/ or file:///path/"
        raise InvalidRequest(field, f"must look like {forms}, got {redact(repr(uri), limit=80)}")
    return match[1], (match[2] or "").lstrip("/")


def split_prefix(uri: object, *, field: str) -> tuple[str, str]:
    """Take a prefix apart as ``split_uri`` does; what is not empty ends in a slash."""
    root, key = split_uri(uri, field=field)
    return root, f"{key.rstrip('/')}/" if key else ""


def split_object(uri: object, *, field: str = "images") -> tuple[str, str]:
    """Take the URI of one object apart as ``split_uri`` does; a bucket alone is none."""
    root, key = split_uri(uri, field=field)
    if not key:
        raise InvalidRequest(field, f"{uri} names a bucket and no key")
    return root, key


def lies_below(uri: str, prefix: str) -> bool:
    """Whether an object lies below ``s3://bucket/path/``; a name with ``..``, which some servers resolve, does not."""
    try:
        (root, key), (ours, path) = split_object(uri), split_prefix(prefix, field="prefix")
    except InvalidRequest:
        return False
    return root == ours and key.startswith(path) and not {".", ".."} & set(key[len(path) :].split("/"))


def expires_at(url: str) -> datetime | None:
    """
    Return the moment the signature of ``url`` ends, ``None`` where the URL does not say.

    :param url: any URL; ``data:`` and ``s3://`` have no end.
    """
    try:
        query = {key.lower(): unquote(value) for key, value in _PARAMETER.findall(url.partition("?")[2])}
        return _from_v4(query) or _from_epoch(query.get("expires")) or _from_cos(query) or _from_azure(query)
    except (ValueError, OverflowError, OSError):  # a number no calendar holds is no statement either
        return None


def moment(text: str | None) -> datetime | None:
    """Return the moment an ISO 8601 text names, ``None`` for any other text."""
    try:
        read = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return read.replace(tzinfo=UTC) if read and read.tzinfo is None else read


def _from_v4(query: dict[str, str]) -> datetime | None:
    for family in _V4_FAMILIES:
        signed, lifetime = query.get(f"{family}-date"), query.get(f"{family}-expires")
        if signed and lifetime:
            begin = datetime.strptime(signed, _V4_DATE).replace(tzinfo=UTC)
            return begin + timedelta(seconds=int(lifetime))
    return None


def _from_epoch(seconds: str | None) -> datetime | None:
    """Read ``Expires=`` of OSS version 1, S3 version 2 and CloudFront: seconds since 1970."""
    return datetime.fromtimestamp(int(seconds), UTC) if seconds and seconds.isdecimal() else None


def _from_cos(query: dict[str, str]) -> datetime | None:
    """Read ``q-sign-time=begin;end`` of Tencent COS."""
    match = _COS_SIGN_TIME.fullmatch(query.get("q-sign-time", ""))
    return _from_epoch(match[1]) if match else None


def _from_azure(query: dict[str, str]) -> datetime | None:
    """Read ``se`` of an Azure shared access signature."""
    if not (query.get("sig") and query.get("se")):
        return None
    return moment(query["se"])
