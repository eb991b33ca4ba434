"""Spells a request in Alibaba's own shape: ``input.messages`` and ``parameters``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.wire.protocol import Call

if TYPE_CHECKING:
    from airflow_provider_qwenimage.catalog import Gateway
    from airflow_provider_qwenimage.catalog.models import Model
    from airflow_provider_qwenimage.models.requests import Request

SSE_HEADER = "X-DashScope-SSE"


def encode(request: Request, *, gateway: Gateway, model: Model | None) -> Call:
    """
    Encode for the synchronous endpoint.

    What the vendor only streams is asked for as a stream where the gateway's row says so: the vendor itself, which
    wants a header as well (A-w26), and TokenHot, whose page prints it. Others say by their defaults what they want.
    """
    named = parameters(request, model=model)
    headers = {}
    mode = model.mode(request.operation) if model else None
    if mode is not None and mode.stream and (gateway.stream or gateway.sse):
        named.setdefault("stream", True)
        if gateway.sse:
            headers[SSE_HEADER] = "enable"
    body = {"model": request.model, "input": messages(request), "parameters": named}
    return Call("POST", gateway.generations, json=body, headers=headers, billable=True)


def messages(request: Request) -> dict[str, Any]:
    """Return one user message: images in the order the prompt counts them, then exactly one text (A-w27)."""
    images = [{"image": image} for image in getattr(request, "images", ())]
    return {"messages": [{"role": "user", "content": [*images, {"text": request.prompt}]}]}


def parameters(request: Request, *, model: Model | None) -> dict[str, Any]:
    """Return the named parameters, then the author's own ones as they are; what is ``None`` is not sent."""
    named: dict[str, Any] = {
        "size": request.size.text("*") if request.size else None,
        **series(request, model=model),
        "negative_prompt": request.negative_prompt,
        "seed": request.seed,
        "bbox_list": boxes(request),
    }
    return {name: value for name, value in named.items() if value is not None} | request.parameters


def series(request: Request, *, model: Model | None) -> dict[str, Any]:
    """
    Return how many images are asked for.

    ``n`` is always sent: upstream defaults are 4 and 12, and billed (contract section 1). Only a model whose row
    says that it takes no ``n`` goes without.
    """
    mode = model.mode(request.operation) if model else None
    # The newer way, where the catalogue knows nothing better.
    if request.operation == "sequence" and mode is None:
        return {"enable_sequential": True, "n": request.n}
    asked: dict[str, Any] = {mode.switch: True} if mode and mode.switch else {}
    if mode is not None and mode.count != "n":  # interleave: n must be 1, max_images counts (A-w26)
        return {**asked, mode.count: request.n, "n": 1}
    return {**asked, "n": request.n} if model is None or model.send_n else asked


def boxes(request: Request) -> list[list[list[int]]] | None:
    """Return ``bbox_list``: one list per image, each box ``[x1, y1, x2, y2]`` in its pixels (A-w27)."""
    drawn = getattr(request, "boxes", None)
    return None if drawn is None else [[list(box) for box in image] for image in drawn]
