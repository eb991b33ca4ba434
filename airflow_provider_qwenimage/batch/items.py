"""From rows to requests that may be sent: all of them are checked before the first costs anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from airflow_provider_qwenimage.batch.rows import FORMS, rows_in
from airflow_provider_qwenimage.catalog.rules import check
from airflow_provider_qwenimage.defaults import STORES
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.gateway import calls
from airflow_provider_qwenimage.gateway.inputs import Inputs
from airflow_provider_qwenimage.models.coercion import build, literal, refuse_unrendered
from airflow_provider_qwenimage.models.requests import KINDS, Asked, fingerprint
from airflow_provider_qwenimage.storage.s3 import S3
from airflow_provider_qwenimage.wire.documents import body_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.batch.allowed import AllowedInputs
    from airflow_provider_qwenimage.batch.rows import Open
    from airflow_provider_qwenimage.gateway.calls import Plan
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.requests import Request

_SHOWN = 100  # bad rows in one message
_MERGED = ("parameters", "labels")  # a row's own on top of the batch's
_DIGITS = 16  # of a fingerprint: two of a million requests share one once in thirty million batches


Row = tuple[str, Mapping[str, Any] | InvalidRequest]


class Item(NamedTuple):
    """
    One request of a batch.

    :param where: where its row stands, for messages.
    :param first: the place of its first image in the set.
    :param fingerprint: of all that shapes it; together with ``position`` its identity.
    """

    position: int
    where: str
    request: Request
    first: int
    fingerprint: str


class Taking(Protocol):
    """Looks at a request beside all others, and refuses one that does not fit among them."""

    def take(self, item: Item) -> None: ...  # noqa: D102


@dataclass
class Asks:
    """
    What requests ask for together.

    :param count: how many there are.
    :param images: how many images they ask for.
    :param cost: estimate; ``None`` where nobody names the price of a model.
    :param listed: where prices come from that the connection does not name.
    :param warnings: what the vendor will change, and in how many requests.
    """

    count: int = 0
    images: int = 0
    cost: float | None = 0.0
    listed: set[str] = field(default_factory=set)
    warnings: Counter[str] = field(default_factory=Counter)


@dataclass
class Batch(Asks):
    """The requests of a batch in the author's order."""

    items: list[Item] = field(default_factory=list)


def rows_of(requests: Any, open_object: Open) -> Iterator[Row]:
    """
    Yield where each row stands and what it says, or the error of a row that cannot be read.

    :param requests: a list of objects or prompts, a template's text of one, the URI of an object or the path of a file.
    :param open_object: starts to read an object.
    :raises InvalidRequest: there is nothing that could hold rows.
    """
    if uri := rows_file(requests):
        return ((where, _row(row)) for where, row in rows_in(uri, open_object))
    return _from_list(_listed(requests))


def rows_file(requests: Any) -> str | None:
    """Return the object or the file that holds the rows, ``None`` where they are at hand."""
    is_file = isinstance(requests, str) and requests.strip().startswith((*STORES, "/"))
    return requests.strip() if is_file else None


def _listed(requests: Any) -> Iterable[Any]:
    if isinstance(requests, str):
        with suppress(ValueError):
            requests = literal(requests)
    if isinstance(requests, (str, bytes, Mapping)) or not isinstance(requests, Iterable):
        raise InvalidRequest("requests", f"{FORMS}, got {type(requests).__name__}")
    return requests


def _from_list(requests: Iterable[Any]) -> Iterator[Row]:
    for position, request in enumerate(requests):
        yield f"requests[{position}]", _row(request)


def _row(request: Any) -> Mapping[str, Any] | InvalidRequest:
    if isinstance(request, str):
        return {"prompt": request}
    if isinstance(request, (Mapping, InvalidRequest)):
        return request
    return InvalidRequest("request", f"must be an object, got {type(request).__name__}")


def read_batch(
    rows: Iterable[Row],
    *,
    defaults: Mapping[str, Any],
    settings: Settings,
    allowed: AllowedInputs | None = None,
    names: Taking | None = None,
) -> Batch:
    """Build and check every request, see ``checked``, and keep them."""
    batch = Batch()
    items = checked(rows, batch, defaults=defaults, settings=settings, allowed=allowed, names=names)
    batch.items.extend(items)
    return batch


def checked(
    rows: Iterable[Row],
    asks: Asks,
    *,
    defaults: Mapping[str, Any],
    settings: Settings,
    allowed: AllowedInputs | None = None,
    names: Taking | None = None,
) -> Iterator[Item]:
    """
    Build and check one request after another; nothing may be sent before the last one was asked for.

    :param asks: is added to.
    :param defaults: fields for rows that leave them out.
    :param allowed: where their input images may come from; anywhere where omitted.
    :param names: of their images, where the author names them.
    :raises InvalidRequest: at the end, naming each bad row, its field and the rule.
    """
    bad, wrong, count = [], 0, 0
    for where, row in rows:
        count += 1
        try:
            request = _request(row, defaults)
            if allowed is not None:
                allowed.check(getattr(request, "images", ()))
            item = _added(asks, where, request, settings)
            if names is not None:
                names.take(item)
        except InvalidRequest as error:
            wrong += 1
            if wrong <= _SHOWN:
                bad.append(f"{where}, {error.field}: {error.rule}")
        else:
            yield item
    if bad:
        # Half a character that a message quotes would break the log that is to show it.
        shown = "\n".join(f"  {line}" for line in bad).encode(errors="backslashreplace").decode()
        rest = f"\n  and {wrong - _SHOWN} more" if wrong > _SHOWN else ""
        raise InvalidRequest("requests", f"{wrong} of {count} cannot be sent:\n{shown}{rest}")
    if not count:
        raise InvalidRequest("requests", "holds no request")


def _request(row: Mapping[str, Any] | InvalidRequest, defaults: Mapping[str, Any]) -> Request:
    if isinstance(row, InvalidRequest):
        raise row
    # A null says nothing: objects written by a program have every key.
    said = {str(name): value for name, value in row.items() if value is not None}
    operation = str(said.pop("operation", "") or _meant(said)).strip()
    if operation not in KINDS:
        raise InvalidRequest("operation", f"must be one of {', '.join(KINDS)}, got {operation[:40]!r}")
    kind = KINDS[operation]
    if operation == "generate" and not said.get("images"):
        said.pop("images", None)
    if operation == "translate":  # the defaults of a batch are those of images that are made
        defaults = {name: defaults[name] for name in ("labels",) if name in defaults}
    fields = {**defaults, **said}
    for name in _MERGED:
        if name in defaults and name in said:
            fields[name] = _merged(defaults[name], said[name])
    try:
        request = build(kind, **fields)
    except (RecursionError, TypeError) as error:  # lists without end, a list as a key: no rule foresees them
        raise InvalidRequest("row", f"cannot be read: {error}") from None
    refuse_unrendered(request.prompt)
    return request


def _meant(said: Mapping[str, Any]) -> str:
    """Tell the operation of a row that does not name it by what it has."""
    if said.get("target_lang"):
        return "translate"
    return "edit" if said.get("images") else "generate"


def _merged(shared: Any, own: Any) -> Any:
    """Merge two objects, or the texts of two; return what is neither for the model to refuse."""
    merged: dict[str, Any] = {}
    for given in (shared, own):
        if given == "":
            continue
        try:
            read = literal(given)
        except ValueError:
            return given
        if not isinstance(read, Mapping):
            return given
        merged.update(read)
    return merged


def _added(asks: Asks, where: str, request: Request, settings: Settings) -> Item:
    request = request.model_copy(update={"model": request.model or settings.model})
    digest = _digest(request)
    planned = _foreseen(request, settings)
    asks.warnings.update(planned.warnings)
    item = Item(asks.count, where, request, asks.images, digest)
    asks.count += 1
    asks.images += request.n
    _charge(asks, Asked.of(planned.request), settings)
    return item


def _charge(asks: Asks, asked: Asked, settings: Settings) -> None:
    """Add what a request may cost; where one price is not known the whole is not."""
    price, listed = settings.price(asked.model), settings.listed(asked.model)
    asks.cost = None if asks.cost is None or price is None else asks.cost + price.cost(asked)
    if listed:
        asks.listed.add(listed.cited)


def _digest(request: Request) -> str:
    try:
        _prove(request)
        return fingerprint(request)[:_DIGITS]
    except (RecursionError, ValueError):  # pydantic gives up at 255 levels, with a ValueError
        raise InvalidRequest("parameters", "is nested too deeply") from None


def _prove(request: Request) -> None:
    """Refuse what no body can spell: a NaN, a date, half a character."""
    # The size is left out: it holds numbers only, and a body spells it in its own way.
    fields = {name: value for name, value in request if name != "size"}
    try:
        body_of(fields)
    except InvalidRequest:
        for name, value in fields.items():
            try:
                body_of({name: value})
            except InvalidRequest as error:
                raise InvalidRequest(name, error.rule) from None
        raise


def _foreseen(request: Request, settings: Settings) -> Plan:
    """Plan a request as it will be sent, without reading its input images."""
    if images := getattr(request, "images", ()):
        row = check(request, gateway=settings.gateway).model
        boxes = getattr(request, "boxes", None) or ()
        stand_ins = Inputs(settings, row, S3(None), boxes=boxes).foreseen(images)
        request = request.model_copy(update={"images": stand_ins})
    return calls.plan(settings, request, inline=True)
