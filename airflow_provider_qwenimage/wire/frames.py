"""Folds the frames of an event stream (P8) into one document, whatever the shape of its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.wire.documents import Document, as_dict, as_list, contents
from airflow_provider_qwenimage.wire.items import image_in

if TYPE_CHECKING:
    from collections.abc import Iterable

_LISTS = ("data", "images")


def fold(frames: tuple[Document, ...]) -> Document:
    """
    Fold the frames of an event stream into one document.

    Whether frames are incremental or cumulative is not established (contract 4.4), so both are understood:
    a frame that starts with what is there already replaces it, any other is added.
    """
    if len(frames) == 1:
        return frames[0]
    folded: Document = {}
    for frame in frames:
        folded.update({key: value for key, value in frame.items() if value or key not in folded})
    lists = {key: _items(frame.get(key) for frame in frames) for key in _LISTS}
    outputs = [frame.get("output") for frame in frames]
    content = _content([list(contents(output)) for output in outputs])
    output = {
        **as_dict(folded.get("output")),
        "results": _items(as_dict(output).get("results") for output in outputs),
        "choices": [{"message": {"role": "assistant", "content": content}}],
    }
    return {**folded, **{key: items for key, items in lists.items() if items}, "output": output}


def _items(frames: Iterable[object]) -> list[Any]:
    """Add up the lists of P1 and P4: an image is taken once, and as the last frame that names it has it."""
    items: list[Any] = []
    for frame in frames:
        named = as_list(frame)
        if len(named) >= len(items) and all(map(_is_same, items, named)):
            items = list(named)
            continue
        for item in named:
            place = next((i for i, earlier in enumerate(items) if _name(earlier) == _name(item)), len(items))
            items[place : place + 1] = [item]
    return items


def _is_same(earlier: object, later: object) -> bool:
    """Tell whether an item stands where it stood before; an empty one kept the place free for it."""
    return _name(earlier) in (None, _name(later))


def _name(item: object) -> object:
    """Return what an item is known by: its image, else its words; ``None`` where it has neither."""
    if not isinstance(item, dict):
        return item
    return image_in(item) or next(((key, item[key]) for key in ("code", "message") if item.get(key)), None)


def _content(frames: list[list[Document]]) -> list[Document]:
    content: list[Document] = []
    for parts in frames:
        if content and len(parts) >= len(content) and _repeats(parts[0], content[0]):
            content = list(parts)
            continue
        for part in parts:
            _add(content, part)
    return content


def _repeats(part: Document, earlier: Document) -> bool:
    """Tell whether ``part`` is ``earlier`` again, grown or not."""
    if image_in(earlier) is not None:
        return image_in(part) == image_in(earlier)
    text, before = part.get("text"), earlier.get("text")
    return isinstance(text, str) and isinstance(before, str) and bool(before) and text.startswith(before)


def _add(content: list[Document], part: Document) -> None:
    """Add a part of a later frame: a caption goes on where one stood last, an image is taken once."""
    image = image_in(part)
    if image is not None:
        if all(image_in(earlier) != image for earlier in content):
            content.append(part)
        return
    last = content[-1] if content else {}
    text, before = part.get("text"), last.get("text")
    if isinstance(text, str) and isinstance(before, str) and image_in(last) is None:
        content[-1] = {**last, "text": text if text.startswith(before) else before + text}
    else:
        content.append(part)
