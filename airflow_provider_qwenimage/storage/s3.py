"""The one S3 client of an AWS connection: reads, writes and signs objects, and translates what botocore raises."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_qwenimage.defaults import MAX_CONCURRENCY
from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Seconds; a request ends within minutes, and one that waits for a rate limit is sent with the same link.
LINK_LIFETIME = 3600
_URI = re.compile(r"s3://([a-z0-9A-Z][a-zA-Z0-9.\-_]{1,254})(?:/(.*))?", re.DOTALL)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 18
_LOOKING = ("read", "list")
_EXISTS = 412
_BUSY = 409  # another conditional write to the same key is under way
_CONDITION_UNKNOWN = frozenset({400, 501})  # servers that know no If-None-Match answer NotImplemented
_BUSY_ATTEMPTS = 3
_ABSENT = ("NoSuchBucket", "NoSuchKey", "404")


def split_uri(uri: object, *, field: str) -> tuple[str, str]:
    """
    Take ``s3://bucket/key`` apart.

    :raises InvalidRequest: naming ``field``.
    """
    match = _URI.fullmatch(uri.strip()) if isinstance(uri, str) else None
    if match is None:
        raise InvalidRequest(field, f"must look like s3://bucket/path/, got {redact(repr(uri), limit=80)}")
    return match[1], (match[2] or "").lstrip("/")


def split_prefix(uri: object, *, field: str) -> tuple[str, str]:
    """Take a prefix apart as ``split_uri`` does; what is not empty ends in a slash."""
    bucket, key = split_uri(uri, field=field)
    return bucket, f"{key.rstrip('/')}/" if key else ""


def split_object(uri: object, *, field: str = "images") -> tuple[str, str]:
    """Take the URI of one object apart as ``split_uri`` does; a bucket alone is none."""
    bucket, key = split_uri(uri, field=field)
    if not key:
        raise InvalidRequest(field, f"{uri} names a bucket and no key")
    return bucket, key


def lies_below(uri: str, prefix: str) -> bool:
    """Whether an object lies below ``s3://bucket/path/``; a name with ``..``, which some servers resolve, does not."""
    try:
        (bucket, key), (ours, path) = split_object(uri), split_prefix(prefix, field="prefix")
    except InvalidRequest:
        return False
    return bucket == ours and key.startswith(path) and not {".", ".."} & set(key[len(path) :].split("/"))


@dataclass(frozen=True, slots=True)
class StoredObject:
    """
    An object that is being read; ``body`` must be closed.

    :param metadata: the author's and ours, names in lower case.
    :param etag: empty where the server gives none.
    """

    uri: str
    size: int
    metadata: Mapping[str, str]
    etag: str
    body: Any

    @property
    def sha256(self) -> str | None:
        """The digest of its bytes, as its metadata tells; ``None`` where it does not."""
        return stated_digest(self.metadata)

    @property
    def marks(self) -> dict[str, str]:
        """What its metadata tells of its marks of origin, and of how its bytes arrived."""
        from airflow_provider_qwenimage.images.origin import TOLD_IN_METADATA

        return {name: value for name, value in self.metadata.items() if name in TOLD_IN_METADATA}

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive."""
        with translated("read", self.uri):
            yield from self.body.iter_chunks(_CHUNK)

    def head(self, size: int) -> bytes:
        """Return the first ``size`` bytes."""
        with translated("read", self.uri):
            return bytes(self.body.read(size))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.body.close()


class S3:
    """
    What one AWS connection leads to; a context manager that many threads may share.

    The client is made at the first use: a task that needs none makes none.

    :param aws_conn_id: every option of the connection holds, its own botocore configuration included.
    :param max_connections: the connection pool holds at least as many.
    """

    def __init__(
        self, aws_conn_id: str | None = "aws_default", *, max_connections: int = MAX_CONCURRENCY
    ) -> None:
        self.aws_conn_id = aws_conn_id
        self._max_connections = max_connections
        self._made: Any = None
        self._conditional = True
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def client(self) -> Any:
        """The client of botocore."""
        with self._lock:
            if self._made is None:
                self._made = self._connected()
            return self._made

    def open(self, uri: str, *, span: tuple[int, int] | None = None) -> StoredObject:
        """
        Start to read an object.

        :param span: the first byte to read and the one after the last; ``size`` is then of what lies between.
        :raises TransferError: it cannot be read; ``status`` tells what S3 answered, where it did.
        """
        bucket, key = split_object(uri)
        with translated("read", uri, self.aws_conn_id):
            part = {} if span is None else {"Range": f"bytes={span[0]}-{span[1] - 1}"}
            answer = self.client.get_object(Bucket=bucket, Key=key, **part)
        return StoredObject(
            uri=uri,
            size=answer["ContentLength"],
            metadata=stated(answer),
            etag=answer.get("ETag", ""),
            body=answer["Body"],
        )

    def link(self, uri: str) -> str:
        """Return a URL that reads the object for an hour, with no key beside it."""
        bucket, key = split_object(uri)
        with translated("sign", uri, self.aws_conn_id):
            link = self.client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=LINK_LIFETIME
            )
        return str(link)

    def put(self, uri: str, request: dict[str, Any], *, exclusive: bool) -> bool:
        """
        Write an object; return whether it was written.

        :param request: arguments of ``put_object`` beside bucket and key.
        :param exclusive: leave an object that exists alone, where the server honours the condition.
        """
        from botocore.exceptions import ClientError

        bucket, key = split_object(uri)
        body = request["Body"]
        if isinstance(body, bytes):
            # What is a file to botocore waits for ``100 Continue`` and goes out by 16 KiB; bytes are a file to it, an
            # array is not.
            body = request["Body"] = bytearray(body)
        with translated("write", uri, self.aws_conn_id):
            for attempt in range(_BUSY_ATTEMPTS):
                condition = {"IfNoneMatch": "*"} if exclusive and self._conditional else {}
                if not isinstance(body, bytearray):
                    body.seek(0)
                try:
                    self.client.put_object(Bucket=bucket, Key=key, **request, **condition)
                except ClientError as error:
                    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                    if condition and status == _EXISTS:
                        return False
                    if condition and status in _CONDITION_UNKNOWN and _names_condition(error):
                        self._conditional = False
                    elif not (condition and status == _BUSY and attempt + 1 < _BUSY_ATTEMPTS):
                        raise
                else:
                    return True
            raise TransferError(f"{uri} could not be written: another writer keeps it busy")

    def close(self) -> None:
        """Close the connections, where any were opened."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.close()

    def _connected(self) -> Any:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook
        from botocore.config import Config

        # The connection's ``config_kwargs`` hold, so ours is merged into them. One hook: each says in the task's log
        # where its credentials come from.
        hook = S3Hook(aws_conn_id=self.aws_conn_id)
        config: Any = hook.config
        pool = max(self._max_connections, getattr(config, "max_pool_connections", 0) or 0)
        # Over plain HTTP, botocore would hash every body a second time to sign it. The checksum is a signed header
        # already, and the server holds the body against it: the same proof for half the work.
        signing = {"payload_signing_enabled": False, **(getattr(config, "s3", None) or {})}
        ours = Config(max_pool_connections=pool, s3=signing)  # type: ignore[no-untyped-call]
        client: Any = hook.get_client_type(region_name=hook.region_name, config=config.merge(ours))
        client.meta.events.register("choose-signer.s3.GetObject", _sign_links_with_version_4)
        return client


def _names_condition(error: Any) -> bool:
    said = error.response.get("Error", {})
    return said.get("Code") == "NotImplemented" or "none-match" in str(said.get("Message", "")).lower()


def stated(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the user metadata of an object; some servers capitalise its names."""
    return {name.lower(): str(value) for name, value in answer.get("Metadata", {}).items()}


def stated_digest(metadata: Mapping[str, str]) -> str | None:
    """Return the digest that the metadata of an object states, ``None`` where it states none."""
    digest = metadata.get("sha256", "").lower()
    return digest if _SHA256.fullmatch(digest) else None


def _sign_links_with_version_4(signature_version: str, **_: Any) -> str | None:
    """
    Choose the signature of links, where the connection chose none.

    Every S3-compatible server reads version 4; botocore's default for links is version 2. The client's own
    ``signature_version`` is no place for it: that would also overrule the sessions of S3 Express buckets.
    """
    return "s3v4-query" if signature_version == "v4-query" else None


@contextmanager
def translated(verb: str, uri: str, conn_id: str | None = None) -> Iterator[None]:
    """
    Turn what botocore raises into an error that names the object and carries no credentials.

    What is not there to be read or listed is not there on the next try either: such an error is final.

    :param conn_id: the AWS connection, where it is known.
    """
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        HTTPClientError,
        NoCredentialsError,
        ParamValidationError,
    )

    whose = f"the AWS connection {conn_id!r}" if conn_id else "the AWS connection"

    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        reason = f"{said.get('Code', 'an error')} {said.get('Message', '')}".strip()
        refused = TransferError(
            f"S3 did not {verb} {uri}: {redact(reason)}",
            status=error.response.get("ResponseMetadata", {}).get("HTTPStatusCode"),
            advice=f"Check the bucket, and what {whose} may do there.",
        )
        refused.final = verb in _LOOKING and said.get("Code") in _ABSENT
        raise refused from error
    except NoCredentialsError as error:
        missing = TransferError(
            f"S3 could not {verb} {uri}: {whose} gives no credentials, or does not exist, and the worker has none",
            advice="Create the connection in Airflow, or name another one in aws_conn_id.",
        )
        missing.final = verb in _LOOKING
        raise missing from error
    except ParamValidationError as error:
        raise InvalidRequest("extra_args", redact(error)) from error
    except (BotoCoreError, HTTPClientError) as error:
        raise TransferError(
            f"S3 could not {verb} {uri}: {redact(error)}", advice=f"Check {whose}; a retry is free."
        ) from error
