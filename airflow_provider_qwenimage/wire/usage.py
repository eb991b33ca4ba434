"""Reads what a reply says it used, whatever the gateway calls it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.models.results import Usage
from airflow_provider_qwenimage.wire.documents import as_word

if TYPE_CHECKING:
    from airflow_provider_qwenimage.wire.documents import Document

_SIZE = re.compile(r"\d{1,5}[*x]\d{1,5}|\dk", re.IGNORECASE | re.ASCII)
_MOST = 10**12  # of images or tokens; what is more counts nothing, and breaks sums and prices


def usage_of(usage: Document) -> Usage:
    """Normalise the names: ``image_count`` is ``output_image_count`` on qwen-image-3.0 (contract section 2)."""
    if not usage:
        return Usage()
    return Usage(
        image_count=_first(usage, "image_count", "output_image_count"),
        input_tokens=_first(usage, "input_tokens", "prompt_tokens"),
        output_tokens=_first(usage, "output_tokens", "completion_tokens"),
        total_tokens=_first(usage, "total_tokens"),
        input_image_count=_first(usage, "input_image_count"),
        output_image_type=as_word(usage.get("output_image_type")) or None,
    )


def size_of(usage: Document) -> str | None:
    """Return the size of the images as ``"1328*1328"``."""
    if isinstance(usage.get("size"), str) and _SIZE.fullmatch(usage["size"]):
        return str(usage["size"]).lower().replace("x", "*")
    across = _first(usage, "width", "output_width")
    down = _first(usage, "height", "output_height") if across else None
    return f"{across}*{down}" if down else None


def _first(usage: Document, *names: str) -> int | None:
    counts = (_whole(usage[name]) for name in names if name in usage)
    return next((count for count in counts if count is not None), None)


def _whole(value: object) -> int | None:
    """Read a count; gateways in untyped languages write ``"1"`` and ``1.0``."""
    if isinstance(value, str):
        text = value.strip()
        value = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(_MOST)) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if abs(value) <= _MOST else None
