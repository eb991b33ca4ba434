"""What an Airflow connection of type ``qwenimage`` says, checked and coerced (design section 3)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from airflow_provider_qwenimage import catalog
from airflow_provider_qwenimage.catalog.prices import ListedPrice, Price, listed_price, price_of
from airflow_provider_qwenimage.defaults import READ_TIMEOUT
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.gateway.account.limits import Allowed, Budget, Limits, allowed
from airflow_provider_qwenimage.models.coercion import BlankIsNone, HeaderName, build, object_such_as
from airflow_provider_qwenimage.models.requests import Asked
from airflow_provider_qwenimage.models.results import Generation, Job
from airflow_provider_qwenimage.transport import Endpoint
from airflow_provider_qwenimage.wire.links import join

if TYPE_CHECKING:
    from airflow_provider_qwenimage.models.requests import Request

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_SCHEMES = ("http", "https")
_WORKSPACES = ".maas.aliyuncs.com"  # hosts of the vendor's own, one for each workspace (A-wan-t2i, 2026-10)
_PORTS = {"http": 80, "https": 443}
# One label, such as llm-4f2k: no name a gateway could be reached under from elsewhere (A-wan-t2i, 2026-10).
_WORKSPACE = re.compile(r"(?!localhost$)[a-z0-9]+(-[a-z0-9]+)*", re.IGNORECASE)
_LIMITS = (
    '{"requests_per_minute": 120, "concurrency": 5, "models": {"qwen-image-max": {"requests_per_minute": 2}}}'
)
Answer = TypeVar("Answer", Generation, Generation | Job)

ENGINE = "openai-compatible"  # what a host without a gateway is taken for


def _switch(value: object) -> object:
    """Read the booleans that hand-written URIs carry as text."""
    text = value.strip().lower() if isinstance(value, str) else value
    return True if text in _TRUE else False if text in _FALSE else value


def _no_switch(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, got {value}")
    return value


class Prices(BaseModel):
    """What the connection says a model costs, by its name."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Annotated[Price, BeforeValidator(price_of)]] = Field(init=False)

    currency: str | None = None

    def of(self, model: str | None) -> Price | None:
        """Return the price of ``model``, with or without its provider prefix."""
        prices = self.__pydantic_extra__
        return prices.get(model or "", prices.get((model or "").rpartition("/")[2]))


class Extras(BaseModel):
    """The allow-list of the connection's extra; an unknown key is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    gateway: Annotated[str | None, BlankIsNone] = None
    model: Annotated[str | None, BlankIsNone] = None
    request_format: Annotated[Literal["native", "flat"] | None, BlankIsNone] = None
    timeout: Annotated[
        Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, BeforeValidator(_no_switch), BlankIsNone
    ] = None
    verify: Annotated[bool | str | None, BeforeValidator(_switch), BlankIsNone] = None
    allow_private_hosts: Annotated[bool | None, BeforeValidator(_switch), BlankIsNone] = None
    checks: Annotated[catalog.Checks | None, BlankIsNone] = None
    price_per_image: Annotated[
        Prices | None, object_such_as('{"qwen-image-plus": 0.2, "currency": "CNY"}'), BlankIsNone
    ] = None
    limits: Annotated[Limits | None, object_such_as(_LIMITS), BlankIsNone] = None
    budget: Annotated[Budget | None, object_such_as('{"per_day": 100, "per_run": 20}'), BlankIsNone] = None
    idempotency_header: Annotated[HeaderName | None, BlankIsNone] = None


class Settings(BaseModel):
    """
    A connection, ready to use: the gateway's row, the endpoint and the defaults.

    :param conn_id: its id in Airflow, for messages.
    :param store: the ``RedisPlace`` where all processes of the account meet; ``None`` where each is alone.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=(), arbitrary_types_allowed=True)

    gateway: catalog.Gateway
    endpoint: Endpoint = Field(repr=False, exclude=True)  # holds the key
    conn_id: str | None = None
    model: str | None = None
    allow_private_hosts: bool = False
    prices: Prices = Prices()
    limits: Limits | None = None
    budget: Budget | None = None
    store: Any = Field(default=None, repr=False, exclude=True)

    @property
    def named(self) -> str:
        """The connection, and where it leads: what to go to when a gateway answers for the key, not the request."""
        whose = f"the connection {self.conn_id!r}" if self.conn_id else "the connection"
        return f"{whose}, which leads to {self.endpoint.base_url}"

    @property
    def idempotency_header(self) -> str | None:
        """The header for idempotency keys, by the gateway's row or the connection's extra; ``None`` sends none."""
        return self.gateway.idempotency_header

    @property
    def currency(self) -> str | None:
        """Of every price: the connection's; where it names no price, that of the vendor's list."""
        if self.prices.currency or self.prices.model_extra or self.gateway.prices is None:
            return self.prices.currency
        return self.gateway.prices.currency

    def price(self, model: str | None) -> Price | None:
        """Return what a model costs: as the connection says, else by the vendor's dated list, an estimate."""
        listed = self.listed(model)
        return listed.price if listed else self.prices.of(model)

    def listed(self, model: str | None) -> ListedPrice | None:
        """Return the price of the vendor's list where the connection names none, in the connection's currency."""
        if model is None or self.currency is None or self.prices.of(model) is not None:
            return None
        return listed_price(model, self.gateway.prices, currency=self.currency)

    def priced(self, answer: Answer, asked: Asked | Request) -> Answer:
        """Add the labels of the images, and their cost where the connection or the vendor's list knows the price."""
        if isinstance(answer, Job):
            return answer
        if asked.labels:
            answer = answer.labelled(asked.labels)
        if (price := self.price(answer.model)) is None:
            return answer
        listed = self.listed(answer.model)
        costs = {
            "cost": price.cost(asked if isinstance(asked, Asked) else Asked.of(asked), answer),
            "currency": self.currency,
            "estimate": listed.cited if listed else None,
        }
        return answer.model_copy(update={"usage": answer.usage.model_copy(update=costs)})

    def cost_of(self, request: Request) -> float | None:
        """Return the most a request may cost, ``None`` where nobody names a price of its model."""
        price = self.price(request.model)
        return None if price is None else price.cost(Asked.of(request))

    def allowed(self, model: str, *, is_job: bool) -> Allowed | None:
        """Return how fast and how many at once requests for ``model`` may be, ``None`` where nothing is known of it."""
        here = self.endpoint.base_url
        at_vendor = self.gateway.rates and (here == self.gateway.base_url or here.endswith(_WORKSPACES))
        if self.limits is None and not at_vendor:
            return None
        return allowed(self.limits, model, is_job=is_job)

    @property
    def verify(self) -> bool | str:
        """TLS verification, for image hosts too."""
        return self.endpoint.verify

    def headers_for(self, url: str) -> dict[str, str]:
        """
        Return the headers an image's ``url`` is fetched with: the key for images the gateway serves itself.

        SGLang answers edits with the relative URL ``/v1/images/{id}/content``, which takes the key (contract 6.4).
        Scheme, host, port and the path up to that route must be those of the connection, and the gateway an engine:
        the others leave their images with an object store, which is never shown the key.
        """
        if not self.gateway.serves_images or not self.endpoint.key:
            return {}
        route = urlsplit(join(self.endpoint.base_url, self.gateway.generations).rpartition("/")[0])
        return {"Authorization": f"Bearer {self.endpoint.key}"} if _lies_below(url, route) else {}


def read(
    *,
    host: str | None,
    port: int | None,
    schema: str | None,
    password: str | None,
    extra: str | dict[str, Any] | None,
) -> Settings:
    """
    Turn the fields of a connection into settings.

    :raises InvalidRequest: naming the field and what to do.
    """
    try:
        extras = build(Extras, **_fields(extra))
    except InvalidRequest as error:
        raise InvalidRequest(f"extra.{error.field}", error.rule) from None
    host = (host or "").strip()
    if not host and not extras.gateway:
        raise InvalidRequest(
            "gateway",
            "is not set and there is no host",
            advice="Choose a gateway, or give the URL of an engine.",
        )
    gateway = catalog.gateway(extras.gateway or ENGINE)
    named = ("request_format", "checks", "idempotency_header")
    overrides = {name: getattr(extras, name) for name in named}
    gateway = gateway.model_copy(update={name: value for name, value in overrides.items() if value})
    if gateway.workspace_url and not schema and port in (None, 443) and _WORKSPACE.fullmatch(host):
        host = gateway.workspace_url.format(workspace=host.lower())
    base_url = _base_url(host, port, schema) if host else gateway.base_url
    if base_url is None:
        wanted = "the workspace id" if gateway.workspace_url else "the engine's"
        raise InvalidRequest("host", f"is empty, and {gateway.name} has no URL of its own: give {wanted}")
    key = _key(password)
    if not key and not gateway.inline_images:  # engines answer inline, and may know no keys
        raise InvalidRequest("password", f"is empty: put the API key of {gateway.title} there")
    endpoint = Endpoint(
        base_url=base_url,
        key=key,
        timeout=extras.timeout or READ_TIMEOUT,
        verify=True if extras.verify is None else extras.verify,
    )
    return Settings(
        gateway=gateway,
        endpoint=endpoint,
        model=extras.model,
        allow_private_hosts=bool(extras.allow_private_hosts),
        prices=extras.price_per_image or Prices(),
        limits=extras.limits,
        budget=extras.budget,
    )


def _key(password: str | None) -> str | None:
    """Read the API key; what a copy brought along at its ends is cut off."""
    key = (password or "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        rule = "holds a blank, a line break or a sign that no API key has: copy it anew"
        raise InvalidRequest("password", rule)
    return key or None


def _fields(extra: str | dict[str, Any] | None) -> dict[str, Any]:
    """Read the extra; text that is no object would otherwise be no settings at all."""
    if isinstance(extra, str) and extra.strip():
        try:
            extra = json.loads(extra)
        except ValueError:
            raise InvalidRequest("json", "the connection's extra is not JSON") from None
    if not extra:
        return {}
    if not isinstance(extra, dict):
        rule = f"the connection's extra must be an object, got a {type(extra).__name__}"
        raise InvalidRequest("json", rule)
    return extra


def _base_url(host: str, port: int | None, schema: str | None) -> str:
    """Read the host as a base URL; ``https`` unless it says otherwise, a path prefix is kept."""
    named = (schema or "").strip("/")
    scheme, separator, rest = host.partition("://")
    if not separator:
        scheme, rest = (named if named.lower() in _SCHEMES else "https"), host
    if named and named.lower() not in _SCHEMES:  # Airflow calls the path of a connection URI its schema
        rest = f"{rest.rstrip('/')}/{named}"
    if scheme.lower() not in _SCHEMES:
        raise InvalidRequest("host", f"must be an http or https URL, got {scheme}://…")
    authority, slash, path = rest.rstrip("/").partition("/")
    if not authority or "@" in authority or re.search(r"[?#\s]", rest) or not _can_be_called(authority):
        rule = "must be a URL such as https://gw.example/proxy: no user, query or fragment"
        raise InvalidRequest("host", rule)
    if port and ":" not in authority.rpartition("]")[2]:
        authority = f"{authority}:{port}"
    return f"{scheme.lower()}://{authority}{slash}{path}"


def _can_be_called(authority: str) -> bool:
    try:
        return urlsplit(f"//{authority}").port != 0
    except ValueError:  # a port that is no number or above 65535, a bracket that does not close
        return False


def _lies_below(url: str, route: SplitResult) -> bool:
    try:
        parts = urlsplit(url)
        same = _origin(parts) == _origin(route)
    except ValueError:  # a port that is no number
        return False
    climbs = {".", ".."} & set(unquote(parts.path).replace("\\", "/").split("/"))
    return same and "@" not in parts.netloc and not climbs and parts.path.startswith(f"{route.path}/")


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
