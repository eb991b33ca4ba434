"""Event streams: the vendor's frames (contract 4.4: no space after `data:`, comments as heartbeats) and OpenAI's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.simulator.replies import Made, part_of, usage
from airflow_provider_qwenimage.simulator.striking import rendered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.simulator.replies import Item

_HEARTBEAT = b":heartbeat\n\n"


def frames(made: Made, mode: str) -> Iterator[bytes]:
    """The SSE frames of `made`.

    :param mode: what a frame holds, see `Settings.sse_mode`. The pages do not say which the vendor does.
    """
    pieces = list(_pieces(made, mode))
    for number, content in enumerate(pieces, 1):
        yield _HEARTBEAT
        yield _frame(number, _body(made, content, last=number == len(pieces)))


def error_frame(number: int, request_id: str) -> bytes:
    """An error in mid-stream."""
    body = {"code": "DataInspectionFailed", "message": "Output data may contain inappropriate content."}
    data = rendered({**body, "request_id": request_id})
    return b"id:%d\nevent:error\n:HTTP_STATUS/400\ndata:%b\n\n" % (number, data)


def events(made: Made, *, edited: bool) -> Iterator[bytes]:
    """OpenAI's events: previews, then each image whole (`images.generate(stream=True)` of openai 3.54)."""
    name = "image_edit" if edited else "image_generation"
    width, height = made.size
    told = {
        "created_at": int(time.time()),
        "size": f"{width}x{height}",
        "quality": "auto",
        "background": "opaque",
        "output_format": str(made.ask.parameters.get("output_format") or "png"),
    }
    for number, preview in enumerate(made.partials):
        partial = {"b64_json": preview, "partial_image_index": number, **told}
        yield _event(f"{name}.partial_image", partial)
    for item in made.images:
        yield _event(f"{name}.completed", {"b64_json": item.b64, **told, "usage": _tokens(made)})


def error_event(number: int, request_id: str) -> bytes:  # noqa: ARG001
    """An error in the middle of OpenAI's events."""
    return _event(
        "error", {"error": {"message": "The server had an error", "code": "server_error", "param": None}}
    )


def _tokens(made: Made) -> dict[str, Any]:
    details = {"text_tokens": 0, "image_tokens": 0}
    return {**usage(made), "input_tokens_details": details}


def _event(name: str, body: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), rendered({"type": name, **body}))


def _pieces(made: Made, mode: str) -> Iterator[list[dict[str, str]]]:
    so_far: list[dict[str, str]] = []
    for item in made.items:
        part = part_of(item, made.variant)
        so_far.append(part)
        if mode == "cumulative":
            yield list(so_far)
        elif mode == "chunks" and not item.is_image:
            yield from _chunks(item)
        else:
            yield [part]


def _chunks(item: Item) -> Iterator[list[dict[str, str]]]:
    middle = len(item.text) // 2
    for text in (item.text[:middle], item.text[middle:]):
        yield [{"type": "text", "text": text}]


def _body(made: Made, content: list[dict[str, str]], *, last: bool) -> dict[str, Any]:
    choice = {
        "message": {"role": "assistant", "content": content},
        "finish_reason": "stop" if last else "null",
    }
    output = {"choices": [choice], "finished": last}
    return {"output": output, "usage": usage(made) if last else {}, "request_id": made.request_id}


def _frame(number: int, body: dict[str, Any]) -> bytes:
    return b"id:%d\nevent:result\n:HTTP_STATUS/200\ndata:%b\n\n" % (number, rendered(body))
