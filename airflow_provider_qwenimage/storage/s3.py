"""The one S3 client of an AWS connection: reads, writes and signs objects, and translates what botocore raises."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_qwenimage.defaults import MAX_CONCURRENCY
from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.storage.stored import StoredObject, digest
from airflow_provider_qwenimage.wire.links import split_object, split_uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_qwenimage.storage.stored import Store

# Seconds; a request ends within minutes, and one that waits for a rate limit is sent with the same link.
LINK_LIFETIME = 3600
_LOOKING = ("read", "list")
_EXISTS = 412
_BUSY = 409  # another conditional write to the same key is under way
_CONDITION_UNKNOWN = frozenset({400, 501})  # servers that know no If-None-Match answer NotImplemented
_BUSY_ATTEMPTS = 3
_ABSENT = ("NoSuchBucket", "NoSuchKey", "404")


class S3:
    """
    What one AWS connection leads to; a context manager that many threads may share.

    The client is made at the first use: a task that needs none makes none. Objects of other stores are opened, too:
    an image or a file of rows may lie elsewhere than what is made of it.

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

    def at(self, uri: str) -> Store:
        """Return what speaks to the store that a URI is of: for S3 this client."""
        if uri.startswith("s3://"):
            return self
        if uri.startswith("file://"):
            from airflow_provider_qwenimage.storage.files import Files

            return Files()
        from airflow_provider_qwenimage.storage.cloud import store_of

        return store_of(uri)

    def open(self, uri: str, *, span: tuple[int, int] | None = None) -> StoredObject:
        """
        Start to read an object, of whatever store.

        :param span: the first byte to read and the one after the last; ``size`` is then of what lies between.
        :raises TransferError: it cannot be read; ``status`` tells what S3 answered, where it did.
        """
        root, key = split_object(uri)
        if root[:5] != "s3://":
            return self.at(root).open(uri.strip(), span=span)
        with translated("read", uri, self.aws_conn_id):
            part = {} if span is None else {"Range": f"bytes={span[0]}-{span[1] - 1}"}
            answer = self.client.get_object(Bucket=root[5:], Key=key, **part)
        return StoredObject(
            uri=uri,
            size=answer["ContentLength"],
            metadata=_stated(answer),
            etag=answer.get("ETag", ""),
            body=_Body(answer["Body"], uri),
        )

    def link(self, uri: str) -> str:
        """Return a URL that reads the object for an hour, with no key beside it."""
        bucket, key = _place(uri)
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

        bucket, key = _place(uri)
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

    def names(self, prefix: str, *, deep: bool) -> dict[str, int]:
        """Return name and size of what lies under a prefix, folders below it only when ``deep``."""
        root, path = split_uri(prefix, field="prefix")
        options = {"Bucket": root[5:], "Prefix": path} | ({} if deep else {"Delimiter": "/"})
        found: dict[str, int] = {}
        with translated("list", prefix, self.aws_conn_id):
            for page in self.client.get_paginator("list_objects_v2").paginate(**options):
                for entry in page.get("Contents", ()):
                    found[entry["Key"].removeprefix(path)] = entry["Size"]
        return found

    def copy(self, uri: str, target: str, request: dict[str, Any]) -> None:
        """Copy an object on the server; ``request`` holds further arguments of ``copy_object``."""
        (bucket, key), (source, source_key) = _place(target), _place(uri)
        place = {"Bucket": source, "Key": source_key}
        with translated("copy", uri, self.aws_conn_id):
            self.client.copy_object(Bucket=bucket, Key=key, CopySource=place, **request)

    def sha256(self, uri: str) -> str | None:
        """Return the digest in the metadata of an object, ``None`` for none."""
        bucket, key = _place(uri)
        with translated("read", uri, self.aws_conn_id):
            return digest(_stated(self.client.head_object(Bucket=bucket, Key=key)))

    def delete(self, uri: str) -> None:
        """Remove an object."""
        bucket, key = _place(uri)
        with translated("delete", uri, self.aws_conn_id):
            self.client.delete_object(Bucket=bucket, Key=key)

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


class _Body:
    """The bytes of an object as they arrive."""

    def __init__(self, body: Any, uri: str) -> None:
        self._body, self._uri = body, uri

    def read(self, size: int, /) -> bytes:
        with translated("read", self._uri):
            return bytes(self._body.read(size))

    def close(self) -> None:
        self._body.close()


def _names_condition(error: Any) -> bool:
    said = error.response.get("Error", {})
    return said.get("Code") == "NotImplemented" or "none-match" in str(said.get("Message", "")).lower()


def allowed(extra_args: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what an author wants of every object.

    :raises InvalidRequest: naming what an image takes none of.
    """
    from boto3.s3.transfer import S3Transfer

    # The checksum is ours to give; only its kind may be chosen.
    known = {name for name in S3Transfer.ALLOWED_UPLOAD_ARGS if not name.startswith(("Checksum", "Mpu"))}
    unknown = sorted(set(extra_args) - known - {"ChecksumAlgorithm"})
    if unknown:
        raise InvalidRequest("extra_args", f"S3 takes no {', '.join(unknown)} with an image")
    return dict(extra_args)


def _place(uri: str) -> tuple[str, str]:
    root, key = split_object(uri)
    return root[5:], key


def _stated(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the user metadata of an object; some servers capitalise its names."""
    return {name.lower(): str(value) for name, value in answer.get("Metadata", {}).items()}


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
