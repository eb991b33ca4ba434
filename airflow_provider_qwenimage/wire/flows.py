"""
What happens around one call: a flow yields what it needs done and gets back what came of it.

A flow is a generator. It yields a ``Call`` and receives the ``Reply``; it yields a ``Pause`` and receives
``None``; it returns its value. ``transport.run`` and ``transport.arun`` do the rest, so retry, Retry-After
and billing caution are written once for both::

    def ping() -> Flow[int]:
        for _ in range(3):
            try:
                reply = yield Call("GET", "/v1/models")
            except GatewayUnreachable:
                yield Pause(1.0)
            else:
                return reply.status
        return 0

    status = run(client, ping())          # or: await arun(client, ping())
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.exceptions import (
    GatewayUnreachable,
    OutcomeUnknown,
    PermanentRefusal,
    QwenImageError,
    TemporaryRefusal,
)
from airflow_provider_qwenimage.models.requests import Asked
from airflow_provider_qwenimage.models.results import GeneratedImage, Generation, ImageFailure
from airflow_provider_qwenimage.wire.documents import Document, documents
from airflow_provider_qwenimage.wire.encode_flat import unread
from airflow_provider_qwenimage.wire.envelopes import refused_with
from airflow_provider_qwenimage.wire.harvest import Harvest, harvest
from airflow_provider_qwenimage.wire.items import Found
from airflow_provider_qwenimage.wire.links import expires_at
from airflow_provider_qwenimage.wire.protocol import Call, Flow, Pause, Reply
from airflow_provider_qwenimage.wire.refusals import explained, refused_field

if TYPE_CHECKING:
    from airflow_provider_qwenimage.catalog import Gateway
    from airflow_provider_qwenimage.models.requests import Request

Clock = Callable[[], float]
_CONFLICT = 409


@dataclass(frozen=True, slots=True)
class Patience:
    """
    How long one call tries again by itself, and only where nothing was billed.

    :param attempts: calls at most.
    :param asks: times at most that the same is asked for under one idempotency key while its answers are lost.
    :param longest_pause: seconds; a longer ``Retry-After`` is capped to it.
    :param wall_time: seconds from the first call; no pause goes beyond it.
    :param throttled: ``False`` where who is throttled waits for another turn in the account.
    """

    attempts: int = 4
    asks: int = 3
    longest_pause: float = 60.0
    wall_time: float = 180.0
    throttled: bool = True

    def pause_after(
        self, problem: QwenImageError, *, attempt: int, elapsed: float, jitter: float
    ) -> float | None:
        """Return the seconds to wait before the next attempt, ``None`` to give up; ``jitter`` is in 0..1."""
        if isinstance(problem, OutcomeUnknown) and problem.keyed:
            return 2.0 ** (attempt - 1) * (1.0 + jitter) if attempt < self.asks else None
        refused = isinstance(problem, TemporaryRefusal) and problem.resend
        if refused and getattr(problem, "throttled", False) and not self.throttled:
            return None
        if attempt >= self.attempts or not (refused or isinstance(problem, GatewayUnreachable)):
            return None
        asked = problem.retry_after if isinstance(problem, TemporaryRefusal) else None
        # Limits may be 2 a minute (A-rate): at least a second, doubling, spread so that tasks do not march in step.
        pause = 2.0 ** (attempt - 1) * (1.0 + jitter) if asked is None else max(asked, 1.0) + jitter
        pause = min(pause, self.longest_pause)
        return pause if elapsed + pause <= self.wall_time else None


@dataclass(frozen=True, slots=True)
class Conduct:
    """What a flow needs from outside: patience, the clock (epoch seconds) and a source of jitter (0..1)."""

    clock: Clock
    jitter: Callable[[], float]
    patience: Patience = Patience()


def send_until_answered(call: Call, conduct: Conduct) -> Flow[tuple[Reply, tuple[Document, ...]]]:
    """
    Send a call until it is accepted or refused for good.

    Only what was surely not billed is sent again: no connection, throttling, explicit overload, a field of ours that
    the gateway does not take; and what is billed once however often it is asked for, under an idempotency key.
    """
    started, lost = conduct.clock(), None
    for attempt in count(1):
        try:
            reply = yield call
            assert reply is not None
            found = documents(reply)
            said = refused_with(reply, found)
            if said is None:
                return reply, found
            problem = _still_made(call, reply) or explained(said, reply, found, now=conduct.clock())
            if (field := refused_field(problem, call.spare)) is not None:
                call = call.without(field)
                continue
        except (GatewayUnreachable, OutcomeUnknown) as failure:
            problem = failure
        problem.keyed = call.keyed
        lost = problem if isinstance(problem, OutcomeUnknown) and call.keyed else lost
        elapsed = conduct.clock() - started
        pause = conduct.patience.pause_after(
            problem, attempt=attempt, elapsed=elapsed, jitter=conduct.jitter()
        )
        if pause is None:
            # What was lost before is not known by a refusal to be asked again.
            raise problem if lost is None or _is_of_the_request(problem) else lost
        yield Pause(pause)
    raise AssertionError  # pragma: no cover - count() does not end


def _still_made(call: Call, reply: Reply) -> OutcomeUnknown | None:
    """Read the conflict with a request of the same key that is still under way."""
    if not call.keyed or reply.status != _CONFLICT:
        return None
    return OutcomeUnknown("The gateway is still at work on the request of this key", status=reply.status)


def _is_of_the_request(problem: QwenImageError) -> bool:
    return isinstance(problem, PermanentRefusal) and problem.scope == "request"


def generate(
    request: Request, call: Call, *, gateway: Gateway, base_url: str, conduct: Conduct
) -> Flow[Generation]:
    """Send one billable call and read what it brings."""
    reply, found = yield from send_until_answered(call, conduct)
    reaped = harvest(reply, found, served_from=served_from(gateway, base_url))
    return assemble(reaped, _asked(request, gateway), gateway=gateway, now=conduct.clock())


def _asked(request: Request, gateway: Gateway) -> Asked:
    """Keep of a request what its images will be described with: a seed only where it was read."""
    asked = Asked.of(request)
    if gateway.reads and "seed" in unread(request, gateway):
        return asked.model_copy(update={"seed": None})
    return asked


def served_from(gateway: Gateway, base_url: str) -> str | None:
    """Return what relative URLs of images are joined to, ``None`` where the gateway serves no images."""
    return base_url if gateway.serves_images else None


def assemble(
    reaped: Harvest, asked: Asked, *, gateway: Gateway, now: float, job_id: str | None = None
) -> Generation:
    """Join what came back with what was asked: image objects, failures, usage."""
    created = datetime.fromtimestamp(now, UTC)
    images = tuple(
        GeneratedImage(
            url=slot.url,
            data=slot.data,
            index=index,
            gateway=gateway.name,
            model=asked.model,
            prompt=asked.prompt,
            revised_prompt=slot.revised_prompt,
            seed=asked.seed if slot.seed is None else slot.seed,
            size=reaped.size or asked.size,
            asked_size=asked.size,
            request_id=reaped.request_id,
            created_at=created,
            expires_at=_expiry(slot.url, created, gateway),
            operation=asked.operation,
        )
        for index, slot in enumerate(reaped.slots)
        if isinstance(slot, Found)
    )
    return Generation(
        images=images,
        texts=reaped.texts,
        failures=_failures(reaped, asked),
        usage=reaped.usage,
        request_id=reaped.request_id,
        job_id=job_id,
        gateway=gateway.name,
        model=asked.model,
    )


def _expiry(url: str | None, created: datetime, gateway: Gateway) -> datetime | None:
    if url is None:
        return None
    return expires_at(url) or created + timedelta(hours=gateway.url_lifetime)


def _failures(reaped: Harvest, asked: Asked) -> tuple[ImageFailure, ...]:
    """List the items that failed, and those that were asked for and never named."""
    failed = [
        ImageFailure(index=index, reason=slot.reason, code=slot.code)
        for index, slot in enumerate(reaped.slots)
        if not isinstance(slot, Found)
    ]
    # A series may end early by itself (wan2.7: n is at most, A-w27): owed is what it counts as delivered. Of n
    # single images each is owed.
    series = asked.operation == "sequence"
    owed = min(asked.n, reaped.usage.image_count or 0) if series else asked.n
    word = "the gateway counts" if series else "asked for"
    failed += [
        ImageFailure(index=index, reason=f"{word} {owed}, the gateway delivered {len(reaped.slots)}")
        for index in range(len(reaped.slots), owed)
    ]
    return tuple(failed)
