"""What came back: images and where each is to be had, what failed, and what it cost; or a job."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from airflow_provider_qwenimage.defaults import STORES
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.coercion import Moment
from airflow_provider_qwenimage.models.labels import Labels, Missing
from airflow_provider_qwenimage.models.requests import Asked, Operation, Size
from airflow_provider_qwenimage.redaction import without_query

if TYPE_CHECKING:
    from collections.abc import Iterable


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class GeneratedImage(_Result):
    """
    One image as the gateway delivered it.

    :param url: where it lies until ``expires_at``; ``None`` when the reply carried the bytes inline.
    :param data: the inline bytes; never part of a dump.
    :param index: position in the reply, failed items counted.
    :param size: what came: ``"1328*1328"`` by the stored bytes or the reply; where neither says, what was asked for.
    :param asked_size: what was asked for, as it was sent: pixels or a tier.
    :param labels: the author's own names for it.
    :param origin: the marks of origin in its bytes, where they were stored by the same task.
    :param operation: what was asked for: a mark of origin tells a generated image from an edited one.
    :param adopted_job: the job it was found in, where its request was never answered; absent otherwise.
    """

    url: str | None
    index: int
    gateway: str
    model: str | None
    prompt: str
    revised_prompt: str | None = None
    seed: int | None = None
    size: str | None = None
    asked_size: str | None = None
    request_id: str | None = None
    created_at: Moment
    expires_at: Moment | None = None
    labels: Labels = Field(default_factory=dict)
    origin: dict[str, Any] | None = None
    operation: Operation | None = None
    adopted_job: str | None = None
    data: bytes | None = Field(default=None, exclude=True, repr=False)

    @model_serializer(mode="wrap")
    def _without_what_is_rare(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told: dict[str, Any] = dump(self)
        if self.adopted_job is None:
            told.pop("adopted_job", None)
        return told


class ImageFields(BaseModel):
    """
    What is known of an image besides its bytes; an author's own keys are carried along.

    :param url: where it came from; never with a query, which may hold the right to it.
    :param size: what came; once it is stored, by its bytes.
    :param asked_size: what was asked for.
    :param labels: the author's own names for it.
    :param operation: what was done to make it, where its task told.
    :param origin: the marks of origin in its bytes as they are stored; ``None`` where nobody looked.
    :param arrived_sha256: of its bytes as they arrived, where a mark was added to them since.
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
    labels: Labels = Field(default_factory=dict)
    operation: str | None = None
    origin: dict[str, JsonValue] | None = None
    arrived_sha256: str | None = None

    @field_validator("url")
    @classmethod
    def _keep_no_signature(cls, value: str | None) -> str | None:
        if value is None or value[:5].lower() == "data:":
            return None
        return value if value.startswith(STORES) else without_query(value)


Kind = Literal["http", "stored", "data", "bytes"]
IMAGE_SCHEMES: dict[str, Kind] = {
    **{store.removesuffix("://"): "stored" for store in STORES},
    "http": "http",
    "https": "http",
    "data": "data",
}


@dataclass(frozen=True, slots=True)
class ImageSource:
    """
    One image to store.

    :param location: http(s) or ``data:`` URL, or the URI of an object; empty for inline bytes.
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
        known = self.fields.model_dump(exclude_none=True, exclude_defaults=True, exclude={"url"})
        return self.kind in ("http", "stored") and not known

    # Facts about stored bytes and the bytes themselves: measured again, and never copied into a manifest.
    MEASURED: ClassVar[frozenset[str]] = frozenset(
        {"uri", "index", "content_type", "bytes", "sha256", "width", "height", "data", "b64_json"}
    )


class Sized(Protocol):
    """What has a size that came and one that was asked for."""

    @property
    def size(self) -> str | None: ...  # noqa: D102

    @property
    def asked_size(self) -> str | None: ...  # noqa: D102


def other_sizes(images: Iterable[Sized]) -> str | None:
    """Say which images came in other pixels than asked for; ``None`` where all are right, or nobody can know."""
    every = list(images)
    pairs = Counter(
        (came.text(), asked.text())
        for image in every
        if (came := _pixels(image.size)) and (asked := _pixels(image.asked_size)) and came != asked
    )
    if not pairs:
        return None
    told = "; ".join(f"{count} of {came} instead of {asked}" for (came, asked), count in pairs.most_common(3))
    more = f"; and {len(pairs) - 3} pairs more" if len(pairs) > 3 else ""
    return f"{sum(pairs.values())} of {len(every)} images came in another size than asked for: {told}{more}"


def _pixels(text: str | None) -> Size | None:
    try:
        size = Size.parse(text)
    except ValueError:  # "auto", or a gateway's own word
        return None
    return size if size and size.pixels else None


class ImageFailure(_Result, Missing):
    """One of n images that did not come, with the gateway's reason."""

    index: int
    reason: str
    code: str | None = None


class Usage(_Result):
    """
    What the call used; ``None`` where the gateway does not say.

    :param input_image_count: input images that are billed.
    :param output_image_type: what the images are billed as, such as ``"qima_output_2k"``.
    :param cost: in ``currency``, by the connection's ``price_per_image`` or else the vendor's dated list.
    :param estimate: the list that ``cost`` was reckoned by, source and date; not in a dump where the connection names
        the price.
    """

    image_count: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_image_count: int | None = Field(default=None, exclude=True)
    output_image_type: str | None = Field(default=None, exclude=True)
    cost: float | None = None
    currency: str | None = None
    estimate: str | None = None

    @model_serializer(mode="wrap")
    def _estimates_say_so(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told: dict[str, Any] = dump(self)
        if self.estimate is None:
            told.pop("estimate", None)
        return told

    def __str__(self) -> str:
        by = f" (an estimate by the vendor's list, {self.estimate})" if self.estimate else ""
        return "" if self.cost is None else f"cost {self.cost:g} {self.currency or ''}".rstrip() + by


class Generation(_Result):
    """Everything one call brought back."""

    images: tuple[GeneratedImage, ...]
    texts: tuple[str, ...] = ()
    failures: tuple[ImageFailure, ...] = ()
    usage: Usage = Usage()
    request_id: str | None = None
    job_id: str | None = None
    gateway: str
    model: str | None = None

    def labelled(self, labels: dict[str, str]) -> Generation:
        """Return it with the labels that hold now: what was paid under other names is the same."""
        update = {"labels": labels}
        images = tuple(image.model_copy(update=update) for image in self.images)
        failures = tuple(failure.model_copy(update=update) for failure in self.failures)
        return self.model_copy(update={"images": images, "failures": failures})

    @property
    def urls(self) -> list[str]:
        """The URLs of the images, in order; inline images have none."""
        return [image.url for image in self.images if image.url is not None]

    @property
    def stored_uris(self) -> list[str]:
        """Those of ``urls`` that lead into a store: where a task stored them, as its record tells."""
        return [url for url in self.urls if url.strip().lower().startswith(STORES)]

    def xcom(self) -> dict[str, Any]:
        """Return the keys an operator pushes beside ``return_value``: plain JSON, no image bytes."""
        dump = self.model_dump(mode="json")
        dump.pop("gateway")
        return dump


class Job(_Result):
    """
    Work a gateway accepted and has not finished: all that is needed to wait for it on another machine.

    :param id: the gateway's id of it.
    :param submitted_at: when it was accepted; deadlines count from here.
    :param host: the base URL it was submitted to; it is known nowhere else.
    :param account: a digest of host and key it was submitted with; others may not be shown it.
    :param adopted: its submission was never answered: it was found in the gateway's list.
    """

    id: str
    gateway: str
    host: str | None = None
    asked: Asked
    request_id: str | None = None
    submitted_at: Moment
    account: str | None = None
    adopted: bool = False
