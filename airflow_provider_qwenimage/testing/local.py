"""What the fixture ``qwenimage`` gives a test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_qwenimage.simulator.server import Simulator
    from airflow_provider_qwenimage.testing.s3 import S3Server


def connection(host: str, password: str, **extra: Any) -> str:
    """
    Return a connection to a gateway of this machine, as ``AIRFLOW_CONN_*`` takes it.

    :param host: the gateway's base URL.
    :param password: the key it accepts.
    :param extra: the connection's extras.
    """
    # The simulator's images lie on loopback, which the provider refuses unless it is told otherwise.
    fields = {"conn_type": "qwenimage", "host": host, "password": password}
    return json.dumps({**fields, "extra": {"allow_private_hosts": True, **extra}})


class LocalQwenImage:
    """
    A gateway that bills nobody, an S3 server, and the connections that lead to them.

    :param simulator: the gateway; all it can do is in docs/simulator.md.
    :param s3: the S3 server; ``s3.client()`` is a boto3 client of it.
    :param setenv: sets a variable of the environment for the length of the test.
    """

    def __init__(self, simulator: Simulator, s3: S3Server, *, setenv: Callable[[str, str], None]) -> None:
        self.simulator = simulator
        self.s3 = s3
        self._setenv = setenv
        self._buckets: list[str] = []

    def connect(
        self,
        gateway: str = "tokenhot",
        *,
        conn_id: str = "qwenimage_default",
        host: str | None = None,
        password: str | None = None,
        **extra: Any,
    ) -> str:
        """
        Define a connection to the simulator, or anew; the fixture has defined ``qwenimage_default`` already.

        :param gateway: whose part the simulator plays, with the shapes of its replies: ``tokenhot``, ``dashscope`` …
        :param conn_id: the connection's id.
        :param host: somewhere else than the simulator.
        :param password: another key than the simulator's.
        :param extra: further extras of the connection: ``model``, ``timeout``, ``price_per_image`` …
        :return: the connection's id.
        """
        host = host or self.simulator.base(gateway)
        password = self.simulator.state.settings.key if password is None else password
        told = connection(host, password, gateway=gateway, **extra)
        self._setenv(f"AIRFLOW_CONN_{conn_id.upper()}", told)
        return conn_id

    def fault(self, name: str, *, times: int = 1, **where: Any) -> None:
        """
        Let the next requests meet a fault.

        :param name: one of the table in docs/simulator.md: ``429``, ``502``, ``moderation``, ``drop_after`` …
        :param times: how many requests meet it.
        :param where: ``match`` (part of the prompt), ``gateway``, ``on`` and ``seconds`` narrow or change it.
        :raises ValueError: there is no such fault; the message names those there are.
        """
        self.simulator.fault(name, times=times, **where)

    def configure(self, **settings: Any) -> None:
        """
        Change how the simulator behaves until the test ends.

        :param settings: those of ``POST /_settings`` in docs/simulator.md: ``job_seconds``, ``latency``, ``limits`` …
        :raises ValueError: there is no such setting.
        """
        self.simulator.state.settings.change(settings)

    @property
    def billed(self) -> int:
        """How many images somebody would have paid for."""
        return self.simulator.state.billed

    @property
    def posts(self) -> int:
        """How many generation requests arrived, refused and broken ones too."""
        return self.simulator.state.posts

    @property
    def bodies(self) -> tuple[Any, ...]:
        """The bodies of these requests as they arrived, oldest first."""
        return self.simulator.state.bodies

    def bucket(self, name: str) -> str:
        """
        Make an empty bucket; it is emptied again when the test ends.

        :param name: its name.
        :return: ``s3://name``.
        """
        if name not in self._names():
            self.s3.client().create_bucket(Bucket=name)
        self._empty(name)
        self._buckets.append(name)
        return f"s3://{name}"

    def stored(self, uri: str) -> dict[str, bytes]:
        """
        Return what lies in a bucket: the bytes by key, in the order of keys.

        :param uri: ``s3://bucket``, or with a prefix ``s3://bucket/path/``.
        """
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        client = self.s3.client()
        keys = self._keys(bucket, prefix)
        return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def empty_buckets(self) -> None:
        """Empty the buckets that ``bucket`` made; the fixture does it when the test ends."""
        for name in self._buckets:
            self._empty(name)
        self._buckets.clear()

    def _empty(self, bucket: str) -> None:
        client = self.s3.client()
        for key in self._keys(bucket):
            client.delete_object(Bucket=bucket, Key=key)

    def _keys(self, bucket: str, prefix: str = "") -> list[str]:
        pages = self.s3.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def _names(self) -> set[str]:
        return {each["Name"] for each in self.s3.client().list_buckets()["Buckets"]}
