"""Request bodies of every shape, read into one `Ask`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.simulator.vendor import MODELS, GatewayRow, ModelRow, refused

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Ask:
    """What a request asks for, whatever its shape.

    :param images: URLs, data URLs or uploaded bytes, in input order.
    :param texts: how many texts a messages body held.
    :param parameters: all further fields, untouched.
    :param ruled: whether the vendor's limits hold; open weights on an own engine have none of them.
    :param told: rules that hold instead of the table's.
    """

    model: str
    prompt: str
    shape: str
    images: tuple[str | bytes, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    texts: int = 1
    messages: int = 1
    ruled: bool = True
    told: ModelRow | None = None

    @property
    def row(self) -> ModelRow | None:
        """Rules of the model; None for one the table does not know."""
        return self.told or (MODELS.get(self.model) if self.ruled else None)

    @property
    def sequential(self) -> bool:
        """Whether a group of images is asked."""
        return self.parameters.get("enable_sequential") is True

    @property
    def interleave(self) -> bool:
        """Whether text and images in turn are asked."""
        return self.parameters.get("enable_interleave") is True

    @property
    def events(self) -> bool:
        """Whether OpenAI's event stream is asked for; a form says so in words."""
        return str(self.parameters.get("stream")).lower() == "true"

    @property
    def count(self) -> int:
        """How many images will be made and billed; a missing number is the vendor's default."""
        name, (_, _, default) = "n", self.row.n if self.row else (1, 10, 1)
        if self.row and self.interleave and self.row.interleave:
            name, (_, _, default) = "max_images", self.row.interleave
        elif self.row and self.sequential and self.row.sequential:
            default = self.row.sequential[2]
        given = self.parameters.get(name)
        return default if given is None else int(given)


def model_of(body: Mapping[str, Any], gateway: GatewayRow) -> str:
    """The model a body names, without the provider where the gateway takes `provider/name`."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise refused("missing", field="model")
    return model.rpartition("/")[2] if gateway.provider_names else model


def read(body: Any, gateway: GatewayRow) -> Ask:
    """Read a JSON body in one of the shapes the gateway takes."""
    if not isinstance(body, dict):
        raise refused("body")
    native = "input" in body
    if native and "native" in gateway.accepts:
        return _native(body, gateway)
    if "flat" in gateway.accepts:
        return _flat(body, gateway)
    raise refused("missing", field="input.messages")


def read_legacy(body: Any, gateway: GatewayRow) -> Ask:
    """Read `input.prompt`, `input.negative_prompt`, `input.images` of the legacy job endpoints, or a translation."""
    if not isinstance(body, dict) or not isinstance(body.get("input"), dict):
        raise refused("missing", field="input.prompt")
    given = body["input"]
    if "image_url" in given:
        return _translation(body, given, gateway)
    if not isinstance(given.get("prompt"), str) or not given["prompt"].strip():
        raise refused("missing", field="input.prompt")
    parameters = dict(body.get("parameters") or {})
    if given.get("negative_prompt"):
        parameters["negative_prompt"] = given["negative_prompt"]
    images = tuple(given.get("images") or ())
    return Ask(model_of(body, gateway), given["prompt"], "legacy", images, parameters)


def _translation(body: dict[str, Any], given: dict[str, Any], gateway: GatewayRow) -> Ask:
    for field_ in ("image_url", "source_lang", "target_lang"):
        if not isinstance(given.get(field_), str) or not given[field_]:
            raise refused("missing", field=f"input.{field_}")
    if not given["image_url"].startswith(("http://", "https://")):
        raise refused("url")
    ext = given.get("ext") or {}
    prompt = f"{given['source_lang']} to {given['target_lang']}: {ext.get('domainHint', '')}"
    parameters = {"source_lang": given["source_lang"], "target_lang": given["target_lang"], **ext}
    return Ask(model_of(body, gateway), prompt, "translation", (given["image_url"],), parameters)


def read_form(fields: Mapping[str, Any], images: tuple[str | bytes, ...], gateway: GatewayRow) -> Ask:
    """Read the fields of a multipart edit; numbers arrive as text."""
    whole = {
        key: int(value) if key in ("n", "seed") and str(value).isdigit() else value
        for key, value in fields.items()
    }
    return replace(_flat(whole, gateway), images=images, shape="form")


def _native(body: dict[str, Any], gateway: GatewayRow) -> Ask:
    messages = body["input"].get("messages") if isinstance(body["input"], dict) else None
    if not isinstance(messages, list) or not messages or not isinstance(messages[0], dict):
        raise refused("missing", field="input.messages")
    content = messages[0].get("content")
    if not isinstance(content, list):
        raise refused("missing", field="input.messages.content")
    texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
    images = tuple(str(part["image"]) for part in content if isinstance(part, dict) and part.get("image"))
    parameters = _kept(body.get("parameters") or {}, gateway.keeps)
    if body.get("response_format"):
        parameters["response_format"] = body["response_format"]
    prompt = texts[0] if texts else ""
    return Ask(model_of(body, gateway), prompt, "native", images, parameters, len(texts), len(messages))


def _flat(body: dict[str, Any], gateway: GatewayRow) -> Ask:
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise refused("missing", field="prompt")
    given = body.get("image", body.get("images")) or ()
    images = (given,) if isinstance(given, str) else tuple(given)
    nested = body.get("parameters")
    # new-api: with `parameters`, top-level fields are ignored; without, only a few are mapped (contract 1).
    if isinstance(nested, dict):
        parameters = {**_kept(nested, gateway.keeps), "response_format": body.get("response_format")}
    else:
        extras = {
            key: value for key, value in body.items() if key not in ("model", "prompt", "image", "images")
        }
        parameters = {**_kept(extras, gateway.keeps_flat), "response_format": body.get("response_format")}
    if gateway.kind == "engine":
        model = str(body.get("model") or "Qwen/Qwen-Image")
        return Ask(model, prompt, "flat", images, parameters, ruled=False)
    return Ask(model_of(body, gateway), prompt, "flat", images, parameters)


def _kept(given: Mapping[str, Any], keeps: tuple[str, ...] | None) -> dict[str, Any]:
    return {key: value for key, value in given.items() if keeps is None or key in keeps}
