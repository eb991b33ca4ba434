"""What lies in the bucket: one object for each image, and the manifest that says the set is complete."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferIncomplete
from airflow_provider_qwenimage.models.coercion import Moment
from airflow_provider_qwenimage.models.labels import Missing
from airflow_provider_qwenimage.models.results import ImageFields

VERSION: Final = 1


class _Bytes(BaseModel):
    """What is known of the stored bytes."""

    uri: str
    index: int
    content_type: str
    bytes: int
    sha256: str
    width: int
    height: int


class StoredImage(ImageFields, _Bytes):
    """One image in the bucket; also an element of the XCom key ``stored``."""

    # Said again: pydantic 2.11 looks for the names of an inherited annotation in the module of the heir.
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    def xcom(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return self.model_dump(mode="json")


class Failure(Missing):
    """An image of the set that is not in the bucket."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int
    reason: str


class Origin(BaseModel):
    """The task instance that stores a set; ``map_index`` is -1 for a task that is not mapped."""

    model_config = ConfigDict(frozen=True)

    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int = -1


class Manifest(BaseModel):
    """The set under one prefix, as ``manifest.json`` tells it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = VERSION
    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int = -1
    created_at: Moment = Field(default_factory=lambda: datetime.now(UTC))
    images: tuple[StoredImage, ...]
    failures: tuple[Failure, ...] = ()

    def dump(self) -> bytes:
        """Spell the manifest as the JSON that is stored."""
        return self.model_dump_json(indent=2).encode() + b"\n"

    @classmethod
    def load(cls, text: bytes | str, *, where: str = "manifest") -> Self:
        """
        Read a stored manifest.

        :param where: its URI, for the error.
        :raises InvalidRequest: for another version, or for JSON that is no manifest.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
        if field == "version":
            rule = f"is of a version other than {VERSION}"
            raise InvalidRequest(
                where, rule, advice="Update airflow-provider-qwenimage to read it."
            ) from None
        raise InvalidRequest(
            where, f"is not a manifest of this provider ({field or 'not JSON'}: {first['msg']})"
        )


_SHOWN_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of a set.

    :param images: what is stored, in input order.
    :param failures: what is not.
    :param manifest: its URI; ``None`` where the set is incomplete and must not look complete.
    :param lasting: every failure is one that a retry meets again: a dead link, too large, a closed host.
    """

    images: tuple[StoredImage, ...]
    failures: tuple[Failure, ...] = ()
    manifest: str | None = None
    cause: BaseException | None = field(default=None, repr=False)
    lasting: bool = False

    @property
    def uris(self) -> list[str]:
        """The ``s3://`` URIs, in input order."""
        return [image.uri for image in self.images]

    @property
    def labels(self) -> dict[str, str]:
        """The labels that all its images share."""
        shared = dict(self.images[0].labels) if self.images else {}
        for image in self.images:
            shared = {name: text for name, text in shared.items() if image.labels.get(name) == text}
        return shared

    @property
    def stored(self) -> list[dict[str, Any]]:
        """The value of the XCom key ``stored``."""
        return [image.xcom() for image in self.images]

    def raise_if_incomplete(self) -> None:
        """Raise ``TransferIncomplete`` where images are missing and no manifest says so."""
        if not self.failures or self.manifest:
            return
        total = len(self.images) + len(self.failures)
        told = [f"#{failure.index}: {failure.reason}" for failure in self.failures[:_SHOWN_FAILURES]]
        more = len(self.failures) - len(told)
        incomplete = TransferIncomplete(
            f"{len(self.failures)} of {total} images could not be stored: "
            + " | ".join(told + ([f"and {more} more"] if more else [])),
            failures=[failure.model_dump() for failure in self.failures],
            advice="What was stored stays; a retry stores only what is missing and buys nothing.",
        )
        incomplete.final = self.lasting
        raise incomplete from self.cause
