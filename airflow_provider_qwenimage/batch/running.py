"""Runs a batch from its checked requests to the manifest."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AsyncExitStack, ExitStack, suppress
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.batch.allowed import AllowedInputs
from airflow_provider_qwenimage.batch.asking import READERS, Asking
from airflow_provider_qwenimage.batch.entries import Header
from airflow_provider_qwenimage.batch.fanout import DRAIN, FanOut, split
from airflow_provider_qwenimage.batch.items import read_batch, rows_file, rows_of
from airflow_provider_qwenimage.batch.journal import Journal, folder_of, refuse_foreign
from airflow_provider_qwenimage.batch.pacing import Pace
from airflow_provider_qwenimage.batch.progress import Progress
from airflow_provider_qwenimage.batch.storing import STORES, Storing, look_again, may_write, relabel
from airflow_provider_qwenimage.batch.verdict import Verdict
from airflow_provider_qwenimage.defaults import BATCH_FILENAME
from airflow_provider_qwenimage.exceptions import InvalidRequest
from airflow_provider_qwenimage.models.results import other_sizes
from airflow_provider_qwenimage.storage.prefix import Bucket
from airflow_provider_qwenimage.storage.s3 import S3
from airflow_provider_qwenimage.storage.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from airflow_provider_qwenimage.batch.finding import UnknownRows
    from airflow_provider_qwenimage.batch.items import Batch
    from airflow_provider_qwenimage.batch.journal import Ours
    from airflow_provider_qwenimage.batch.verdict import Failed
    from airflow_provider_qwenimage.gateway.account.money import Wallet
    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.manifest import Origin, Outcome
    from airflow_provider_qwenimage.models.options import BatchOptions
    from airflow_provider_qwenimage.storage.store import ImageStore

log = logging.getLogger(__name__)


@dataclass
class BatchRun:
    """
    One run of a batch.

    :param origin: the task instance.
    :param life: ``ti.max_tries``; see ``entries.Header``.
    :param tell: keeps the progress where the UI shows it.
    """

    settings: Settings
    options: BatchOptions
    origin: Origin
    life: int = 0
    tell: Callable[[dict[str, Any]], object] | None = None
    _fan_out: FanOut | None = field(default=None, init=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)
    _working: asyncio.Task[Any] | None = field(default=None, init=False)
    _wallet: Wallet | None = field(default=None, init=False)
    _told_to_stop: bool = field(default=False, init=False)

    def run(self, requests: Any, *, defaults: Mapping[str, Any]) -> tuple[Verdict, Outcome]:
        """
        Check all requests, send what is missing, store what comes, and write the manifest.

        :raises InvalidRequest: before the first request: bad rows, too many images, another batch's journal.
        """
        with ExitStack() as open_things:
            # One client for the rows, the journal, the input images and the images that come: STORES and the journal's
            # writer speak at once.
            s3 = open_things.enter_context(S3(self.options.aws_conn_id, max_connections=STORES + 1))
            bucket = Bucket(folder_of(self.options.persist_to), s3, field="persist_to")
            batch, ours = self._read(requests, defaults, s3)
            self._allowed(batch)
            store = open_things.enter_context(self._store(s3, batch.images))
            header = Header(
                requests=tuple(item.fingerprint for item in batch.items), origin=self.origin, life=self.life
            )
            journal = Journal(
                bucket,
                header=header,
                resume=self.options.resume,
                before=partial(refuse_foreign, store, ours, self.options.persist_to),
            )
            look_again(journal, store)
            relabel(journal, batch.items, store)
            finds = self.options.on_unknown_outcome == "find"
            told = self._unknown(batch, journal).find() if finds else ""
            self._affordable(batch, journal)
            verdict = self._drive(self._fan(batch, journal, store, s3, self._unmarked(journal, store)))
            if verdict.unknown and self.options.on_unknown_outcome != "resubmit":
                told = told or self._unknown(batch, journal).told()
                verdict = replace(verdict, candidates=told)
            outcome = self._finish(verdict, store)
            journal.close(complete=outcome.manifest is not None)
        return verdict, outcome

    def _read(self, requests: Any, defaults: Mapping[str, Any], s3: S3) -> tuple[Batch, Ours]:
        """Check all requests; return also what tells the names of their images from those of others."""
        options, rows, names = self.options, rows_of(requests, s3.open), None
        if (options.prompt_template, options.extra_columns) != (None, "refuse"):
            from airflow_provider_qwenimage.batch.columns import Columns

            rows = Columns.of(options).filled(rows)
        if options.filename != BATCH_FILENAME:
            from airflow_provider_qwenimage.batch.names import Names

            names = Names(options.filename, prefix=options.persist_to, map_index=self.origin.map_index)
        facts: dict[str, Any] = {"defaults": defaults, "settings": self.settings, "names": names}
        batch = read_batch(rows, allowed=self._inputs(requests), **facts)
        return batch, names.may_write if names else partial(may_write, total=batch.images)

    def _inputs(self, requests: Any) -> AllowedInputs | None:
        """Return which input images the rows may name; ``None`` where they are the author's own, and may name any."""
        if self.options.inputs_from is not None:
            return AllowedInputs(self.options.inputs_from)
        file = rows_file(requests)
        return AllowedInputs.beside(file) if file else None

    def _unmarked(self, journal: Journal, store: ImageStore) -> dict[int, Failed]:
        """Return what earlier runs stored without the marks that this one asks for, and that gets none."""
        if self.options.provenance == "keep":
            return {}
        from airflow_provider_qwenimage.batch.marks import mark_again

        return mark_again(journal, store)

    def stop(self) -> None:
        """Let no further request begin; may be called from a signal handler or another thread."""
        self._told_to_stop = True
        if self._fan_out is not None:
            self._in_loop(self._fan_out.stop)

    def _in_loop(self, call: Callable[[], object]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended: there is nothing left to stop
                self._loop.call_soon_threadsafe(call)

    def _drive(self, fan: Coroutine[Any, Any, Verdict]) -> Verdict:
        """
        Run the event loop in a thread of its own.

        Airflow raises what ends a task early (``execution_timeout``) into the main thread, wherever that stands: inside
        the loop it would tear one request apart, or be lost. Here it finds this method, and paid requests may end.
        """
        with ThreadPoolExecutor(1, "qwenimage-loop") as thread:
            working = thread.submit(copy_context().run, asyncio.run, fan)
            try:
                return working.result()
            except BaseException:
                if not working.done():
                    log.warning("The batch must end: what is under way has %d s to arrive", DRAIN)
                    self.stop()
                    wait([working], timeout=DRAIN)
                    if self._working is not None:
                        self._in_loop(self._working.cancel)
                raise

    def _unknown(self, batch: Batch, journal: Journal) -> UnknownRows:
        from airflow_provider_qwenimage.batch.finding import UnknownRows

        return UnknownRows(batch.items, journal, self.settings, self.options)

    def _allowed(self, batch: Batch) -> None:
        most = self.options.max_images
        if most is not None and batch.images > most:
            raise InvalidRequest(
                "max_images", f"allows {most}, and the requests ask for {batch.images} images"
            )
        for warning, count in batch.warnings.most_common():
            log.warning("%s (%d requests)", warning, count)

    def _affordable(self, batch: Batch, journal: Journal) -> None:
        """Refuse a batch that may cost more than its author allows, or whose cost nobody can bound."""
        if self.options.max_cost is None and self.settings.budget is None:
            return
        from airflow_provider_qwenimage.gateway.account.money import Purse, Wallet

        most = self.options.max_cost
        self._wallet = None if most is None else Wallet(most, self.settings.currency)
        todo, _ = split(batch.items, journal, resend=self.options.on_unknown_outcome == "resubmit")
        purses = [Purse.of(self.settings, item.request, wallet=self._wallet) for item in todo]
        if self._wallet is not None:
            self._wallet.refuse_more(sum(purse.cost for purse in purses if purse))

    def _store(self, s3: S3, total: int) -> ImageStore:
        return open_store(
            self.settings,
            origin=self.origin,
            s3=s3,
            s3_prefix=self.options.persist_to,
            aws_conn_id=self.options.aws_conn_id,
            filename=self.options.filename,
            places=None if self.options.filename == BATCH_FILENAME else total,
            if_exists="replace",  # the place of an image is its name: what lies there is an earlier one of it
            max_concurrency=STORES,
            provenance=self.options.provenance,
            manifest_format=self.options.manifest_format,
        )

    async def _fan(
        self, batch: Batch, journal: Journal, store: ImageStore, s3: S3, unmarked: dict[int, Failed]
    ) -> Verdict:
        keys = None
        if self.settings.idempotency_header:
            from airflow_provider_qwenimage.batch.keys import Keys

            keys = Keys.of(self.settings, origin=self.origin, life=self.life)
        resend = self.options.on_unknown_outcome == "resubmit"
        again = {"repeats": keys.repeats} if keys else {}
        todo, unknown = split(batch.items, journal, resend=resend, **again)
        progress = self._progress(batch, missing=len(todo), unknown=len(unknown))
        pace = Pace(concurrency=self.options.max_concurrency, per_minute=self.options.requests_per_minute)
        self._loop, self._working = asyncio.get_running_loop(), asyncio.current_task()
        clients = self.settings.endpoint.async_clients(self.options.max_concurrency)
        readers = ThreadPoolExecutor(min(READERS, self.options.max_concurrency), "qwenimage-inputs")
        with readers, ThreadPoolExecutor(STORES, "qwenimage-batch") as threads:
            async with AsyncExitStack() as open_things:
                for client in clients:
                    await open_things.enter_async_context(client)
                await open_things.enter_async_context(journal.writing())
                fan_out = FanOut(
                    todo,
                    self.options,
                    asking=Asking(
                        clients,
                        self.settings,
                        self.options,
                        journal=journal,
                        pace=pace,
                        s3=s3,
                        readers=readers,
                        wallet=self._wallet,
                        keys=keys,
                    ),
                    storing=Storing(store, journal, total=batch.images, threads=threads),
                    journal=journal,
                    pace=pace,
                    progress=progress,
                )
                await self._watched(fan_out, progress, pace)
        failed = {**unknown, **unmarked, **fan_out.failed}
        done = {place: entry for place, entry in journal.entries.items() if entry.state == "done"}
        paid = [entry for entry in journal.entries.values() if entry.state != "done" and entry.paid]
        done = {place: entry for place, entry in done.items() if place not in failed}
        return Verdict(batch.items, done, failed, fan_out.stopped, tuple(paid))

    async def _watched(self, fan_out: FanOut, progress: Progress, pace: Pace) -> None:
        """Work through the requests, telling how far it is, until they end or the task is told to."""
        self._fan_out = fan_out
        if self._told_to_stop:
            fan_out.stop()
        watching = asyncio.create_task(progress.watch(lambda: pace.under_way))
        try:
            await fan_out.run()
        finally:
            watching.cancel()
        log.info("%s", progress.line(0))
        await asyncio.to_thread(progress.show)

    def _progress(self, batch: Batch, *, missing: int, unknown: int) -> Progress:
        total, currency = len(batch.items), self.settings.currency
        earlier = total - missing - unknown
        whole = f", about {batch.cost:.2f} {currency or ''}".rstrip() if batch.cost is not None else ""
        if whole and batch.listed:
            whole += f" (an estimate by the vendor's list, {'; '.join(sorted(batch.listed))})"
        log.info(
            "%d requests for %d images%s in all: %d are done, %d are of unknown outcome, %d are to do",
            total,
            batch.images,
            whole,
            earlier,
            unknown,
            missing,
        )
        return Progress(total, earlier=earlier, unknown=unknown, currency=currency, tell=self.tell)

    def _finish(self, verdict: Verdict, store: ImageStore) -> Outcome:
        """Write the manifest; what the author lets be missing is missing in a complete set."""
        if differ := other_sizes(verdict.images):
            log.warning("%s", differ)
        partial = verdict.partial()
        if partial:
            log.warning("%d images did not come of requests that brought others; see failures", len(partial))
        if verdict.settled(self.options):
            return store.finish(verdict.images, missing=[*partial, *verdict.missing()])
        return store.finish(verdict.images, failures=verdict.missing(), missing=partial)
