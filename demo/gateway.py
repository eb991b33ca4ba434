"""The gateway of the demo: yours when the environment names it, the simulator otherwise."""

from __future__ import annotations

import json
import secrets
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demo.processes import service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DEFAULT_MODEL = "qwen-image-plus"
# Of the examples' models, for costs on the pages and for max_cost; the simulator bills nobody.
_PRICES = {
    "price_per_image": {DEFAULT_MODEL: 0.2, "wan2.6-t2i": 0.2, "qwen-image-edit-plus": 0.2, "currency": "CNY"}
}


class HalfConfigured(ValueError):
    """The environment names a gateway without its key, or a key without its gateway."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """
    Where the demo sends its prompts.

    :param title: what to call it in front of a person.
    :param connection: the Airflow connection, as ``AIRFLOW_CONN_*`` takes it.
    """

    title: str
    model: str
    billed: bool
    connection: str = field(repr=False)


def _connection(password: str, host: str | None, **extra: Any) -> str:
    return json.dumps({"conn_type": "qwenimage", "password": password, "host": host, "extra": extra})


def from_environment(environ: Mapping[str, str]) -> Gateway | None:
    """
    Return the gateway that ``QWENIMAGE_*`` names, ``None`` when there is none.

    :raises HalfConfigured: the key or the gateway is missing.
    """
    names = ("QWENIMAGE_API_KEY", "QWENIMAGE_GATEWAY")
    missing = [name for name in names if not environ.get(name)]
    if len(missing) == len(names):
        return None
    if missing:
        raise HalfConfigured(
            f"{missing[0]} is not set: set both {' and '.join(names)}, or neither for the simulator."
        )
    key, gateway = (environ[name] for name in names)
    model = environ.get("QWENIMAGE_MODEL") or DEFAULT_MODEL
    host = environ.get("QWENIMAGE_HOST") or None
    return Gateway(
        gateway, model, billed=True, connection=_connection(key, host, gateway=gateway, model=model)
    )


@contextmanager
def simulated(*, log: Path) -> Iterator[Gateway]:
    """
    Run the simulator while the block runs.

    :raises ServiceFailed: it did not start.
    """
    key = f"sk-demo-{secrets.token_hex(8)}"
    command = (sys.executable, "-m", "airflow_provider_qwenimage.simulator", "--port", "0", "--key", key)
    with service(command, ready=r"simulator ready on (http://127\.0\.0\.1:\d+)", log=log) as ready:
        # Its images lie on loopback, which is refused unless the connection allows it.
        extra = {"gateway": "tokenhot", "model": DEFAULT_MODEL, "allow_private_hosts": True, **_PRICES}
        connection = _connection(key, f"{ready[1]}/tokenhot", **extra)
        yield Gateway("the simulator (as tokenhot)", DEFAULT_MODEL, billed=False, connection=connection)
