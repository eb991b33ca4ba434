"""Folds the frames of an event stream (P8) into one document, whatever the shape of its frames."""

from __future__ import annotations

from itertools import chain, groupby, pairwise
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.wire.documents import Document, as_dict, as_list, contents
from airflow_provider_qwenimage.wire.items import image_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LISTS = ("data", "images")


def fold(frames: tuple[Document, ...]) -> Document:
    """
    Fold the frames of an event stream into one document.

    The vendor's frames are increments, each of which says ``finished: true`` (wan2.6-image, 2026-11), and a caption may
    begin with the same token twice. A gateway may send all so far instead: such a stream is known by every frame of it
    restating the one before.
    """
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
    places: dict[object, int] = {}
    for frame in frames:
        named = as_list(frame)
        if len(named) >= len(items) and all(map(_is_same, items, named)):
            items, places = list(named), {}
            for place, item in enumerate(items):
                places.setdefault(_name(item), place)
            continue
        for item in named:
            place = places.setdefault(_name(item), len(items))
            items[place : place + 1] = [item]
    return items


def _is_same(earlier: object, later: object) -> bool:
    """Tell whether an item stands where it stood before; an empty one kept the place free for it."""
    return _name(earlier) in (None, _name(later))


def _name(item: object) -> object:
    """Return what an item is known by: its image, else its words; ``None`` where it has neither."""
    if not isinstance(item, dict):
        return str(item)
    image = image_in(item)
    known = image or next(((key, item[key]) for key in ("code", "message") if item.get(key)), None)
    return None if known is None else str(known)


def _content(frames: list[list[Document]]) -> list[Document]:
    told = [parts for parts in frames if parts]
    if len(told) > 1 and all(_restates(later, earlier) for earlier, later in pairwise(told)):
        return told[-1]
    return _joined(_each_once(chain.from_iterable(told)))


def _restates(parts: list[Document], earlier: list[Document]) -> bool:
    """Tell whether ``parts`` are ``earlier`` again, grown or not."""
    return len(parts) >= len(earlier) and all(map(_repeats, parts, earlier))


def _repeats(part: Document, earlier: Document) -> bool:
    image = image_in(earlier)
    if image is not None:
        return image_in(part) == image
    text, before = part.get("text"), earlier.get("text")
    return isinstance(text, str) and isinstance(before, str) and bool(before) and text.startswith(before)


def _each_once(parts: Iterable[Document]) -> Iterator[Document]:
    """Yield the parts, an image that is named twice once."""
    seen: set[str] = set()
    for part in parts:
        image = image_in(part)
        if image is None or str(image) not in seen:
            yield part
        if image is not None:
            seen.add(str(image))


def _joined(parts: Iterable[Document]) -> list[Document]:
    """Join the captions: one goes on until an image comes."""
    content: list[Document] = []
    for is_caption, run in groupby(parts, key=_is_caption):
        pieces = list(run)
        if is_caption:
            pieces = [{**pieces[0], "text": "".join(piece["text"] for piece in pieces)}]
        content += pieces
    return content


def _is_caption(part: Document) -> bool:
    return image_in(part) is None and isinstance(part.get("text"), str)
