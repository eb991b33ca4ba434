"""What the author means: one frozen model per operation, checked as far as no vendor fact is needed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from airflow_provider_qwenimage.models.coercion import (
    UNSET,
    BlankIsNone,
    Boxes,
    Count,
    Images,
    Prompt,
    RenderedNoneIsNone,
    Seed,
    literal,
)
from airflow_provider_qwenimage.models.labels import Labels

Operation = Literal["generate", "edit", "sequence", "translate"]

_PAIR = re.compile(r"(\d{1,5})\s*[*xX×]\s*(\d{1,5})")
_RATIO = re.compile(r"(\d{1,4}(?:\.\d+)?)\s*:\s*(\d{1,4}(?:\.\d+)?)")
_TIER = re.compile(r"([1-9])\s*[kK]")
TRANSLATOR = "qwen-mt-image-2.0"  # what a translation goes to that names no model
SIZE_FORMS = '"1328*1328", "1328x1328", [1328, 1328], "16:9" or "2K"'


@dataclass(frozen=True, slots=True)
class Size:
    """
    The size of an image as its author wrote it: pixels, a ratio or a tier; exactly one of the three is set.

    :param pixels: width and height in pixels.
    :param ratio: width to height, such as ``(16, 9)``; the catalogue turns it into the model's own pixels.
    :param tier: ``1K``, ``2K`` or ``4K``; sent as it is.
    """

    pixels: tuple[int, int] | None = None
    ratio: tuple[float, float] | None = None
    tier: str | None = None

    @classmethod
    def parse(cls, value: object) -> Size | None:
        """Read every spelling an author may use; ``None`` and blank mean unset; raise ``ValueError`` otherwise."""
        if value is None or isinstance(value, Size):
            return value
        if isinstance(value, (list, tuple)) and len(value) == 2:
            value = "*".join(str(side) for side in value)
        if not isinstance(value, str):
            raise ValueError(f"must look like {SIZE_FORMS}, got {value!r}")
        text = value.strip().strip("[]()").replace(",", "*")
        if text.lower() in UNSET:
            return None
        if match := _PAIR.fullmatch(re.sub(r"\s+", "", text)):
            width, height = int(match[1]), int(match[2])
            if width and height:
                return cls(pixels=(width, height))
        elif match := _RATIO.fullmatch(text):
            across, down = float(match[1]), float(match[2])
            if across and down:
                return cls(ratio=(across, down))
        elif match := _TIER.fullmatch(text):
            return cls(tier=f"{match[1]}K")
        raise ValueError(f"must look like {SIZE_FORMS}, got {value!r}")

    def text(self, separator: str = "*") -> str:
        """Spell the size for the wire; a ratio must have been resolved to pixels before."""
        if self.pixels:
            return f"{self.pixels[0]}{separator}{self.pixels[1]}"
        if self.tier:
            return self.tier
        across, down = self.ratio or (0, 0)
        return f"{across:g}:{down:g}"


class ImageRequest(BaseModel):
    """
    What every operation shares.

    :param prompt: what the image shows; not empty.
    :param model: the model's name, ``provider/name`` included; ``None`` only until the connection's default is known.
    :param size: see ``Size``.
    :param n: number of images, always sent: upstream defaults are 4 and 12, and billed.
    :param negative_prompt: what the image must not show; ``""`` is sent as it is, ``None`` is not sent.
    :param seed: 0..2147483647.
    :param parameters: vendor parameters, passed through untouched after the named ones.
    :param labels: the author's own names for the images (``{"sku": "A-1"}``): never sent, and no part of what is paid.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, protected_namespaces=(), defer_build=True
    )

    operation: ClassVar[Operation]

    prompt: Prompt
    model: Annotated[str | None, BlankIsNone] = None
    size: Annotated[Size | None, BeforeValidator(Size.parse)] = None
    n: Count = 1
    negative_prompt: Annotated[str | None, RenderedNoneIsNone] = None
    seed: Seed = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    labels: Labels = Field(default_factory=dict)

    @field_validator("parameters", "labels", mode="before")
    @classmethod
    def _nothing_is_empty(cls, value: object) -> object:
        read = {} if value is None or value == "" else literal(value)
        return {} if read is None else read

    @model_validator(mode="after")
    def _say_each_thing_once(self) -> ImageRequest:
        named = {"n": self.n, "size": self.size, "seed": self.seed, "negative_prompt": self.negative_prompt}
        for name, value in named.items():
            if name in self.parameters and value is not None:
                raise ValueError(f"parameters.{name}: say it once, as the argument {name}")
        return self

    def title(self) -> str:
        """Say in a line what the images are of."""
        return self.prompt


class GenerateRequest(ImageRequest):
    """Images from a prompt."""

    operation: ClassVar[Operation] = "generate"
    # Said, for all requests are asked: pydantic takes longer to find that there is no such field than to make one.
    images: ClassVar[tuple[str, ...]] = ()
    boxes: ClassVar[None] = None


class EditRequest(ImageRequest):
    """
    Images from a prompt and 1 or more input images.

    :param images: http(s) or ``data:`` URLs; their order is the one the prompt counts ("image 2").
    :param boxes: per image a list of ``[x1, y1, x2, y2]`` in pixels of that image; sent as ``bbox_list``.
    """

    operation: ClassVar[Operation] = "edit"

    images: Annotated[Images, Field(min_length=1)]
    boxes: Boxes = None


class SequenceRequest(ImageRequest):
    """
    An ordered series with a consistent subject, from one call.

    :param n: how many images the series may have, 4 by default.
    :param images: input images the series starts from, none by default.
    """

    operation: ClassVar[Operation] = "sequence"
    boxes: ClassVar[None] = None

    n: Count = 4
    images: Images = ()


def _term(value: dict[str, str]) -> dict[str, str]:
    if set(value) != {"src", "tgt"} or not all(value.values()):
        raise ValueError('must look like {"src": "a text", "tgt": "its translation"}')
    return value


def _unset_is(default: str) -> BeforeValidator:
    return BeforeValidator(lambda value: default if value is None else value)


def _glossary(value: object) -> object:
    """Take ``{"source": "target"}`` for a list of entries."""
    value = literal(value) if isinstance(value, str) else value
    return [{"src": src, "tgt": tgt} for src, tgt in value.items()] if isinstance(value, Mapping) else value


# One entry for each text of the source language, and how it is to read in the target language.
Glossary = Annotated[
    Annotated[tuple[Annotated[dict[str, str], AfterValidator(_term)], ...], BeforeValidator(_glossary)]
    | None,
    BlankIsNone,
]


class TranslateRequest(ImageRequest):
    """
    An image whose text is translated, its layout kept.

    :param prompt: what the image is about and how its text is to sound, in English; may be empty.
    :param model: one that translates.
    :param images: one image; the new one has its width and height.
    :param source_lang: a language's code or name, or ``auto``.
    :param target_lang: a language's code or name.
    :param terminologies: the glossary: ``{"source": "target"}``, or ``[{"src": …, "tgt": …}]``.
    :param parameters: further options of the vendor's ``ext``: ``sensitives``, ``config``.
    """

    operation: ClassVar[Operation] = "translate"
    boxes: ClassVar[None] = None

    prompt: Annotated[str, _unset_is(""), BlankIsNone] = ""
    model: Annotated[str, _unset_is(TRANSLATOR), BlankIsNone] = TRANSLATOR
    images: Annotated[Images, Field(min_length=1)]
    source_lang: Annotated[str, _unset_is("auto"), BlankIsNone] = "auto"
    target_lang: Annotated[str, Field(min_length=1)]
    terminologies: Glossary = None

    @model_validator(mode="after")
    def _say_only_what_is_meant(self) -> TranslateRequest:
        for name in ("size", "negative_prompt", "seed"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name}: means nothing to a translation")
        return self

    def title(self) -> str:
        """Say in a line what the images are of."""
        return f"{self.source_lang} → {self.target_lang}" + (f": {self.prompt}" if self.prompt else "")


class Asked(BaseModel):
    """
    What was asked for, as far as an image object or its price needs it.

    :param inputs: how many input images were sent.
    :param extended: whether the prompt was to be rewritten.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    operation: Operation
    model: str | None
    prompt: str
    n: int = 1
    seed: int | None = None
    size: str | None = None
    inputs: int = 0
    extended: bool = False
    labels: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, request: ImageRequest) -> Asked:
        """Keep of a request what its images will be described with."""
        seed, size = request.parameters.get("seed"), request.parameters.get("size")
        return cls(
            operation=request.operation,
            model=request.model,
            prompt=request.title(),
            n=request.n,
            seed=seed if request.seed is None and isinstance(seed, int) else request.seed,
            size=request.size.text() if request.size else size if isinstance(size, str) else None,
            inputs=len(getattr(request, "images", ())),
            extended=request.parameters.get("prompt_extend") is True,
            labels=request.labels,
        )


def fingerprint(request: ImageRequest) -> str:
    """
    Return a digest of a request that is equal only for equal requests.

    Connection, gateway and host are no part of it: what was paid for stays paid when a connection moves, and a job
    knows where it was submitted. Nor are labels: another name buys no other image.
    """
    asked = {**request.model_dump(mode="json", exclude={"labels"}), "operation": request.operation}
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


Request = GenerateRequest | EditRequest | SequenceRequest | TranslateRequest
KINDS: dict[str, type[Request]] = {
    "generate": GenerateRequest,
    "edit": EditRequest,
    "sequence": SequenceRequest,
    "translate": TranslateRequest,
}
