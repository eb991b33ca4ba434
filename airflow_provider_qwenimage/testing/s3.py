"""An S3 server for tests, and how Airflow is told of it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class S3Server:
    """
    An S3 server and the key to it.

    :param url: its endpoint.
    :param access_key: the key's id.
    :param secret_key: the key.
    :param verify: the bundle its certificate is checked against, where it speaks TLS.
    """

    url: str
    access_key: str
    secret_key: str = field(repr=False)
    verify: str | None = None

    @property
    def connection(self) -> str:
        """The Airflow connection to it, as ``AIRFLOW_CONN_*`` takes it."""
        extra = {"endpoint_url": self.url, "region_name": "us-east-1"}
        if self.verify:
            extra["verify"] = self.verify
        fields = {"conn_type": "aws", "login": self.access_key, "password": self.secret_key, "extra": extra}
        return json.dumps(fields)

    def client(self) -> Any:
        """Return the boto3 client for it: one for all, also for threads."""
        return _client(self.url, self.access_key, self.secret_key, self.verify)


@cache  # to make one costs as much as many tests
def _client(url: str, access_key: str, secret_key: str, verify: str | None) -> Any:
    import boto3

    return boto3.client(  # type: ignore[no-untyped-call]
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        verify=verify,
    )


@contextmanager
def serving(*, port: int = 0) -> Iterator[S3Server]:
    """
    Serve S3 from memory on loopback while the block runs; it honours conditional writes.

    :param port: 0 picks a free one.
    """
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield S3Server(f"http://{host}:{port}", "testing", "testing-secret")
    finally:
        server.stop()
