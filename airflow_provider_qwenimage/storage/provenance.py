"""
What ``provenance`` asks of the marks of origin of an image before it is stored.

* ``keep``     nothing: its bytes are stored as they arrived, and nothing here is loaded
* ``require``  that it carries a mark a machine can read
* ``label``    that it gets the marks it lacks; what is signed stays as it is
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_qwenimage.exceptions import ImageUnmarked, TransferError
from airflow_provider_qwenimage.images.checked import receive
from airflow_provider_qwenimage.images.label import Label, labelled
from airflow_provider_qwenimage.images.origin import ARRIVED, Marks
from airflow_provider_qwenimage.storage.objects import ImageObjects

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_qwenimage.defaults import Provenance
    from airflow_provider_qwenimage.images.checked import Downloaded, Measured
    from airflow_provider_qwenimage.images.signing import Signer
    from airflow_provider_qwenimage.models.manifest import StoredImage
    from airflow_provider_qwenimage.models.results import ImageFields, ImageSource
    from airflow_provider_qwenimage.storage.stored import StoredObject

_EDITS = frozenset({"edit", "translate"})  # what they were made of shows in them


class Demand(Protocol):
    """What is asked of each image of a set; safe to share between threads."""

    def is_met(self, marks: Marks, fields: ImageFields) -> bool:
        """Whether an image of these marks needs nothing more."""

    def meet(self, image: Downloaded, fields: ImageFields) -> Downloaded:
        """
        Return the image as it is to be stored, often itself; whoever gets another one closes both.

        :raises ImageUnmarked: it lacks a mark, and gets none.
        """


class Required:
    """An image carries a mark, or is not stored."""

    def is_met(self, marks: Marks, fields: ImageFields) -> bool:  # noqa: ARG002 - as ``Demand`` has it
        """Whether a machine can see that it is generated."""
        return marks.generated

    def meet(self, image: Downloaded, fields: ImageFields) -> Downloaded:
        """Return the image."""
        marks = _marks(image)
        if self.is_met(marks, fields):
            return image
        says = marks.digital_source_type
        raise ImageUnmarked(
            "The image carries no machine-readable mark of being generated"
            + (f"; it says of itself that it is {says}" if says else ""),
            advice="provenance='label' adds one, and 'keep' stores it as it is; nothing is bought again for it.",
        )


class Labelled:
    """
    An image gets the marks it lacks.

    :param producer: who answers for the service, where the label of GB 45438 is wanted.
    :param signer: signs what is not signed.
    """

    def __init__(self, producer: str | None = None, signer: Signer | None = None) -> None:
        self._producer, self._signer = producer, signer

    def is_met(self, marks: Marks, fields: ImageFields) -> bool:
        """Whether nothing would be added to it."""
        if self._signer is not None:
            return marks.c2pa
        try:
            return self._label(fields).lacking(marks, "") == Marks()
        except ImageUnmarked:
            return False

    def meet(self, image: Downloaded, fields: ImageFields) -> Downloaded:
        """Return the image with its label, and signed where that is configured."""
        if self._signer is None or _marks(image).c2pa:
            return labelled(image, self._label(fields))
        marked = self._to_be_signed(image, fields)
        try:
            return self._signer.signed(marked, edited=fields.operation in _EDITS, software=fields.model)
        finally:
            if marked is not image:
                marked.close()

    def _to_be_signed(self, image: Downloaded, fields: ImageFields) -> Downloaded:
        """Return the image with its label, without one where its format takes none: the signature is one."""
        label = self._label(fields)
        label.lacking(_marks(image), "")  # refuses to contradict what the file says of itself
        try:
            return labelled(image, label)
        except ImageUnmarked:
            return image

    def _label(self, fields: ImageFields) -> Label:
        return Label(edited=fields.operation in _EDITS, tc260_producer=self._producer)


class MarkedObjects(ImageObjects):
    """
    Puts the images of one set under their names, with the marks that are asked for.

    :param demand: what is asked of each of them; further arguments are those of ``ImageObjects``.
    """

    def __init__(self, *of: Any, demand: Demand, **options: Any) -> None:
        super().__init__(*of, **options)
        self._demand = demand

    def accepts(self, stored: StoredImage) -> bool:
        """Whether its record tells the marks that are asked for."""
        return stored.origin is not None and self._demand.is_met(Marks.told(stored.origin), stored)

    def upload(self, image: Downloaded, source: ImageSource, index: int) -> StoredImage:
        """
        Store an image whose bytes are at hand, with its marks.

        :raises ImageUnmarked: it lacks them, or what lies under its name and stays there does.
        """
        marked = self._demand.meet(image, source.fields)
        try:
            return self._checked(super().upload(marked, source, index))
        finally:
            if marked is not image:
                marked.close()

    def copy(
        self, image: Measured, uri: str, source: ImageSource, index: int, **of_the_object: Any
    ) -> StoredImage:
        """Store an image that carries its marks, by a copy on the server."""
        return self._checked(super().copy(image, uri, source, index, **of_the_object))

    def _checked(self, stored: StoredImage) -> StoredImage:
        if self.accepts(stored):
            return stored
        raise ImageUnmarked(
            f"{stored.uri} lacks the mark that is asked for, and if_exists='skip' lets it stay",
            advice="Choose another prefix, or if_exists='replace'; nothing is bought again for it.",
        )

    def bring(self, stored: StoredObject, source: ImageSource, index: int, *, max_bytes: int) -> StoredImage:
        """Store an image that lies in S3 already: by a copy on the server where its bytes carry the marks."""
        with stored:
            image = receive(stored.chunks(), max_bytes=max_bytes)
        with image:
            if not self._demand.is_met(_marks(image), source.fields):
                return self.upload(image, source, index)
            found = self.as_recorded(image, stored.uri, source.fields)
            return self.copy(found, stored.uri, source, index, etag=stored.etag)


def labelled_since(image: StoredImage, there: StoredObject) -> StoredImage:
    """Return the record of what lies in the place of an image where that is its labelled form, else as it was."""
    if there.metadata.get(ARRIVED) != image.sha256:
        return image
    with receive(there.chunks(), max_bytes=sys.maxsize) as found:
        told = {"bytes": found.size, "sha256": found.sha256, "origin": _marks(found).as_json()}
    return image.model_copy(update={**told, "arrived_sha256": image.sha256})


def demanded(provenance: Provenance) -> Callable[..., MarkedObjects]:
    """Return what stores images with the marks that are asked for, as Airflow is configured."""
    if provenance == "require":
        return partial(MarkedObjects, demand=Required())
    from airflow.providers.common.compat.sdk import conf

    option = partial(conf.get, "qwenimage", fallback="")
    producer, certificate, key = map(option, ("tc260_producer", "c2pa_certificate", "c2pa_key"))
    signer = _signer(str(certificate or ""), str(key or "")) if certificate or key else None
    return partial(MarkedObjects, demand=Labelled(str(producer or "").strip() or None, signer))


def _signer(certificate: str, key: str) -> Signer:
    from importlib.util import find_spec

    if find_spec("c2pa") is None:
        raise TransferError(
            "[qwenimage] c2pa_certificate is set, and c2pa-python is not installed on this worker",
            billing="no",
            advice="Install airflow-provider-qwenimage[c2pa] there.",
        )
    from airflow_provider_qwenimage.images.signing import Signer

    return Signer(_pem(certificate, "c2pa_certificate"), _pem(key, "c2pa_key"))


def _pem(value: str, option: str) -> bytes:
    """Return what an option holds, or the file that it names; its value is never told: it may be a key."""
    if "-----BEGIN" in value:
        return value.replace("\\n", "\n").encode()
    try:
        return Path(value.strip()).read_bytes()
    except (OSError, ValueError):
        rule = "is neither PEM nor the path of a file of it that this worker can read"
        advice = (
            "Both c2pa_certificate and c2pa_key are needed to sign; neither, to label without a signature."
        )
        raise TransferError(f"[qwenimage] {option} {rule}", billing="no", advice=advice) from None


def _marks(image: Downloaded) -> Marks:
    assert image.facts.marks is not None  # it was read to its end
    return image.facts.marks
