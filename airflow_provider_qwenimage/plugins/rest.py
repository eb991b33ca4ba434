"""Asks Airflow's public REST API, inside the API server and as the user whose request is being answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from starlette.types import ASGIApp, Scope

_CREDENTIALS = (b"authorization", b"cookie")
_OK = 200


class RestApi:
    """
    The public REST API of the application a request came through, so no address has to be known or trusted.

    :param airflow: the API server's own ASGI application.
    :param request: the scope of the user's request; its credentials are sent on, nothing else of it is.
    """

    def __init__(self, airflow: ASGIApp, request: Scope) -> None:
        self._airflow = airflow
        self._request = request

    async def get(self, *path: str, **query: object) -> Any:
        """Return the JSON that lies under ``path``, ``None`` where there is none or the user may not read it."""
        answer = _Answer()
        await self._airflow(self._scope(path, query), _nothing_to_say, answer)
        if answer.status != _OK:
            return None
        return json.loads(answer.body)

    def _scope(self, path: tuple[str, ...], query: dict[str, object]) -> Scope:
        headers = [(name, value) for name, value in self._request["headers"] if name in _CREDENTIALS]
        where = "/api/v2/" + "/".join(path)
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": self._request["scheme"],
            "server": self._request.get("server"),
            "client": self._request.get("client"),
            "path": where,
            "raw_path": quote(where).encode(),
            "query_string": urlencode(query).encode(),
            "root_path": "",
            "headers": [*headers, (b"host", b"localhost"), (b"accept", b"application/json")],
        }


class _Answer:
    """Takes what the application sends."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.body += message.get("body", b"")


async def _nothing_to_say() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}
