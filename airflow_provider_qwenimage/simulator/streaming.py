"""The frames of an interleaved reply, contract 4.4: no space after `data:`, comments as heartbeats."""

from __future__ import annotations

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
