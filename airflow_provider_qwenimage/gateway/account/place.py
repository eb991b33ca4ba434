"""Where the Redis server of an account is, as an Airflow connection says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.defaults import ACCOUNT_CONN_ID
from airflow_provider_qwenimage.exceptions import InvalidRequest

if TYPE_CHECKING:
    import redis

_TIMEOUT = 2.0  # seconds; a server that takes longer is as good as away
_SSL = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """
    Where the server is, as an Airflow connection of type ``redis`` says it.

    :param options: further arguments of the client: of TLS.
    """

    host: str
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    options: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, conn: Any) -> RedisPlace:
        """
        Read an Airflow connection.

        :raises InvalidRequest: it is of another type, or holds what no server can be found by.
        """
        if conn.conn_type != "redis":
            rule = f"the connection {conn.conn_id!r} is of type {conn.conn_type!r}, not 'redis'"
            raise InvalidRequest(ACCOUNT_CONN_ID, rule)
        extra = conn.extra_dejson
        try:
            db = int(extra.get("db") or conn.schema or 0)
        except ValueError:
            rule = f"the connection {conn.conn_id!r} names no number as its db"
            raise InvalidRequest(ACCOUNT_CONN_ID, rule) from None
        options = (
            {name: extra[name] for name in _SSL if extra.get(name) is not None} if extra.get("ssl") else {}
        )
        if extra.get("ssl"):
            options["ssl"] = True
        login = conn.login or None
        return cls(
            conn.host or "localhost",
            conn.port or 6379,
            db,
            login,
            conn.password or None,
            tuple(options.items()),
        )

    def _arguments(self) -> dict[str, Any]:
        known = {"host": self.host, "port": self.port, "db": self.db, **dict(self.options)}
        waits = {"socket_timeout": _TIMEOUT, "socket_connect_timeout": _TIMEOUT}
        return {**known, **waits, "username": self.username, "password": self.password}

    @property
    def where(self) -> str:
        """What a message calls it."""
        return f"{self.host}:{self.port}/{self.db}"

    def client(self) -> redis.Redis:
        """
        Return a client that tries nothing twice by itself: whether it may be tried again is ours to say.

        :raises InvalidRequest: the client library is not installed.
        """
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise InvalidRequest(
                ACCOUNT_CONN_ID,
                "needs the package redis, which is not installed",
                advice="pip install 'airflow-provider-qwenimage[redis]'",
            ) from None
        return redis.Redis(**self._arguments(), retry=Retry(NoBackoff(), 0))
