"""Reads the images a person is to be asked about: what tasks stored, or the manifests that list it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.defaults import STORES
from airflow_provider_qwenimage.exceptions import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

_ADVICE = 'Give what a task stored: store.output["stored"], or its manifest.'


def candidates(images: Any, *, aws_conn_id: str | None) -> list[dict[str, Any]]:
    """
    Return image objects as the XCom key ``stored`` has them, in order and each URI once.

    :param images: image objects, manifests (``{"uri": …}``, ``s3://…/manifest.json``, one of another store, or the
        prefix it lies under), any nesting of lists of them (mapped outputs included), or a template's text of one.
    :raises InvalidRequest: naming the element that is neither.
    :raises TransferError: a manifest is gone or cannot be read.
    """
    found: dict[str, dict[str, Any]] = {}
    for image in _walk(_parsed(images), "images", aws_conn_id):
        found.setdefault(image["uri"], image)
    return list(found.values())


def _parsed(images: Any) -> Any:
    from airflow_provider_qwenimage.models.coercion import literal

    if isinstance(images, str) and images.strip()[:1] in ("[", "{", "("):
        try:
            return literal(images.strip())
        except ValueError:
            raise InvalidRequest("images", "is text that is no list", advice=_ADVICE) from None
    return images


def _walk(value: Any, path: str, aws_conn_id: str | None) -> Iterator[dict[str, Any]]:
    if value is None:  # a task that was skipped before this one
        return
    if _is_manifest(value):
        from airflow_provider_qwenimage.manifests import read_manifest

        yield from (image.xcom() for image in read_manifest(value, aws_conn_id=aws_conn_id).images)
    elif isinstance(value, Mapping):
        yield _stored(value, path)
    elif isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray)):
        for position, item in enumerate(value):
            yield from _walk(item, f"{path}[{position}]", aws_conn_id)
    else:
        told = f"got {value[:80]!r}" if isinstance(value, str) else f"got {type(value).__name__}"
        raise InvalidRequest(path, f"must be an image object or a manifest, {told}", advice=_ADVICE)


def _is_manifest(value: Any) -> bool:
    if isinstance(value, Mapping):
        return set(value) == {"uri"}
    text = value.strip() if isinstance(value, str) else ""
    return text.startswith(STORES) and text.endswith(("/", ".json"))


def _stored(image: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Take an image object whose bytes lie in S3 and are known: whatever else could be another by tomorrow."""
    from pydantic import ValidationError

    from airflow_provider_qwenimage.models.manifest import StoredImage

    try:
        return StoredImage.model_validate(dict(image)).xcom()
    except ValidationError as error:
        missing = ".".join(
            str(part) for part in error.errors(include_url=False, include_input=False)[0]["loc"]
        )
        raise InvalidRequest(path, f"is no stored image ({missing})", advice=_ADVICE) from None
