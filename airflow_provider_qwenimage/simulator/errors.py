"""Error bodies, one function per shape of contract section 3.1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_qwenimage.simulator.vendor import Refusal

_BAD_REQUEST = 400


def native(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """E1."""
    return {"code": refusal.code, "message": refusal.message, "request_id": request_id}


def openai(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """E2."""
    kind = "invalid_request_error" if refusal.status == _BAD_REQUEST else "api_error"
    error = {"message": refusal.message, "type": kind, "param": None, "code": refusal.code}
    return {"error": error, "request_id": request_id}


def new_api(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """E3 for the gateway's own refusals; of an upstream's only the sentence is left (contract 3.2)."""
    if refusal.own or refusal.code == "InvalidApiKey":
        code = "" if refusal.code == "InvalidApiKey" else refusal.code
        message = f"{refusal.message} (request id: {request_id})"
        return {"error": {"message": message, "type": "new_api_error", "code": code}}
    lost = "bad_response_status_code"
    return {"error": {"message": refusal.message, "type": lost, "param": "", "code": lost}}


def engine(refusal: Refusal, request_id: str) -> dict[str, Any]:  # noqa: ARG001
    """E8, FastAPI's two forms: a list for a missing field, a sentence otherwise."""
    if "Required parameter" in refusal.message:
        field = refusal.message.split("'")[1]
        return {"detail": [{"type": "missing", "loc": ["body", field], "msg": "Field required"}]}
    return {"detail": refusal.message}


SHAPES: dict[str, Callable[[Refusal, str], dict[str, Any]]] = {
    "native": native,
    "openai": openai,
    "new-api": new_api,
    "engine": engine,
}
