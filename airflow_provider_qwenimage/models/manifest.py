"""A set of images: where each comes from, what lies in the bucket, and the manifest that says it is complete."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from airflow_provider_qwenimage.exceptions import InvalidRequest, TransferIncomplete
from airflow_provider_qwenimage.models.coercion import Moment
from airflow_provider_qwenimage.redaction import without_query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_qwenimage.models.results import GeneratedImage

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


class ImageFields(BaseModel):
    """
    What is known of an image besides its bytes; an author's own keys are carried along.

    :param url: where it came from; never with a query, which may hold the right to it.
    :param size: what came; once it is stored, by its bytes.
    :param asked_size: what was asked for.
    """

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    url: str | None = None
    gateway: str | None = None
    model: str | None = None
    prompt: str | None = None
    revised_prompt: str | None = None
    seed: int | None = None
    size: str | None = None
    asked_size: str | None = None
    request_id: str | None = None
    created_at: str | None = None
    expires_at: str | None = None

    @field_validator("url")
    @classmethod
    def _keep_no_signature(cls, value: str | None) -> str | None:
        if value is None or value[:5].lower() == "data:":
            return None
        return value if value.startswith("s3://") else without_query(value)


Kind = Literal["http", "s3", "data", "bytes"]
IMAGE_SCHEMES: dict[str, Kind] = {"http": "http", "https": "http", "s3": "s3", "data": "data"}


@dataclass(frozen=True, slots=True)
class ImageSource:
    """
    One image to store.

    :param location: http(s), ``s3://`` or ``data:`` URL; empty for inline bytes.
    :param data: inline bytes.
    :param fields: what is known of the image.
    """

    location: str = field(default="", repr=False)
    data: bytes | None = field(default=None, repr=False)
    fields: ImageFields = field(default_factory=ImageFields)

    @classmethod
    def of(cls, image: GeneratedImage) -> Self:
        """Return where an image is that this provider brought: its bytes, or the link of a gateway."""
        location = (image.url or "").strip()
        if image.data is None and location.partition(":")[0].lower() not in IMAGE_SCHEMES:
            raise InvalidRequest("images", "an image has neither bytes nor a URL that can be fetched")
        fields = ImageFields(**image.model_dump(mode="json", exclude={"index"}))
        return cls(location=location, data=image.data, fields=fields)

    @property
    def kind(self) -> Kind:
        """How its bytes are had."""
        if self.data is not None:
            return "bytes"
        return IMAGE_SCHEMES[self.location.partition(":")[0].lower()]

    @property
    def is_bare(self) -> bool:
        """Whether nothing is known of it but where it lies."""
        return self.kind in ("http", "s3") and not self.fields.model_dump(exclude_none=True, exclude={"url"})

    # Facts about stored bytes and the bytes themselves: measured again, and never copied into a manifest.
    MEASURED: ClassVar[frozenset[str]] = frozenset(
        {"uri", "index", "content_type", "bytes", "sha256", "width", "height", "data", "b64_json"}
    )


class StoredImage(ImageFields, _Bytes):
    """
    One image in the bucket; also an element of the XCom key ``stored``.

    :param origin: the marks of origin in the bytes that arrived; ``None`` where nobody looked.
    """

    origin: dict[str, JsonValue] | None = None

    def xcom(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return self.model_dump(mode="json")


class Failure(BaseModel):
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

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> Self:
        """Read it from a task's context."""
        instance = context["ti"]
        index = getattr(instance, "map_index", None)
        return cls(
            dag_id=instance.dag_id,
            run_id=instance.run_id,
            task_id=instance.task_id,
            map_index=-1 if index is None else index,
        )


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
