"""Success bodies, one function per shape of contract section 2."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_qwenimage.simulator.asks import Ask

LARGEST_1K = 2_250_000
FAILED = {
    "code": "InternalError.Algo",
    "message": "An internal error has occurred during algorithm execution.",
}


@dataclass(frozen=True)
class Item:
    """A piece of a result: an image (`url` or `b64`), a caption (`text`), or a failed image (`failed`)."""

    url: str = ""
    b64: str = ""
    text: str = ""
    failed: bool = False

    @property
    def is_image(self) -> bool:
        """Whether it is an image that was made."""
        return bool(self.url or self.b64)


@dataclass(frozen=True)
class Made:
    """Everything a reply tells.

    :param size: width and height of the images.
    :param partials: base64 of the previews that an event stream shows first.
    """

    ask: Ask
    items: tuple[Item, ...]
    size: tuple[int, int]
    request_id: str
    partials: tuple[str, ...] = ()

    @property
    def images(self) -> tuple[Item, ...]:
        """The images that were made."""
        return tuple(item for item in self.items if item.is_image)

    @property
    def slots(self) -> tuple[Item, ...]:
        """Images and failed images, in order."""
        return tuple(item for item in self.items if item.is_image or item.failed)

    @property
    def variant(self) -> str:
        """Which spelling of P3 the model uses."""
        return self.ask.row.reply if self.ask.row else "wan"


def openai(made: Made) -> dict[str, Any]:
    """P1: `data[].url` or `data[].b64_json`; what is absent is an empty string, for engines null."""
    if made.ask.row is None:
        data: list[dict[str, Any]] = [
            {"b64_json": item.b64 or None, "url": item.url or None, "revised_prompt": None}
            for item in made.slots
        ]
    else:
        data = [
            {"url": item.url, "b64_json": item.b64, "revised_prompt": _revised(made, number)}
            for number, item in enumerate(made.slots)
        ]
    return {"created": int(time.time()), "data": data}


def openai_metadata(made: Made) -> dict[str, Any]:
    """P2: one `data` entry per choice, later images overwriting earlier ones, as in new-api's code."""
    upstream = choices(made)
    if any(item.failed for item in made.items):
        upstream["output"] = results(made)["output"]
        data = [{"url": item.url, "b64_json": item.b64, "revised_prompt": ""} for item in made.slots]
        return {"created": int(time.time()), "data": data, "metadata": upstream}
    data = []
    for choice in upstream["output"]["choices"]:
        entry = {"url": "", "b64_json": "", "revised_prompt": ""}
        for part in choice["message"]["content"]:
            if "image" in part:
                entry["url"] = part["image"]
            if "text" in part:
                entry["revised_prompt"] = part["text"]
        data.append(entry)
    if any(item.b64 for item in made.images):
        for entry, item in zip(data, made.images, strict=False):
            entry.update(url="", b64_json=item.b64)
    return {"created": int(time.time()), "data": data, "metadata": upstream}


def choices(made: Made) -> dict[str, Any]:
    """P3: `output.choices[].message.content[].image`, in the spelling of the model's page."""
    output: dict[str, Any] = {"choices": [_choice(parts) for parts in _grouped(made)]}
    if made.variant == "qwen":
        failed = sum(item.failed for item in made.items)
        made_count = len(made.images)
        output["task_metric"] = {"TOTAL": made_count + failed, "SUCCEEDED": made_count, "FAILED": failed}
    elif made.variant in ("wan", "wan27"):
        output["finished"] = True
    return {"output": output, "usage": usage(made), "request_id": made.request_id}


def results(made: Made) -> dict[str, Any]:
    """P4: `output.results[]` of the legacy jobs; a failed image has `code` and `message` instead."""
    listed = [
        {"orig_prompt": made.ask.prompt, "actual_prompt": rewritten(made.ask), "url": item.url}
        if item.is_image
        else dict(FAILED)
        for item in made.slots
    ]
    good = len(made.images)
    metrics = {"TOTAL": len(listed), "SUCCEEDED": good, "FAILED": len(listed) - good}
    return {
        "output": {"results": listed, "task_metrics": metrics},
        "usage": {"image_count": good},
        "request_id": made.request_id,
    }


def translated(made: Made, *, without_text: bool) -> dict[str, Any]:
    """The job of a translation: one link, and a note where there was nothing to translate."""
    output: dict[str, Any] = {"image_url": made.images[0].url}
    if without_text:
        output["message"] = "No text detected for translation"
    return {"output": output, "usage": {"image_count": 1}, "request_id": made.request_id}


def responses(made: Made) -> dict[str, Any]:
    """P5: `output` is a list, `text` holds the URL; the wan page types it `text`, the qwen page `image`."""
    wan = made.variant.startswith("wan")
    kind = "text" if wan else "image"
    parts = [
        {"type": kind if item.is_image or item.failed else "text", "text": item.url or item.text}
        for item in made.items
    ]
    grouped = [parts] if wan else [[part] for part in parts]
    return {
        "output": [{"type": "message", "content": content} for content in grouped],
        "usage": {
            "total_tokens": 2000,
            "input_tokens": 150,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 1850,
            "output_tokens_details": {"reasoning_tokens": 0},
        },
        "request_id": f"req_{made.request_id.replace('-', '_')}",
    }


def usage(made: Made) -> dict[str, Any]:
    """The `usage` of P3, which every model family spells in its own way."""
    width, height = made.size
    count = len(made.images)
    if made.variant == "qwen":
        return {"image_count": count, "width": width, "height": height}
    if made.variant == "qwen3":
        tier = "1k" if width * height <= LARGEST_1K else "2k"
        return {
            "output_width": width,
            "output_height": height,
            "output_image_count": count,
            "output_image_type": f"qima_output_{tier}",
            "input_image_count": len(made.ask.images),
            "input_image_type": f"qima_input_{tier}",
        }
    tokens = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    return {"image_count": count, "size": f"{width}*{height}", **tokens}


def rewritten(ask: Ask) -> str:
    """The rewritten prompt, where prompt_extend is on."""
    return "" if ask.parameters.get("prompt_extend") is False else f"{ask.prompt} (highly detailed)"


def part_of(item: Item, variant: str) -> dict[str, str]:
    """One entry of `content[]`."""
    if not item.is_image:
        return {"type": "text", "text": item.text}
    image = item.url or item.b64
    return {"image": image, "type": "image"} if variant in ("wan", "wan27") else {"image": image}


def _grouped(made: Made) -> list[list[dict[str, str]]]:
    """Content lists, one per choice. C19: wan2.7 and interleave put all into one."""
    items = [item for item in made.items if not item.failed]
    parts = [part_of(item, made.variant) for item in items]
    if made.variant == "wan27" or made.ask.interleave:
        return [parts] if parts else []
    if made.variant == "z-image":
        extra = {"text": rewritten(made.ask) or made.ask.prompt, "reasoning_content": "The prompt is clear."}
        return [[part, extra] for part in parts]
    return [[part] for part in parts]


def _choice(content: list[dict[str, str]]) -> dict[str, Any]:
    return {"finish_reason": "stop", "message": {"role": "assistant", "content": content}}


def _revised(made: Made, number: int) -> str:
    captions = [item.text for item in made.items if item.text]
    return captions[number] if number < len(captions) else rewritten(made.ask)


SHAPES: dict[str, Callable[[Made], dict[str, Any]]] = {
    "openai": openai,
    "openai-metadata": openai_metadata,
    "choices": choices,
    "responses": responses,
}
