"""Reads and signs the input images that lie in S3."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferError
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.storage.s3 import split_uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Seconds; a request ends within minutes, and one that waits for a rate limit is sent with the same link.
LINK_LIFETIME = 3600
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Opened:
    """An object that is being read."""

    size: int
    chunks: Iterable[bytes]


def place(uri: str) -> tuple[str, str]:
    """
    Take the URI of an object apart into bucket and key.

    :raises InvalidRequest: it is none.
    """
    bucket, key = split_uri(uri, field="images")
    if not key:
        raise InvalidRequest("images", f"{uri} names a bucket and no key")
    return bucket, key


class S3Inputs:
    """
    The S3 side of input images; the client is opened at the first image and serves all, from many threads too.

    :param aws_conn_id: the connection that may read them.
    """

    def __init__(self, aws_conn_id: str | None) -> None:
        self._aws_conn_id = aws_conn_id
        self._opened: Any = None
        self._lock = threading.Lock()

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._opened is None:
                self._opened = self._connected()
            return self._opened

    def _connected(self) -> Any:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook
        from botocore.config import Config

        # A hook's ``config`` replaces the connection's ``config_kwargs``, so ours is merged into them. Every
        # S3-compatible server reads version 4 signatures; boto3's default for custom endpoints is older.
        config: Any = S3Hook(aws_conn_id=self._aws_conn_id).config
        if config.signature_version is None:
            config = config.merge(Config(signature_version="s3v4"))  # type: ignore[no-untyped-call]
        return S3Hook(aws_conn_id=self._aws_conn_id, config=config).get_conn()

    @contextmanager
    def open(self, uri: str) -> Iterator[Opened]:
        """
        Start to read an object.

        :raises InvalidRequest: it does not exist, or may not be read.
        :raises TransferError: S3 does not answer; a retry is free.
        """
        bucket, key = place(uri)
        with self._speaking(uri):
            answer = self._client.get_object(Bucket=bucket, Key=key)
            body = answer["Body"]
            try:
                yield Opened(answer["ContentLength"], body.iter_chunks(_CHUNK))
            finally:
                body.close()

    def link(self, uri: str) -> str:
        """Return a URL that reads the object for an hour, with no key beside it."""
        bucket, key = place(uri)
        with self._speaking(uri):
            link = self._client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=LINK_LIFETIME
            )
        return str(link)

    def close(self) -> None:
        """Close the connections, where any were opened."""
        if self._opened is not None:
            self._opened.close()

    @contextmanager
    def _speaking(self, uri: str) -> Iterator[None]:
        """Turn what botocore raises into an error that names the object and carries no credentials."""
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        try:
            yield
        except ClientError as error:
            said = error.response.get("Error", {})
            reason = redact(f"{said.get('Code', 'an error')} {said.get('Message', '')}".strip())
            what = f"{uri} cannot be read: {reason}"
            if 400 <= error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                advice = f"Check the key, and what the connection {self._aws_conn_id} may read."
                raise InvalidRequest("images", what, advice=advice) from error
            raise TransferError(what) from error
        except (BotoCoreError, HTTPClientError) as error:
            raise TransferError(f"{uri} cannot be read: {redact(error)}") from error
