"""One prefix of an S3 bucket: list, put, copy and read objects through the amazon provider's hook."""

from __future__ import annotations

import base64
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO

_URI = re.compile(r"s3://([a-z0-9A-Z][a-zA-Z0-9.\-_]{1,254})(?:/(.*))?", re.DOTALL)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 18
_EXISTS = 412
_BUSY = 409  # another conditional write to the same key is under way
_CONDITION_UNKNOWN = frozenset({400, 501})  # servers that know no If-None-Match answer NotImplemented
_BUSY_ATTEMPTS = 3


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


@dataclass(frozen=True, slots=True)
class StoredObject:
    """
    An object that is being read; ``body`` must be closed.

    :param sha256: of its bytes, as its metadata tells; ``None`` where it does not.
    """

    uri: str
    size: int
    sha256: str | None
    etag: str
    body: Any

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive."""
        with _speaking("read", self.uri):
            yield from self.body.iter_chunks(_CHUNK)

    def head(self, size: int) -> bytes:
        """Return the first ``size`` bytes."""
        with _speaking("read", self.uri):
            return bytes(self.body.read(size))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.body.close()


class Bucket:
    """
    The objects under one prefix; safe to share between threads.

    :param prefix: ``s3://bucket/path/``.
    :param aws_conn_id: every option of the connection holds, its own botocore configuration included.
    :param max_connections: the connection pool holds at least as many.
    :param extra_args: for every object, as ``S3Hook`` takes them: ``ACL``, ``ServerSideEncryption``, …
    :param field: the argument that ``prefix`` came from, for the error.
    """

    def __init__(
        self,
        prefix: str,
        *,
        aws_conn_id: str | None = "aws_default",
        max_connections: int = 16,
        extra_args: Mapping[str, Any] | None = None,
        field: str = "s3_prefix",
    ) -> None:
        self.name, self.prefix = split_prefix(prefix, field=field)
        self._extra_args = _allowed(extra_args or {})
        self._client = _client(aws_conn_id, max_connections)
        self._conditional = True

    def uri(self, name: str) -> str:
        """Return the URI of the object ``name`` under the prefix."""
        return f"s3://{self.name}/{self.prefix}{name}"

    def reach(self) -> None:
        """Raise ``TransferError`` where the bucket cannot be listed; costs one small request."""
        with _speaking("list", self.uri("")):
            self._client.list_objects_v2(Bucket=self.name, Prefix=self.prefix, MaxKeys=1)

    def names(self, *, deep: bool = False) -> dict[str, int]:
        """Return name and size of what lies under the prefix, folders below it only when ``deep``."""
        options = {"Bucket": self.name, "Prefix": self.prefix} | ({} if deep else {"Delimiter": "/"})
        found: dict[str, int] = {}
        with _speaking("list", self.uri("")):
            for page in self._client.get_paginator("list_objects_v2").paginate(**options):
                for entry in page.get("Contents", ()):
                    found[entry["Key"].removeprefix(self.prefix)] = entry["Size"]
        return found

    def put(
        self,
        name: str,
        body: bytes | bytearray | IO[bytes],
        *,
        content_type: str,
        sha256: str,
        exclusive: bool = False,
    ) -> bool:
        """
        Write an object; return whether it was written.

        :param sha256: hexadecimal; becomes metadata, and the checksum the server holds the bytes against.
        :param exclusive: leave an object that exists alone, where the server honours the condition.
        """
        facts = self._facts(content_type, sha256)
        if facts.setdefault("ChecksumAlgorithm", "SHA256") == "SHA256":
            facts["ChecksumSHA256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
        return self._write(name, {**facts, "Body": body}, exclusive=exclusive)

    def put_text(self, name: str, text: bytes) -> None:
        """Write a JSON object."""
        facts = {key: value for key, value in self._extra_args.items() if key != "Metadata"}
        self._write(name, {**facts, "Body": text, "ContentType": "application/json"}, exclusive=False)

    def copy(self, uri: str, name: str, *, content_type: str, sha256: str, etag: str | None = None) -> None:
        """
        Copy an object on the server.

        :param etag: refuse where the object is another by now.
        """
        bucket, key = split_uri(uri, field="images")
        facts: dict[str, Any] = {"MetadataDirective": "REPLACE", **self._facts(content_type, sha256)}
        facts.setdefault("ChecksumAlgorithm", "SHA256")
        if "Tagging" in facts:
            facts["TaggingDirective"] = "REPLACE"
        if etag:
            facts["CopySourceIfMatch"] = etag
        source, target = {"Bucket": bucket, "Key": key}, self.prefix + name
        with _speaking("copy", uri):
            self._client.copy_object(Bucket=self.name, Key=target, CopySource=source, **facts)

    def open(self, uri: str) -> StoredObject:
        """Start to read an object of this or another bucket."""
        bucket, key = split_uri(uri, field="images")
        with _speaking("read", uri):
            answer = self._client.get_object(Bucket=bucket, Key=key)
        # Some servers capitalise the names of user metadata.
        metadata = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
        stated = str(metadata.get("sha256", "")).lower()
        return StoredObject(
            uri=uri,
            size=answer["ContentLength"],
            sha256=stated if _SHA256.fullmatch(stated) else None,
            etag=answer["ETag"],
            body=answer["Body"],
        )

    def delete(self, name: str) -> None:
        """Remove an object."""
        with _speaking("delete", self.uri(name)):
            self._client.delete_object(Bucket=self.name, Key=self.prefix + name)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _facts(self, content_type: str, sha256: str) -> dict[str, Any]:
        metadata = {**self._extra_args.get("Metadata", {}), "sha256": sha256}
        return {**self._extra_args, "ContentType": content_type, "Metadata": metadata}

    def _write(self, name: str, request: dict[str, Any], *, exclusive: bool) -> bool:
        from botocore.exceptions import ClientError

        body = request["Body"]
        if isinstance(body, bytes):
            # What is a file to botocore waits for ``100 Continue`` and goes out by 16 KiB; bytes are a file to it, an
            # array is not.
            body = request["Body"] = bytearray(body)
        with _speaking("write", self.uri(name)):
            for attempt in range(_BUSY_ATTEMPTS):
                condition = {"IfNoneMatch": "*"} if exclusive and self._conditional else {}
                if not isinstance(body, bytearray):
                    body.seek(0)
                try:
                    self._client.put_object(Bucket=self.name, Key=self.prefix + name, **request, **condition)
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
            raise TransferError(f"{self.uri(name)} could not be written: another writer keeps it busy")


def _names_condition(error: Any) -> bool:
    said = error.response.get("Error", {})
    return said.get("Code") == "NotImplemented" or "none-match" in str(said.get("Message", "")).lower()


def _client(aws_conn_id: str | None, max_connections: int) -> Any:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from botocore.config import Config

    # A hook's ``config`` replaces the connection's ``config_kwargs``, so ours is merged into them.
    config: Any = S3Hook(aws_conn_id=aws_conn_id).config
    pool = max(max_connections, getattr(config, "max_pool_connections", 0) or 0)
    # Over plain HTTP, botocore would hash every body a second time to sign it. The checksum is a signed header
    # already, and the server holds the body against it: the same proof for half the work.
    signing = {"payload_signing_enabled": False, **(getattr(config, "s3", None) or {})}
    ours = Config(max_pool_connections=pool, s3=signing)  # type: ignore[no-untyped-call]
    merged = config.merge(ours)
    return S3Hook(aws_conn_id=aws_conn_id, config=merged).get_conn()


def _allowed(extra_args: Mapping[str, Any]) -> dict[str, Any]:
    if not extra_args:
        return {}
    from boto3.s3.transfer import S3Transfer

    # The checksum is ours to give; only its kind may be chosen.
    known = {name for name in S3Transfer.ALLOWED_UPLOAD_ARGS if not name.startswith(("Checksum", "Mpu"))}
    unknown = sorted(set(extra_args) - known - {"ChecksumAlgorithm"})
    if unknown:
        raise InvalidRequest("extra_args", f"S3 takes no {', '.join(unknown)} with an image")
    return dict(extra_args)


@contextmanager
def _speaking(verb: str, uri: str) -> Iterator[None]:
    """Turn what botocore raises into an error that names the object and carries no credentials."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ParamValidationError

    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        reason = f"{said.get('Code', 'an error')} {said.get('Message', '')}".strip()
        raise TransferError(
            f"S3 did not {verb} {uri}: {redact(reason)}",
            advice="Check the bucket, and what the AWS connection may do there.",
        ) from error
    except ParamValidationError as error:
        raise InvalidRequest("extra_args", redact(error)) from error
    except (BotoCoreError, HTTPClientError) as error:
        raise TransferError(
            f"S3 could not {verb} {uri}: {redact(error)}", advice="Check the AWS connection; a retry is free."
        ) from error
