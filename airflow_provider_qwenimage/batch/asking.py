"""Asks the gateway for one request of a batch, with its intent in the journal."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.batch.entries import Entry
from airflow_provider_qwenimage.catalog.rules import check
from airflow_provider_qwenimage.exceptions import GatewayUnreachable, TemporaryRefusal
from airflow_provider_qwenimage.gateway import calls, waiting
from airflow_provider_qwenimage.gateway.account.turn import REFUSALS
from airflow_provider_qwenimage.gateway.inputs import Inputs
from airflow_provider_qwenimage.models.results import Generation, Job
from airflow_provider_qwenimage.redaction import redact
from airflow_provider_qwenimage.wire.flows import Patience

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor

    from airflow_provider_qwenimage.batch.items import Item
    from airflow_provider_qwenimage.batch.journal import Journal
    from airflow_provider_qwenimage.batch.keys import Keys
    from airflow_provider_qwenimage.batch.pacing import Pace
    from airflow_provider_qwenimage.gateway.account.money import Wallet
    from airflow_provider_qwenimage.gateway.account.turn import Place, Turn
    from airflow_provider_qwenimage.gateway.calls import Plan
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.options import BatchOptions
    from airflow_provider_qwenimage.models.requests import Request
    from airflow_provider_qwenimage.storage.s3 import S3
    from airflow_provider_qwenimage.transport import AsyncHttpClient

_CONNECTS = 4  # of a request that found no gateway: it is down, or its address is wrong
# Threads that read input images: one spells a body at a time, which takes four times its bytes for a moment.
READERS = 1
# One attempt by the call itself: what the gateway turns away has to hold the whole batch back, not only this request.
_ONCE = Patience(attempts=1, throttled=False)


class ClientPool:
    """
    Lends clients so that each serves as few requests as can be.

    :param clients: ``Endpoint.async_clients``.
    """

    def __init__(self, clients: Sequence[AsyncHttpClient]) -> None:
        self._clients = tuple(clients)
        self._busy = [0] * len(self._clients)

    @contextmanager
    def least_busy(self) -> Iterator[AsyncHttpClient]:
        """Lend the client with the fewest requests while the block runs."""
        place = self._busy.index(min(self._busy))
        self._busy[place] += 1
        try:
            yield self._clients[place]
        finally:
            self._busy[place] -= 1


class Asking:
    """
    Turns requests into generations; everything an item waits for happens here.

    :param s3: where input images lie.
    :param wallet: what the batch may spend, where its author says so.
    :param readers: threads in which they are read: few, for each keeps memory of the largest image it has held.
    :param keys: where the gateway takes idempotency keys.
    """

    def __init__(
        self,
        clients: Sequence[AsyncHttpClient],
        settings: Settings,
        options: BatchOptions,
        *,
        journal: Journal,
        pace: Pace,
        s3: S3,
        readers: Executor,
        wallet: Wallet | None = None,
        keys: Keys | None = None,
    ) -> None:
        self._settings, self._options = settings, options
        self._clients = ClientPool(clients)
        self._journal, self._pace = journal, pace
        self._s3, self._readers, self._wallet, self._keys = s3, readers, wallet, keys

    async def generation(self, item: Item) -> Generation:
        """
        Return what a request brought: paid now, or by an earlier run that could not store it.

        :raises QwenImageError: the journal then says what is known of it.
        """
        entry = self._journal.entries.get(item.position)
        if entry and entry.state == "delivered" and entry.generation:
            return entry.generation
        if entry and entry.state == "submitted" and entry.job:
            async with self._pace.seat():
                return await self._of(item, entry.job)
        return await self._bought(item)

    async def _of(self, item: Item, outcome: Generation | Job) -> Generation:
        """Wait for a job; what has come already is returned as it is."""
        if not isinstance(outcome, Job):
            return outcome
        with self._clients.least_busy() as client:
            return self._delivered(item, await self._wait(client, outcome))

    def _delivered(self, item: Item, generation: Generation) -> Generation:
        """Note it before the place is free, so that no more intents are open than requests may be under way."""
        if all(image.data is None for image in generation.images):
            self._journal.note(Entry(position=item.position, state="delivered", generation=generation))
        return generation

    async def _bought(self, item: Item) -> Generation:
        place: Place | None = None
        for attempt in count(1):
            began = asyncio.get_running_loop().time()
            async with self._pace.seat():
                try:
                    # A refusal of the rate ends at the turn's own exit: it comes again, in its place in the line.
                    async with AsyncExitStack() as under_way:
                        planned, turn = await self._turn(item, place, under_way)
                        place, began = turn.place, asyncio.get_running_loop().time()
                        await self._asked(item, planned, turn)
                except (TemporaryRefusal, GatewayUnreachable) as problem:
                    self._brake(problem, attempt, began)
                    continue
                place = turn.place
                # A job's turn is over: it holds its seat itself, until its end.
                if turn.outcome is not None:
                    self._pace.ease()
                    return await self._of(item, turn.outcome)
        raise AssertionError  # pragma: no cover - count() does not end

    def _brake(self, problem: TemporaryRefusal | GatewayUnreachable, attempt: int, began: float) -> None:
        """Hold the batch back before the next attempt; raise the problem where there is none."""
        most = _CONNECTS if isinstance(problem, GatewayUnreachable) else REFUSALS
        throttled = getattr(problem, "throttled", False)
        if not getattr(problem, "resend", True) or throttled or attempt >= most:
            raise problem
        asked = getattr(problem, "retry_after", None)
        self._pace.brake(began, retry_after=asked, cause=redact(problem.what))

    async def _turn(self, item: Item, place: Place | None, under_way: AsyncExitStack) -> tuple[Plan, Turn]:
        """
        Wait for a request's turn, which it keeps until ``under_way`` ends.

        Its input images are read for it alone: as many requests hold theirs as may be under way, and one that waits.
        """
        async with self._pace.door():
            planned = await self._planned(item.request)
            earlier = self._journal.entries.get(item.position)
            paid = earlier is not None and self._keys is not None and self._keys.repeats(earlier)
            facts: dict[str, Any] = {"wallet": self._wallet, "place": place, "most": REFUSALS, "paid": paid}
            turn = calls.turn_of(self._settings, planned, **facts)
            await under_way.enter_async_context(turn)
        return planned, turn

    async def _asked(self, item: Item, planned: Plan, turn: Turn) -> None:
        """Send a request once, with its intent in the journal."""
        if self._pace.closed:
            raise asyncio.CancelledError
        earlier = self._journal.entries.get(item.position)
        keyed: dict[str, Any] = self._keys.entry(item, earlier) if self._keys else {}
        await self._journal.commit(Entry(position=item.position, state="intent", **keyed))
        if not self._pace.closed:
            intent = self._journal.entries[item.position]
            await turn.ahold(self._journal.owner(intent) if turn.told else None)
        if self._pace.closed:  # the task was told to end meanwhile
            self._refused(item, "The task was stopped")
            raise asyncio.CancelledError
        try:
            with self._clients.least_busy() as client:
                await self._paid(client, item, planned, turn)
        except (TemporaryRefusal, GatewayUnreachable) as problem:
            self._refused(item, problem.what)
            raise

    def _refused(self, item: Item, reason: str) -> None:
        intent = self._journal.entries[item.position]
        unknown = intent.sending == "unknown"  # of what was sent before, this refusal says nothing
        refused = Entry(position=item.position, state="refused", reason=reason)
        self._journal.note(intent.lost(reason) if unknown else refused)

    async def _planned(self, request: Request) -> Plan:
        """Spell a request; its input images may have to be read for that, which happens beside the loop."""
        if getattr(request, "images", ()):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._readers, self._with_images, request)
        return calls.plan(self._settings, request, inline=True)

    def _with_images(self, request: Request) -> Plan:
        row = check(request, gateway=self._settings.gateway).model
        boxes = getattr(request, "boxes", None) or ()
        images = Inputs(self._settings, row, self._s3, boxes=boxes).ready(getattr(request, "images", ()))
        planned = calls.plan(self._settings, request.model_copy(update={"images": images}), inline=True)
        return calls.spelled(planned)

    async def _paid(self, client: AsyncHttpClient, item: Item, planned: Plan, turn: Turn) -> None:
        key = self._keys.value(self._journal.entries[item.position]) if self._keys else None
        outcome = await calls.sent(client, self._settings, planned, turn, key=key, patience=_ONCE)
        if isinstance(outcome, Job):
            self._journal.note(Entry(position=item.position, state="submitted", job=outcome))
        else:
            self._delivered(item, outcome)

    async def _wait(self, client: AsyncHttpClient, job: Job) -> Generation:
        return await waiting.await_job(
            client,
            self._settings,
            job,
            interval=self._options.poll_interval,
            deadline=self._options.job_timeout,
        )
