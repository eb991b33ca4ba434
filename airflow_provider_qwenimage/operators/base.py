"""What all image operators share: the arguments, paying once, waiting, storing, telling."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_qwenimage import telemetry
from airflow_provider_qwenimage.defaults import CONN_ID, JOB_TIMEOUT, POLL_INTERVAL
from airflow_provider_qwenimage.exceptions import InvalidRequest, QwenImageError
from airflow_provider_qwenimage.operators.deferring import DeferringBaseOperator
from airflow_provider_qwenimage.operators.policy import OUR_POLICY, with_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context
    from pydantic import BaseModel

    from airflow_provider_qwenimage.defaults import Provenance
    from airflow_provider_qwenimage.models.options import Options
    from airflow_provider_qwenimage.models.requests import Operation, Request
    from airflow_provider_qwenimage.models.results import Generation, Job
    from airflow_provider_qwenimage.payment.ledger import Ledger

# What a task needs only once it runs is imported inside the methods: every parse of a Dag pays for the rest.


class QwenImageBaseOperator(DeferringBaseOperator):
    """
    Ask a gateway for images, once.

    :param prompt: what the images show.
    :param model: the model's name; the connection's default where omitted.
    :param size: ``"1328*1328"``, ``"1328x1328"``, ``[1328, 1328]``, ``"16:9"`` or ``"2K"``.
    :param n: how many images; always sent, because upstream defaults are 4 and 12, and billed.
    :param negative_prompt: what the images must not show.
    :param seed: 0..2147483647.
    :param parameters: vendor parameters, passed through untouched.
    :param labels: the author's own names for the images (``{"sku": "A-1"}``); never sent.
    :param qwenimage_conn_id: the gateway connection.
    :param persist_to: ``s3://bucket/prefix/``, or a place in another store; stores the images in this task, before
        their links can die.
    :param aws_conn_id: the connection for ``persist_to`` and for input images in S3.
    :param deferrable: wait for jobs in the triggerer; gateways without jobs run on the worker.
    :param poll_interval: seconds between polls of a job.
    :param job_timeout: seconds since its submission after which a job is given up.
    :param on_unknown_outcome: what is done about a request that may have been billed: ``fail``, ``resubmit``, or
        ``find``, which asks the gateway for its job and adopts the one that can only be it.
    :param on_partial: some of n images failed: ``warn``, or ``fail`` after the paid ones were pushed.
    :param max_cost: refuse a request that may cost more, in the currency of the connection's prices.
    :param provenance: of stored images: ``keep`` their marks of origin as they are, ``require`` one, or ``label`` them.
    :param retry_policy: ``QwenImageRetryPolicy`` by default (Airflow 3.3+); ``None`` for Airflow's own way.
    """

    template_fields: Sequence[str] = (
        "prompt",
        "model",
        "size",
        "n",
        "negative_prompt",
        "seed",
        "parameters",
        "labels",
        "qwenimage_conn_id",
        "persist_to",
        "aws_conn_id",
        "poll_interval",
        "job_timeout",
        "on_unknown_outcome",
        "on_partial",
        "max_cost",
        "provenance",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json", "labels": "json"}
    operation: ClassVar[Operation]
    prompt_is_rendered: ClassVar[bool] = True

    def __init__(
        self,
        *,
        prompt: str,
        model: str | None = None,
        size: Any = None,
        n: Any = 1,
        negative_prompt: str | None = None,
        seed: Any = None,
        parameters: dict[str, Any] | None = None,
        labels: dict[str, str] | None = None,
        qwenimage_conn_id: str = CONN_ID,
        persist_to: str | None = None,
        aws_conn_id: str | None = "aws_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = POLL_INTERVAL,
        job_timeout: float = JOB_TIMEOUT,
        on_unknown_outcome: str = "fail",
        on_partial: str = "warn",
        max_cost: float | None = None,
        provenance: Provenance = "keep",
        retry_policy: Any = OUR_POLICY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_policy(kwargs, retry_policy))
        self.prompt = prompt
        self.model = model
        self.size = size
        self.n = n
        self.negative_prompt = negative_prompt
        self.seed = seed
        self.parameters = parameters
        self.labels = labels
        self.qwenimage_conn_id = qwenimage_conn_id
        self.persist_to = persist_to
        self.aws_conn_id = aws_conn_id
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.job_timeout = job_timeout
        self.on_unknown_outcome = on_unknown_outcome
        self.on_partial = on_partial
        self.max_cost = max_cost
        self.provenance = provenance
        self._job: Job | None = None
        self.refuse_mistakes()

    @classmethod
    def _models(cls) -> tuple[type[BaseModel], ...]:
        from airflow_provider_qwenimage.models.options import Options
        from airflow_provider_qwenimage.models.requests import KINDS

        return Options, KINDS[cls.operation]

    def _execute(self, context: Context) -> list[str]:
        """Ask, wait, store and push; resume or replay what an earlier try paid for."""
        from airflow_provider_qwenimage.operators.results import refuse_foreign

        options, request = self._options(), self._request()
        self.store = None
        with self.hook, self.s3:
            ledger = self._ledger(context, request)
            begun = time.monotonic()
            kept = self._kept(context, request, ledger, options)
            refuse_foreign(kept, options.persist_to)
            generation = self._wait(kept or self._pay(context, request, ledger, options), ledger, options)
            if generation is not kept:
                self._came(generation, seconds=time.monotonic() - begun)
            labelled = generation.labelled(request.labels) if kept else generation  # by an earlier try
            return self._deliver(context, labelled, ledger, options)

    def _kept(
        self, context: Context, request: Request, ledger: Ledger, options: Options
    ) -> Generation | Job | None:
        """Return what an earlier try got, ``None`` where nothing was paid or the same may be sent again."""
        record = ledger.entry()
        if record is None:
            return None
        if record.outcome is None:
            from airflow_provider_qwenimage.operators.finding import UnknownOutcome

            return UnknownOutcome(self, request, ledger, options).of_earlier_try(context, record)
        self.log.info("%s", record.line())
        return record.outcome

    def _came(
        self, generation: Generation, *, seconds: float | None = None, waited: float | None = None
    ) -> None:
        """
        Say and count what was paid for and came.

        :param seconds: that this worker took for it.
        :param waited: that a job took, as the triggerer saw it.
        """
        telemetry.delivered(generation, dag_id=self.dag_id, seconds=seconds)
        self.log.info("Paid: %s", telemetry.paid(generation, self.operation, seconds=seconds or waited))

    def on_kill(self) -> None:
        """Cancel a job this worker waits for; one that has started goes on and is billed."""
        from airflow_provider_qwenimage.gateway import waiting

        if self._job is None:
            return
        # A signal handler: the task's own client may be in the middle of a poll, with its pool locked.
        with self.hook.settings.endpoint.client() as client:
            cancelled = waiting.cancel(client, self._job)
        if not cancelled:
            self.log.warning("Job %s could not be cancelled: it goes on and will be billed.", self._job.id)

    def _request(self) -> Request:
        """Build the request the author means; input images are still as they wrote them."""
        from airflow_provider_qwenimage.models.coercion import build
        from airflow_provider_qwenimage.models.requests import KINDS

        kind = KINDS[self.operation]
        return build(kind, **{name: getattr(self, name) for name in kind.model_fields})

    def _ready(self, request: Request) -> Request:
        """Return the request as it can be sent; input images may need to be fetched for that."""
        return request

    def _options(self) -> Options:
        from airflow_provider_qwenimage.models.coercion import build
        from airflow_provider_qwenimage.models.options import Options
        from airflow_provider_qwenimage.wire.links import split_prefix

        options = build(Options, **{name: getattr(self, name) for name in Options.model_fields})
        if options.persist_to:
            split_prefix(options.persist_to, field="persist_to")
        elif options.provenance != "keep":
            rule = f"{options.provenance!r} needs persist_to, or belongs to the task that stores the images"
            raise InvalidRequest("provenance", rule)
        return options

    def _ledger(self, context: Context, request: Request) -> Ledger:
        from airflow_provider_qwenimage.payment.ledger import Ledger

        settings = self.hook.settings
        model, base_url = request.model or settings.model, settings.endpoint.base_url
        telemetry.asked(request, gateway=settings.gateway.name, model=model, base_url=base_url)
        return Ledger.of(
            context,
            request=request.model_copy(update={"model": model}),
            account=settings.endpoint.account,
            header=settings.idempotency_header,
        )

    def _pay(self, context: Context, request: Request, ledger: Ledger, options: Options) -> Generation | Job:
        """Send the request, once, with its intent on record."""
        from airflow_provider_qwenimage.models.coercion import refuse_unrendered
        from airflow_provider_qwenimage.operators.results import prepare

        if self.prompt_is_rendered:
            refuse_unrendered(request.prompt)
        if options.on_unknown_outcome == "find":
            from airflow_provider_qwenimage.gateway.find import refuse_unfindable

            refuse_unfindable(self.hook.settings, request)
        planned = self.hook.plan(self._ready(request), inline=options.persist_to is not None)
        if self.deferrable and not planned.is_job:
            title = self.hook.settings.gateway.title
            self.log.info("%s has no job for this model: running on the worker.", title)
        # Whatever can fail before the request does so before its intent is on record, and before it is paid.
        self.hook.get_conn()
        prepare(self, context, planned.request, options)
        turn = None
        if self.deferrable or options.max_cost is not None:
            from airflow_provider_qwenimage.operators.turns import turn_of

            turn = turn_of(self, planned, options, paid=ledger.again is not None)
        ledger.beside = self.store.bucket if self.store else None
        on_unknown = options.on_unknown_outcome
        try:
            with ledger.settling(ledger.sending, on_unknown_outcome=on_unknown, waits=True):
                outcome = self.hook.send(planned, turn=turn, record=ledger)
        except QwenImageError as error:
            if not error.may_be_billed:
                raise
            from airflow_provider_qwenimage.operators.finding import UnknownOutcome

            return UnknownOutcome(self, request, ledger, options).of_this_try(error)
        ledger.keep(outcome)
        return outcome

    def _wait(self, outcome: Generation | Job, ledger: Ledger, options: Options) -> Generation:
        """Wait for a job, here or in the triggerer; what has come already is returned as it is."""
        from airflow_provider_qwenimage.models.results import Job

        if not isinstance(outcome, Job):
            return outcome
        if self.deferrable:
            ledger.insist()
            self._leave(outcome, options)
        self._job = job = outcome
        try:
            with ledger.settling("submitted", on_unknown_outcome=options.on_unknown_outcome):
                generation = self.hook.wait(job, interval=options.poll_interval, timeout=options.job_timeout)
        finally:
            self._job = None
        ledger.keep(generation)
        return generation

    def _deliver(
        self, context: Context, generation: Generation, ledger: Ledger, options: Options
    ) -> list[str]:
        """Push and store what was paid for, then say what failed."""
        from airflow_provider_qwenimage.operators.results import deliver

        with ledger.settling("delivered", on_unknown_outcome=options.on_unknown_outcome):
            return deliver(self, context, generation, ledger, options)
