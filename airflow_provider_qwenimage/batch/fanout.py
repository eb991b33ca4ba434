"""Works through the requests of a batch, a bounded number at once, and decides when to stop."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from typing import TYPE_CHECKING

from airflow_provider_qwenimage import telemetry
from airflow_provider_qwenimage.batch.entries import Entry
from airflow_provider_qwenimage.batch.segments import AnotherRun
from airflow_provider_qwenimage.batch.storing import STORES
from airflow_provider_qwenimage.batch.verdict import Failed
from airflow_provider_qwenimage.exceptions import (
    BudgetExceeded,
    GatewayUnreachable,
    ImageUnmarked,
    InvalidRequest,
    OutcomeUnknown,
    PermanentRefusal,
    QwenImageError,
    TransferError,
)
from airflow_provider_qwenimage.payment.consequences import NEXT, Consequence, consequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_qwenimage.batch.asking import Asking
    from airflow_provider_qwenimage.batch.items import Item
    from airflow_provider_qwenimage.batch.journal import Journal
    from airflow_provider_qwenimage.batch.pacing import Pace
    from airflow_provider_qwenimage.batch.progress import Progress
    from airflow_provider_qwenimage.batch.storing import Storing
    from airflow_provider_qwenimage.models.options import BatchOptions

log = logging.getLogger(__name__)

DRAIN = 60.0  # seconds for what is under way when the task must end
# Failures without a success between them that may be of all requests: the key, the money or the gateway is gone.
_IN_A_ROW = 10
_UNREACHED = 3  # requests in a row that found no gateway, each after several attempts
_RESENDS = 2  # of one request whose outcome is unknown, where the author allowed to pay again
_LOGGED = 20  # failures with a line of their own; all of them are in the error and in XCom


class FanOut:
    """
    The requests under way.

    :param todo: what is missing, in the author's order.
    """

    def __init__(
        self,
        todo: Iterable[Item],
        options: BatchOptions,
        *,
        asking: Asking,
        storing: Storing,
        journal: Journal,
        pace: Pace,
        progress: Progress,
    ) -> None:
        self._todo = deque(todo)
        self._options, self._journal, self._pace = options, journal, pace
        self._asking, self._storing, self._progress = asking, storing, progress
        self.failed: dict[int, Failed] = {}
        self.stopped: QwenImageError | bool = False
        self._in_a_row = 0
        self._sent_again: Counter[int] = Counter()

    async def run(self) -> None:
        """
        Work until nothing is left or nothing more may begin; what fails is in ``failed``.

        What is no failure of a request (a bug) ends the batch; what is under way is paid, and ends before it.
        """
        # Requests at the gateway are bounded by the pace; the others store meanwhile.
        count = min(len(self._todo), self._options.max_concurrency + STORES)
        workers = [asyncio.create_task(self._work()) for _ in range(count)]
        if not workers:
            return
        try:
            ended, going_on = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            if going_on:
                self.stop()
                await asyncio.wait(going_on, timeout=DRAIN)
            for worker in ended:
                if not worker.cancelled():
                    worker.result()
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)

    def stop(self, cause: QwenImageError | None = None) -> None:
        """Let no further request begin; what is under way is paid, and ends as usual."""
        if not self.stopped:
            self.stopped = cause or True
            self._pace.close()

    async def _work(self) -> None:
        while self._todo and not self.stopped:
            item = self._todo.popleft()
            came = self._has_images(item)
            try:
                generation = await self._asking.generation(item)
                if not came:
                    self._progress.spend(generation.usage)
                    telemetry.count_delivered(generation, dag_id=self._journal.header.origin.dag_id)
                came = True
                entry = await self._storing.store(item, generation)
            except QwenImageError as error:
                self._fail(item, error, came=came)
            else:
                self._in_a_row = 0
                self._progress.add(len(entry.images))

    def _has_images(self, item: Item) -> bool:
        """Whether an earlier run paid for them, or this one before it failed to store them."""
        entry = self._journal.entries.get(item.position)
        return entry is not None and entry.state == "delivered"

    def _fail(self, item: Item, error: QwenImageError, *, came: bool) -> None:
        follows = self._settle(item, error)
        if not came:
            telemetry.count_failed(error, unknown=follows.cost == "unknown")
        if follows.state == "unknown" and isinstance(error, TransferError):
            error = OutcomeUnknown(error.what, billing="yes", advice=error.advice)
        if follows.state == "unknown" and self._may_be_sent_again(item):
            self._sent_again[item.position] += 1
            if self._sent_again.total() <= _LOGGED:
                log.warning("%s is sent again, as on_unknown_outcome='resubmit' says: %s", item.where, error)
            self._todo.append(item)
            return
        self.failed[item.position] = Failed(error, follows)
        self._progress.failed += 1
        if len(self.failed) <= _LOGGED:
            log.warning("%s failed: %s", item.where, error)
        if not _is_of_the_request(error):
            self._in_a_row += 1
        most = _UNREACHED if isinstance(error, GatewayUnreachable) else _IN_A_ROW
        if self._options.on_error == "fail" or self._in_a_row >= most or isinstance(error, AnotherRun):
            self.stop(error)

    def _may_be_sent_again(self, item: Item) -> bool:
        allowed = self._options.on_unknown_outcome == "resubmit" and not self.stopped
        return allowed and self._sent_again[item.position] < _RESENDS

    def _settle(self, item: Item, error: QwenImageError) -> Consequence:
        """Write down what a failure leaves behind, and return it."""
        entry = self._journal.entries.get(item.position)
        state = entry.sending if entry else "unsent"
        follows = consequence(error, state=state)
        if entry and follows.state == "unknown" and entry.state != "unknown":
            self._journal.note(entry.lost(error.what, request_id=error.request_id))
        elif follows.state != state:
            self._journal.note(Entry(position=item.position, state=follows.state, reason=error.what))
        return follows


def _is_of_the_request(error: QwenImageError) -> bool:
    """Whether an error says something of this request only, and nothing of those that come."""
    refused = isinstance(error, PermanentRefusal) and error.scope == "request"
    return refused or (isinstance(error, InvalidRequest) and not isinstance(error, BudgetExceeded))


def split(
    items: Iterable[Item],
    journal: Journal,
    *,
    resend: bool,
    repeats: Callable[[Entry], bool] = lambda _: False,
) -> tuple[list[Item], dict[int, Failed]]:
    """
    Return what is missing, and what earlier runs left unknown and must not be sent again.

    :param repeats: whether the same can be asked for again under its idempotency key.
    """
    todo: list[Item] = []
    unknown: dict[int, Failed] = {}
    for item in items:
        entry = journal.entries.get(item.position)
        following = NEXT[entry.state if entry else "unsent"]
        if entry and following == "ask" and not (resend or repeats(entry)):
            error = _earlier(entry)
            unknown[item.position] = Failed(error, consequence(error, state=entry.state))
        elif entry and entry.state == "done" and entry.reason:  # without a mark, and no longer to be had
            unmarked = ImageUnmarked(entry.reason)
            unknown[item.position] = Failed(unmarked, consequence(unmarked, state="done"))
        elif following != "nothing":
            todo.append(item)
    return todo, unknown


def _earlier(entry: Entry) -> QwenImageError:
    when = f"{entry.sent or entry.at:%Y-%m-%d %H:%M:%S} UTC"
    if entry.state == "intent":
        return OutcomeUnknown(f"An earlier run sent this request at {when} and ended before its answer")
    return OutcomeUnknown(f"An earlier run, at {when}: {entry.reason}")
