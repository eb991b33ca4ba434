"""Turns a fault into a response, or a good body into a bad one."""

from __future__ import annotations

import asyncio
import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from airflow_provider_qwenimage.simulator import errors
from airflow_provider_qwenimage.simulator.broken import BrokenReply, head

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from airflow_provider_qwenimage.simulator.faults import Armed
    from airflow_provider_qwenimage.simulator.state import State

_JSON = "application/json"
_LISTS = ("data", "choices", "results", "output")


def rendered(body: Any, *, escaped: bool = False) -> bytes:
    """JSON bytes; new-api escapes `&` in URLs (contract section 2)."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return (text.replace("&", "\\u0026") if escaped else text).encode()


def plain(armed: Armed, *, shape: str, request_id: str, state: State) -> ASGIApp | None:
    """The response of a fault that does not need a good body; None when it does."""
    fault = armed.row
    if fault.connection:
        return BrokenReply(state.sockets, how=fault.connection)
    if fault.refusal:
        body = rendered(errors.SHAPES[fault.shape or shape](fault.refusal, request_id))
        return Response(body, fault.status, _retry_after(armed), _JSON)
    if fault.raw is not None:
        raw = dict(fault.raw)
        return Response(raw["body"], fault.status, media_type=raw.get("type"))
    return None


async def spoiled(
    armed: Armed, body: dict[str, Any], *, escaped: bool, state: State, headers: dict[str, str]
) -> ASGIApp:
    """The response of a fault that spoils a good body, or the good body itself."""
    content = rendered(_SPOILERS.get(armed.fault, deepcopy)(body), escaped=escaped)
    if armed.fault == "hang":
        await asyncio.sleep(state.settings.hang_seconds if armed.seconds is None else armed.seconds)
    if armed.fault == "truncated_json":
        content = content[: len(content) * 2 // 3]
    if armed.fault == "truncated_body":
        raw = head(_JSON, length=len(content)) + content[: len(content) // 2]
        return BrokenReply(state.sockets, raw)
    return Response(content, headers=headers, media_type=_JSON)


def _retry_after(armed: Armed) -> dict[str, str]:
    seconds = 1 if armed.seconds is None else armed.seconds
    if armed.row.retry_after == "seconds":
        return {"Retry-After": str(round(seconds))}
    if armed.row.retry_after == "date":
        # A date has whole seconds: rounded up, or "in 1 s" would already be over.
        moment = datetime.now(UTC) + timedelta(seconds=seconds + 1)
        return {"Retry-After": format_datetime(moment.replace(microsecond=0), usegmt=True)}
    return {}


def _emptied(body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    return {
        key: [] if key in _LISTS and isinstance(value, list) else _emptied(value)
        for key, value in body.items()
    }


def _nulled(body: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if key in ("data", "output") else value for key, value in body.items() if key != "metadata"
    }


def _lost(body: dict[str, Any]) -> dict[str, Any]:
    return {key: _last(value) for key, value in body.items() if key != "metadata"}


def _lost_in_data(body: dict[str, Any]) -> dict[str, Any]:
    if "metadata" not in body:
        return _lost(body)
    return {**_lost(body), "metadata": body["metadata"]}


def _last(value: Any) -> Any:
    """Only the last image of a value: of lists the last entry, down to `content`."""
    if isinstance(value, list):
        return [_last(entry) for entry in value[-1:]]
    if isinstance(value, dict):
        return {
            key: _last(entry) if key in ("choices", "message", "content", "results") else entry
            for key, entry in value.items()
        }
    return value


_SPOILERS = {
    "zero_images": _emptied,
    "null_data": _nulled,
    "lost_images": _lost,
    "lost_images_metadata": _lost_in_data,
}
