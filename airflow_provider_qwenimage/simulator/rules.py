"""What the vendor rejects, checked before anything is drawn or billed. The numbers are in `vendor.toml`."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.simulator.vendor import GatewayRow, ModelRow, SizeRule, refused

if TYPE_CHECKING:
    from airflow_provider_qwenimage.simulator.asks import Ask
    from airflow_provider_qwenimage.simulator.drawing import Reference

_TIERS = {"1K": 1024, "2K": 2048, "4K": 4096}
_LARGEST_SEED = 2147483647
_MOST_BOXES = 2
_UNSET_SIZES = (None, "", "auto")


def check(ask: Ask, gateway: GatewayRow) -> None:
    """Refuse what the vendor refuses.

    :raises RefusedError: with the vendor's words.
    """
    if ask.messages != 1:
        raise refused("one_message")
    if ask.texts != 1 or not ask.prompt.strip():
        raise refused("one_text")
    _seed(ask)
    _separator(ask, gateway)
    row = ask.row
    if row is None:
        _number(ask.parameters.get("n"), 1, 10)
        _previews(ask)
        return
    for rule in (_features, _languages, _images, _count, _size, _boxes, _palette):
        rule(ask, row)


def pixels(ask: Ask, references: tuple[Reference, ...]) -> tuple[int, int]:
    """Width and height of the result: as asked, else as the last input image, else the model's default."""
    size = ask.parameters.get("size")
    if references and ask.shape == "translation":
        return references[-1].size
    follows = bool(references and ask.row and ask.row.edit_size != "taken")
    if size in _UNSET_SIZES or follows:
        if references:
            width, height = references[-1].size
            return max(16, min(width, 2048)), max(16, min(height, 2048))
        size = (ask.row and ask.row.default_size) or "1024*1024"
    if size in _TIERS:
        return _TIERS[size], _TIERS[size]
    width, height = _split(str(size))
    return width, height


def _seed(ask: Ask) -> None:
    seed = ask.parameters.get("seed")
    if seed is not None and not (type(seed) is int and 0 <= seed <= _LARGEST_SEED):
        raise refused("seed")


def _separator(ask: Ask, gateway: GatewayRow) -> None:
    size = ask.parameters.get("size")
    if size in _UNSET_SIZES or size in _TIERS:
        return
    if re.fullmatch(rf"[1-9]\d*[{re.escape(gateway.separators)}][1-9]\d*", str(size)):
        return
    if gateway.kind == "engine":
        raise refused("size_form_engine", size=size)
    raise refused("size_form", size=size, separator=gateway.separators[0])


def _features(ask: Ask, row: ModelRow) -> None:
    if ask.sequential and row.sequential is None:
        raise refused("sequential", model=ask.model)
    if ask.interleave and row.interleave is None:
        raise refused("interleave", model=ask.model)
    given = ask.parameters
    if given.get("enable_thinking") is True and not row.thinking:
        raise refused("thinking", model=ask.model)
    if given.get("enable_thinking") is True and given.get("prompt_extend") is False:
        raise refused("extend")
    if given.get("prompt_extend_mode") == "agent" and row.agent and ask.images:
        raise refused("agent")


def _languages(ask: Ask, row: ModelRow) -> None:
    if (row.reply == "translation") != (ask.shape == "translation"):
        raise refused("missing", field="input.image_url" if row.reply == "translation" else "input.prompt")
    if ask.shape != "translation":
        return
    source, target = (str(ask.parameters[name]).lower() for name in ("source_lang", "target_lang"))
    known = not row.between or {source, target} & {*row.between, "auto"}
    if target in {source, "auto"} or not known:
        raise refused("languages", source=source, target=target)


def _images(ask: Ask, row: ModelRow) -> None:
    low, high = row.interleaved_images or row.images if ask.interleave else row.images
    if not low <= len(ask.images) <= high:
        raise refused("images", low=low, high=high)


def _count(ask: Ask, row: ModelRow) -> None:
    given = ask.parameters.get("n")
    if ask.interleave and row.interleave:
        if given not in (None, 1):
            raise refused("n_interleave")
        most = ask.parameters.get("max_images")
        low, high, _ = row.interleave
        if most is not None and not (type(most) is int and low <= most <= high):
            raise refused("max_images", low=low, high=high)
        return
    low, high, _ = row.sequential if ask.sequential and row.sequential else row.n
    _number(given, low, high)


def _number(given: Any, low: int, high: int) -> None:
    if given is None or (type(given) is int and low <= given <= high):
        return
    raise refused("n_one") if high == 1 else refused("n_range", low=low, high=high)


def _previews(ask: Ask) -> None:
    if str(ask.parameters.get("partial_images") or 0) not in ("0", "1", "2", "3"):
        raise refused("partial_images")


def _size(ask: Ask, row: ModelRow) -> None:
    size = ask.parameters.get("size")
    if size in _UNSET_SIZES or (ask.images and row.edit_size == "unchecked"):
        return
    rule = row.size
    if row.large and not ask.images and not ask.sequential:
        rule = row.large
    if row.interleaved_size and ask.interleave:
        rule = row.interleaved_size
    if size in _TIERS:
        if size not in rule.tiers:
            raise refused("size_tier") if rule.tiers else refused("size_form", size=size, separator="*")
        return
    _dimensions(
        str(size), rule, says=rule.says or ("size_pixels" if row.reply.startswith("wan") else "size_area")
    )


def _dimensions(size: str, rule: SizeRule, *, says: str) -> None:
    width, height = _split(size)
    if rule.enum and f"{width}*{height}" not in rule.enum:
        raise refused("size_enum", allowed=",".join(rule.enum))
    if rule.pixels and not rule.pixels[0] <= width * height <= rule.pixels[1]:
        low, high = rule.pixels
        squares = {"least": _square(low), "most": _square(high)}
        area = {"area": width * height, "width": width, "height": height}
        raise refused(says, size=size, low=low, high=high, **area, **squares)
    if rule.ratio and max(width, height) > rule.ratio * min(width, height):
        raise refused("size_ratio", size=size, ratio=rule.ratio)
    if rule.sides and not (rule.sides[0] <= min(width, height) and max(width, height) <= rule.sides[1]):
        raise refused("size_sides", size=size, low=rule.sides[0], high=rule.sides[1])


def _boxes(ask: Ask, row: ModelRow) -> None:
    boxes = ask.parameters.get("bbox_list")
    if boxes is None or row.reply != "wan27":
        return
    per_image = (
        isinstance(boxes, list)
        and len(boxes) == len(ask.images)
        and all(isinstance(own, list) for own in boxes)
    )
    if not per_image or not all(len(own) <= _MOST_BOXES and all(map(_is_box, own)) for own in boxes):
        raise refused("boxes")


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(type(side) is int and side >= 0 for side in box)


def _palette(ask: Ask, row: ModelRow) -> None:
    palette = ask.parameters.get("color_palette")
    if palette is None or row.reply != "wan27":
        return
    try:
        total = sum(float(str(color["ratio"]).removesuffix("%")) for color in palette)
    except (TypeError, KeyError, ValueError):
        raise refused("palette") from None
    if ask.sequential or not 3 <= len(palette) <= 10 or abs(total - 100) > 0.01:
        raise refused("palette")


def _square(area: int) -> str:
    return f"{math.isqrt(area)}*{math.isqrt(area)}"


def _split(size: str) -> tuple[int, int]:
    width, height = re.split(r"[*x]", size)
    return int(width), int(height)
