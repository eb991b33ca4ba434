"""Reads where the images of a set are out of what authors and tasks hand over: URLs, image objects, lists of lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from airflow_provider_qwenimage.defaults import STORES
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.coercion import literal
from airflow_provider_qwenimage.models.results import IMAGE_SCHEMES, GeneratedImage, ImageFields, ImageSource


def read_sources(images: Any) -> tuple[ImageSource, ...]:
    """
    Flatten what an author or an upstream task gives as ``images``, in order.

    :param images: URL, image object, ``GeneratedImage``, any nesting of lists of them (mapped outputs
        included), or a template's text of one.
    :raises InvalidRequest: naming the element that holds no image, or ``images`` when there is none.
    """
    sources = tuple(_walk(_parsed(images), "images"))
    if not sources:
        raise InvalidRequest(
            "images", "holds no image", advice="Check the task that should have delivered them."
        )
    return sources


def described(sources: Iterable[ImageSource], objects: Any) -> tuple[ImageSource, ...]:
    """
    Return the sources with what image objects of the same URLs tell of them.

    :param objects: what tasks pushed as ``images``, in any nesting of lists; whatever else is in it is passed over.
    """
    told: dict[str, Mapping[str, Any]] = {}
    for each in _mappings(objects):
        told.setdefault(str(each.get("url")), each)
    return tuple(
        _source(told[source.location], "images") if source.is_bare and source.location in told else source
        for source in sources
    )


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
    elif isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray)):
        for item in value:
            yield from _mappings(item)


def _parsed(images: Any) -> Any:
    """Read a rendered template: JSON, or the Python literal that Jinja makes of a list."""
    if not isinstance(images, str):
        return images
    text = images.strip()
    if text[:1] not in ("[", "{", "("):
        return text
    try:
        return literal(text)
    except ValueError:
        raise InvalidRequest("images", "is text that is neither a URL nor a list") from None


def _walk(value: Any, path: str) -> Iterator[ImageSource]:
    if isinstance(value, (str, Mapping, GeneratedImage)):
        yield _source(value, path)
    elif isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray, set, frozenset)):
        for position, item in enumerate(value):
            yield from _walk(item, f"{path}[{position}]")
    else:
        raise InvalidRequest(
            path, f"must be a URL, an image object or a list of them, got {type(value).__name__}"
        )


def _source(value: str | Mapping[str, Any] | GeneratedImage, path: str) -> ImageSource:
    if isinstance(value, GeneratedImage) and value.data is not None:
        return ImageSource.of(value)
    if isinstance(value, GeneratedImage):
        value = value.model_dump(mode="json")
    if isinstance(value, str):
        value = {"url": value}
    uri, url = value.get("uri"), value.get("url")
    location = uri if isinstance(uri, str) and uri.startswith(STORES) else url
    if not isinstance(location, str) or not location.strip():
        raise InvalidRequest(
            path, "holds no url", advice="Images that came inside a reply are stored with persist_to."
        )
    location = location.strip()
    if location.partition(":")[0].lower() not in IMAGE_SCHEMES:
        raise InvalidRequest(path, "must be an http, https, s3, gs, abfs, file or data URL")
    if location.startswith(STORES) and not location.partition("://")[2].partition("/")[2]:
        raise InvalidRequest(path, "names a bucket and no object: must be s3://bucket/key")
    return ImageSource(location=location, fields=_fields({"url": location, **value}, path))


def _fields(facts: Mapping[str, Any], path: str) -> ImageFields:
    kept = {name: fact for name, fact in facts.items() if name not in ImageSource.MEASURED}
    try:
        return ImageFields(**kept)
    except (ValidationError, TypeError, ValueError) as error:
        detail = error.errors(include_url=False)[0] if isinstance(error, ValidationError) else None
        name = ".".join(str(part) for part in detail["loc"]) if detail else "url"
        raise InvalidRequest(f"{path}.{name}", str(detail["msg"]) if detail else "cannot be read") from None
