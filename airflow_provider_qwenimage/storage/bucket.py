"""The objects under one prefix of a bucket: listed, read, written once, copied on the server, deleted."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.storage.s3 import split_object, split_prefix, stated_digest, translated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    from airflow_provider_qwenimage.storage.s3 import S3, StoredObject

_EXISTS = 412
_BUSY = 409  # another conditional write to the same key is under way
_CONDITION_UNKNOWN = frozenset({400, 501})  # servers that know no If-None-Match answer NotImplemented
_BUSY_ATTEMPTS = 3


class Bucket:
    """
    The objects under one prefix; safe to share between threads.

    :param prefix: ``s3://bucket/path/``.
    :param s3: whoever opened it closes it.
    :param extra_args: for every object, as ``S3Hook`` takes them: ``ACL``, ``ServerSideEncryption``, …
    :param field: the argument that ``prefix`` came from, for the error.
    """

    def __init__(
        self,
        prefix: str,
        s3: S3,
        *,
        extra_args: Mapping[str, Any] | None = None,
        field: str = "s3_prefix",
    ) -> None:
        self.name, self.prefix = split_prefix(prefix, field=field)
        self._extra_args = _allowed(extra_args or {})
        self._s3 = s3
        self._conditional = True

    def uri(self, name: str) -> str:
        """Return the URI of the object ``name`` under the prefix."""
        return f"s3://{self.name}/{self.prefix}{name}"

    def names(self, *, deep: bool = False) -> dict[str, int]:
        """Return name and size of what lies under the prefix, folders below it only when ``deep``."""
        options = {"Bucket": self.name, "Prefix": self.prefix} | ({} if deep else {"Delimiter": "/"})
        found: dict[str, int] = {}
        with translated("list", self.uri(""), self._s3.aws_conn_id):
            for page in self._s3.client.get_paginator("list_objects_v2").paginate(**options):
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
        """Write a JSON object; its checksum goes in a header: some servers refuse the trailer that botocore sends."""
        facts = {key: value for key, value in self._extra_args.items() if key != "Metadata"}
        facts |= {"Body": text, "ContentType": "application/json", "ChecksumAlgorithm": "SHA256"}
        facts["ChecksumSHA256"] = base64.b64encode(hashlib.sha256(text).digest()).decode()
        self._write(name, facts, exclusive=False)

    def copy(self, uri: str, name: str, *, content_type: str, sha256: str, etag: str | None = None) -> None:
        """
        Copy an object on the server.

        :param etag: refuse where the object is another by now.
        """
        bucket, key = split_object(uri)
        facts: dict[str, Any] = {"MetadataDirective": "REPLACE", **self._facts(content_type, sha256)}
        facts.setdefault("ChecksumAlgorithm", "SHA256")
        if "Tagging" in facts:
            facts["TaggingDirective"] = "REPLACE"
        if etag:
            facts["CopySourceIfMatch"] = etag
        source, target = {"Bucket": bucket, "Key": key}, self.prefix + name
        with translated("copy", uri, self._s3.aws_conn_id):
            self._s3.client.copy_object(Bucket=self.name, Key=target, CopySource=source, **facts)

    def open(self, name: str) -> StoredObject:
        """Start to read an object."""
        return self._s3.open(self.uri(name))

    def sha256(self, name: str) -> str | None:
        """Return the digest in an object's metadata, which every image of this provider has; ``None`` for none."""
        with translated("read", self.uri(name), self._s3.aws_conn_id):
            answer = self._s3.client.head_object(Bucket=self.name, Key=self.prefix + name)
        return stated_digest(answer)

    def delete(self, name: str) -> None:
        """Remove an object."""
        with translated("delete", self.uri(name), self._s3.aws_conn_id):
            self._s3.client.delete_object(Bucket=self.name, Key=self.prefix + name)

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
        with translated("write", self.uri(name), self._s3.aws_conn_id):
            for attempt in range(_BUSY_ATTEMPTS):
                condition = {"IfNoneMatch": "*"} if exclusive and self._conditional else {}
                if not isinstance(body, bytearray):
                    body.seek(0)
                try:
                    self._s3.client.put_object(
                        Bucket=self.name, Key=self.prefix + name, **request, **condition
                    )
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
