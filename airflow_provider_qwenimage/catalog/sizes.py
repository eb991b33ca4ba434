"""The named size rules: whether a size is legal, and which pixels a ratio means."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.catalog.findings import Finding
from airflow_provider_qwenimage.models.requests import Size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_qwenimage.catalog.models import Pixels, SizeRule
    from airflow_provider_qwenimage.catalog.rules import Case

FIELD = "size"

# Sides of computed sizes: every model that snaps does it to multiples of 16 (A-w26, A-edit).
_STEP = 16
# A computed pair may miss its ratio by 2 %; the vendor's own 2688*1536 misses 16:9 by 1.6 %.
_TOLERANCE = 0.02
# Among the pairs of a ratio a truer one wins over a larger one, down to this part of the largest.
_NEARLY_AS_LARGE = 0.8
# Where a row bounds no ratio the search still ends: 1:16 is narrower than any model was made for.
_NARROWEST = 16


def spelled(pixels: Pixels) -> str:
    """Spell pixels the vendor's way."""
    return f"{pixels[0]}*{pixels[1]}"


def size_findings(case: Case) -> Iterator[Finding]:
    """Say what is wrong with the size of a request, wherever it is written."""
    request, rule = case.request, case.mode.size
    written = request.size or _written_size(request.parameters.get("size"))
    if written is None:
        return
    if rule.rule == "input":
        yield Finding(
            "size", f"{written.text()} cannot be set, the output follows the input image", refused=False
        )
        return
    resolved = resolve_size(rule, written)
    if resolved is None:
        yield Finding("size", f"no size has the ratio {written.text()}; {legal_sizes(rule)}")
    elif request.size is None and resolved != written:
        yield Finding(
            "parameters.size", f"{written.text()} is no size", advice="The argument size resolves it."
        )
    else:
        yield from check_size(rule, resolved)


def _written_size(value: object) -> Size | None:
    try:
        return Size.parse(value)
    except ValueError:
        return None  # passed through untouched: the vendor may know spellings that we do not


def check_size(rule: SizeRule, size: Size) -> Iterator[Finding]:
    """
    Say what is wrong with a resolved size: nothing, one thing, or a change the vendor makes without a word.

    :param size: pixels or a tier; ratios are resolved before.
    """
    if size.tier:
        if size.tier not in rule.tiers.values():
            words = f"{size.tier} is not a tier here; {legal_sizes(rule)}"
            yield Finding(FIELD, words, refused=rule.refuses, cited=rule.cited)
        return
    if size.pixels is None or size.pixels in rule.listed:
        return
    complaint, narrow = _RULES[rule.rule](rule, size.pixels), _ratio_complaint(rule, size.pixels)
    if complaint or narrow:
        yield _outside(rule, size.pixels, complaint=complaint, narrow=narrow)
    elif rule.multiple and any(side % rule.multiple for side in size.pixels):
        changed = f"{spelled(size.pixels)} is changed to multiples of {rule.multiple}"
        yield Finding(FIELD, changed, refused=False)


def _outside(rule: SizeRule, pixels: Pixels, *, complaint: str | None, narrow: str | None) -> Finding:
    """Weigh what the rule says of a size against what was served all the same."""
    served, words = rule.served, complaint or narrow or ""
    if served is None:
        return Finding(FIELD, words, refused=rule.refuses, cited=rule.cited)
    if served.pixels is None or (not narrow and _within(served.pixels, pixels)):
        return Finding(FIELD, f"{words}, but was served all the same", refused=False, cited=served.cited)
    if complaint and not _within(served.pixels, pixels):
        return Finding(FIELD, f"{words}; {squares(served.pixels)} is served", cited=served.cited)
    return Finding(FIELD, narrow or words, refused=rule.refuses, cited=rule.cited)


def resolve_size(rule: SizeRule, size: Size) -> Size | None:
    """
    Turn a ratio into the model's pixels, and a tier into what the model takes for it.

    :return: ``None`` where the model has no size of that ratio.
    """
    if size.tier:
        return Size.parse(rule.tiers.get(size.tier, size.tier))
    if size.ratio is None:
        return size
    pixels = _printed(rule, size.ratio) or _computed(rule, size.ratio)
    return Size(pixels=pixels) if pixels else None


def legal_sizes(rule: SizeRule) -> str:
    """Put a rule in words."""
    words = [_WORDS[rule.rule](rule)]
    if rule.limit:
        words.append(f"ratio 1:{rule.limit} to {rule.limit}:1")
    if rule.tiers:
        words.append("or " + ", ".join(rule.tiers))
    return ", ".join(words)


def _printed(rule: SizeRule, ratio: tuple[float, float]) -> Pixels | None:
    wanted = ratio[0] / ratio[1]
    for name, pixels in rule.ratios.items():
        across, down = name.split(":")
        if math.isclose(int(across) / int(down), wanted):
            return pixels
    return None


def _computed(rule: SizeRule, ratio: tuple[float, float]) -> Pixels | None:
    """Return the largest pair of the ratio in multiples of 16 that the rule takes."""
    wanted = max(ratio) / min(ratio)
    pairs = [pair for pair in _pairs(rule, wanted) if _error(pair, wanted) <= _TOLERANCE]
    if not pairs:
        return None
    enough = _NEARLY_AS_LARGE * max(math.prod(pair) for pair in pairs)
    large = [pair for pair in pairs if math.prod(pair) >= enough]
    long, short = min(large, key=lambda pair: (_error(pair, wanted), -math.prod(pair)))
    return (long, short) if ratio[0] >= ratio[1] else (short, long)


def _error(pair: Pixels, wanted: float) -> float:
    return round(abs(pair[0] / pair[1] / wanted - 1), 6)


def _pairs(rule: SizeRule, wanted: float) -> Iterator[Pixels]:
    longest = rule.sides[1] or math.isqrt(rule.pixels[1] * (rule.limit or _NARROWEST))
    budget = rule.ratio_pixels or longest**2
    for short in range(_STEP, longest + 1, _STEP):
        pair = (round(short * wanted / _STEP) * _STEP, short)
        if math.prod(pair) <= budget and not any(check_size(rule, Size(pixels=pair))):
            yield pair


def _within(bounds: Pixels | None, pixels: Pixels) -> bool:
    return bounds is not None and bounds[0] <= math.prod(pixels) <= bounds[1]


def squares(bounds: Pixels) -> str:
    """Name bounds of a product the way vendors do: as the squares they come from."""
    return " to ".join(spelled((math.isqrt(bound), math.isqrt(bound))) for bound in bounds)


def _ratio_complaint(rule: SizeRule, pixels: Pixels) -> str | None:
    if rule.limit and max(pixels) > rule.limit * min(pixels):
        return f"{spelled(pixels)} is narrower than the ratio 1:{rule.limit} to {rule.limit}:1"
    return None


def _listed(rule: SizeRule, pixels: Pixels) -> str | None:
    return None if pixels in rule.listed else f"{spelled(pixels)} is not {_WORDS['listed'](rule)}"


def _sides(rule: SizeRule, pixels: Pixels) -> str | None:
    low, high = rule.sides
    if all(low <= side <= high for side in pixels):
        return None
    return f"{spelled(pixels)} has a side outside {low} to {high}"


def _pixels(rule: SizeRule, pixels: Pixels) -> str | None:
    if _within(rule.pixels, pixels):
        return None
    return f"{spelled(pixels)} is {math.prod(pixels)} pixels, outside {squares(rule.pixels)}"


def _input(_rule: SizeRule, pixels: Pixels) -> str | None:
    return f"{spelled(pixels)} cannot be set, the output follows the input image"


_RULES: dict[str, Callable[[SizeRule, Pixels], str | None]] = {
    "listed": _listed,
    "sides": _sides,
    "pixels": _pixels,
    "input": _input,
}
_WORDS: dict[str, Callable[[SizeRule], str]] = {
    "listed": lambda rule: "one of " + ", ".join(spelled(pixels) for pixels in rule.ratios.values()),
    "sides": lambda rule: f"each side {rule.sides[0]} to {rule.sides[1]}",
    "pixels": lambda rule: f"{squares(rule.pixels)} pixels",
    "input": lambda _rule: "follows the input image",
}
