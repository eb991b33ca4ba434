"""Gives stored images other labels: to their objects by a copy on the server, and never by another purchase."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.images.checked import Measured
from airflow_provider_qwenimage.models.labels import LABELS, as_header, of_header
from airflow_provider_qwenimage.models.results import ImageFields, ImageSource

if TYPE_CHECKING:
    from airflow_provider_qwenimage.models.manifest import StoredImage
    from airflow_provider_qwenimage.storage.objects import ImageObjects
    from airflow_provider_qwenimage.storage.prefix import Bucket, Prefix
    from airflow_provider_qwenimage.storage.stored import StoredObject


class Relabel:
    """
    Sees to it that the objects of a set tell the labels that hold now.

    :param objects: puts them under their names.
    :param prefix: whose manifest is withdrawn before anything changes.
    """

    def __init__(self, objects: ImageObjects, bucket: Bucket, prefix: Prefix) -> None:
        self._objects, self._bucket, self._prefix = objects, bucket, prefix

    def bring(self, stored: StoredObject, source: ImageSource, index: int, *, max_bytes: int) -> StoredImage:
        """Store an image that lies in S3; where its author says nothing of it, its object tells its labels."""
        known = of_header(stored.metadata.get(LABELS))
        if source.is_bare:
            source = replace(source, fields=source.fields.model_copy(update={"labels": known}))
        image = self._objects.bring(stored, source, index, max_bytes=max_bytes)
        if image.uri == stored.uri and image.labels != known:
            self._tell(image)
        return image

    def give(self, image: StoredImage, labels: dict[str, str]) -> StoredImage:
        """Return a stored image with other labels; under another name where they are part of it."""
        if image.labels == labels:
            return image
        fields = image.model_dump(mode="json", exclude=set(ImageSource.MEASURED)) | {"labels": labels}
        source = ImageSource(location=image.uri, fields=ImageFields(**fields))
        given = self._objects.copy(Measured.recorded(image), image.uri, source, image.index)
        if given.uri == image.uri:
            self._tell(given)
        return given

    def _tell(self, image: StoredImage) -> None:
        """Replace the metadata of an object; its bytes stay."""
        measured = Measured.recorded(image)
        told: dict[str, Any] = {**measured.metadata}
        if image.labels:
            told[LABELS] = as_header(image.labels)
        self._prefix.withdraw()
        name = image.uri.removeprefix(self._bucket.uri(""))
        facts = {"content_type": image.content_type, "sha256": image.sha256}
        self._bucket.copy(image.uri, name, **facts, metadata=told)
