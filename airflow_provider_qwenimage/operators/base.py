"""What all image operators share: the arguments, paying once, waiting, storing, telling."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator, conf

from airflow_provider_qwenimage import telemetry
from airflow_provider_qwenimage.defaults import CONN_ID, JOB_TIMEOUT, POLL_INTERVAL
from airflow_provider_qwenimage.exceptions import (
    OutcomeUnknown,
    QwenImageError,
    TransferError,
    UnexpectedReply,
    never_retried,
    restore,
)
from airflow_provider_qwenimage.operators.links import LINKS
from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook
    from airflow_provider_qwenimage.ledger import Ledger
    from airflow_provider_qwenimage.models.options import Options
    from airflow_provider_qwenimage.models.outcome import Outcome
    from airflow_provider_qwenimage.models.requests import Operation, Request
    from airflow_provider_qwenimage.models.results import Generation, Job

# What a task needs only once it runs is imported inside the methods: every parse of a Dag pays for the rest.

OUR_POLICY = "default"  # stands for QwenImageRetryPolicy, which Airflow below 3.3 does not have
_NET = 300.0  # seconds the deferral outlives the trigger's own deadline, in case the triggerer died


class QwenImageBaseOperator(BaseOperator):
    """
    Ask a gateway for images, once.

    :param prompt: what the images show.
    :param model: the model's name; the connection's default where omitted.
    :param size: ``"1328*1328"``, ``"1328x1328"``, ``[1328, 1328]``, ``"16:9"`` or ``"2K"``.
    :param n: how many images; always sent, because upstream defaults are 4 and 12, and billed.
    :param negative_prompt: what the images must not show.
    :param seed: 0..2147483647.
    :param parameters: vendor parameters, passed through untouched.
    :param qwenimage_conn_id: the gateway connection.
    :param persist_to: ``s3://bucket/prefix/``; stores the images in this task, before their links can die.
    :param aws_conn_id: the connection for ``persist_to`` and for input images in S3.
    :param deferrable: wait for jobs in the triggerer; gateways without jobs run on the worker.
    :param poll_interval: seconds between polls of a job.
    :param job_timeout: seconds since its submission after which a job is given up.
    :param on_unknown_outcome: what a retry does when an earlier try may have been billed: ``fail`` or ``resubmit``.
    :param on_partial: some of n images failed: ``warn``, or ``fail`` after the paid ones were pushed.
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
        "qwenimage_conn_id",
        "persist_to",
        "aws_conn_id",
        "poll_interval",
        "job_timeout",
        "on_unknown_outcome",
        "on_partial",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json"}
    operator_extra_links = LINKS
    ui_color = "#e8e3fb"

    operation: ClassVar[Operation]

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
        qwenimage_conn_id: str = CONN_ID,
        persist_to: str | None = None,
        aws_conn_id: str | None = "aws_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = POLL_INTERVAL,
        job_timeout: float = JOB_TIMEOUT,
        on_unknown_outcome: str = "fail",
        on_partial: str = "warn",
        retry_policy: Any = OUR_POLICY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**_with_policy(kwargs, retry_policy))
        self.prompt = prompt
        self.model = model
        self.size = size
        self.n = n
        self.negative_prompt = negative_prompt
        self.seed = seed
        self.parameters = parameters
        self.qwenimage_conn_id = qwenimage_conn_id
        self.persist_to = persist_to
        self.aws_conn_id = aws_conn_id
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.job_timeout = job_timeout
        self.on_unknown_outcome = on_unknown_outcome
        self.on_partial = on_partial
        self._job: Job | None = None
        self.outcome: Outcome | None = None  # what was stored, for links and lineage

    @cached_property
    def hook(self) -> QwenImageHook:
        """The gateway connection."""
        from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook

        return QwenImageHook(self.qwenimage_conn_id)

    def execute(self, context: Context) -> list[str]:
        """Ask, wait, store and push; resume or replay what an earlier try paid for."""
        options = self._options()
        request = self._request()
        with self.hook:
            ledger = self._ledger(context, request)
            begun = time.monotonic()
            kept = self._resume(ledger, options)
            generation = self._wait(kept or self._pay(request, ledger, options), ledger, options)
            if generation is not kept:
                telemetry.delivered(generation, seconds=time.monotonic() - begun)
            return self._deliver(context, generation, ledger, options)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[str]:
        """Go on after the trigger: raise its error typed, or store and push its images."""
        from airflow_provider_qwenimage.models.results import Generation

        options = self._options()
        ledger = self._ledger(context, self._request())
        if facts := event.get("error"):
            raise _settled(restore(facts), ledger, options)
        generation = Generation.model_validate(event["generation"])
        ledger.keep(generation)
        telemetry.delivered(generation)
        return self._deliver(context, generation, ledger, options)

    def on_kill(self) -> None:
        """Cancel a job this worker waits for; one that has started goes on and is billed."""
        from airflow_provider_qwenimage import calls

        if self._job is None:
            return
        # A signal handler: the task's own client may be in the middle of a poll, with its pool locked.
        with self.hook.settings.endpoint.client() as client:
            cancelled = calls.cancel(client, self._job)
        if not cancelled:
            self.log.warning("Job %s could not be cancelled: it goes on and will be billed.", self._job.id)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002
        """Tell OpenLineage, where that provider is installed, which objects went in and what was stored."""
        from airflow_provider_qwenimage.operators.lineage import lineage

        return lineage(inputs=getattr(self, "images", None), prefix=self.persist_to, outcome=self.outcome)

    def _request(self) -> Request:
        """Build the request the author means; input images are still as they wrote them."""
        from airflow_provider_qwenimage.models.requests import KINDS, build

        kind = KINDS[self.operation]
        return build(kind, **{name: getattr(self, name) for name in kind.model_fields})

    def _ready(self, request: Request) -> Request:
        """Return the request as it can be sent; input images may need to be fetched for that."""
        return request

    def _options(self) -> Options:
        from airflow_provider_qwenimage.bucket import split_prefix
        from airflow_provider_qwenimage.models.options import Options
        from airflow_provider_qwenimage.models.requests import build

        options = build(Options, **{name: getattr(self, name) for name in Options.model_fields})
        if options.persist_to:
            split_prefix(options.persist_to, field="persist_to")
        return options

    def _ledger(self, context: Context, request: Request) -> Ledger:
        from airflow_provider_qwenimage.ledger import Ledger

        settings = self.hook.settings
        model, base_url = request.model or settings.model, settings.endpoint.base_url
        telemetry.asked(request, gateway=settings.gateway.name, model=model, base_url=base_url)
        identity = {
            **request.model_dump(mode="json"),
            "operation": request.operation,
            "model": model,
            "connection": self.qwenimage_conn_id,
            "gateway": settings.gateway.name,
            "host": base_url,
            "request_format": settings.gateway.request_format,
        }
        return Ledger.of(context, request=identity)

    def _resume(self, ledger: Ledger, options: Options) -> Generation | Job | None:
        """Return what an earlier try of this task got, ``None`` where nothing was paid or paying again is allowed."""
        record = ledger.entry()
        if record is None:
            return None
        if record.generation is not None:
            self.log.info("Replaying the %d images an earlier try paid for.", len(record.generation.images))
            return record.generation
        if record.job is not None:
            self.log.info("Resuming job %s of an earlier try.", record.job.id)
            return record.job
        if options.on_unknown_outcome == "fail":
            raise never_retried(
                OutcomeUnknown(
                    f"An earlier try sent this request at {record.at:%Y-%m-%d %H:%M:%S} UTC "
                    "and ended before its answer",
                    advice="Look at the gateway's usage log; clear the task to pay again, "
                    "or set on_unknown_outcome='resubmit'.",
                )
            )
        self.log.warning(
            "An earlier try may have been billed; sending again, as on_unknown_outcome='resubmit' says."
        )
        return None

    def _pay(self, request: Request, ledger: Ledger, options: Options) -> Generation | Job:
        """Send the request, once, with its intent on record."""
        planned = self.hook.plan(self._ready(request), inline=options.persist_to is not None)
        if self.deferrable and not planned.is_job:
            self.log.info(
                "%s has no job for this model: running on the worker.", self.hook.settings.gateway.title
            )
        self.hook.get_conn()  # whatever can fail before the request does so before its intent is on record
        ledger.intend()
        try:
            outcome = self.hook.send(planned)
        except QwenImageError as error:
            raise _settled(error, ledger, options) from error.__cause__
        except AirflowTaskTimeout as timeout:
            if ledger.durable:
                raise  # the intent on record tells the next try
            unknown = OutcomeUnknown("The task timed out while it waited for the answer")
            raise _settled(unknown, ledger, options) from timeout
        ledger.keep(outcome)
        return outcome

    def _wait(self, outcome: Generation | Job, ledger: Ledger, options: Options) -> Generation:
        """Wait for a job, here or in the triggerer; what has come already is returned as it is."""
        from airflow_provider_qwenimage.models.results import Job

        if not isinstance(outcome, Job):
            return outcome
        if self.deferrable:
            self._defer(outcome, options)
        self._job = job = outcome
        try:
            generation = self.hook.wait(job, interval=options.poll_interval, timeout=options.job_timeout)
        except QwenImageError as error:
            raise _settled(error, ledger, options) from error.__cause__
        finally:
            self._job = None
        ledger.keep(generation)
        return generation

    def _defer(self, job: Job, options: Options) -> None:
        from airflow_provider_qwenimage.triggers.qwenimage import QwenImageJobTrigger

        trigger = QwenImageJobTrigger(
            job.model_dump(mode="json"),
            qwenimage_conn_id=self.qwenimage_conn_id,
            poll_interval=options.poll_interval,
            job_timeout=options.job_timeout,
        )
        timeout = timedelta(seconds=options.job_timeout + _NET)
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)

    def _deliver(
        self, context: Context, generation: Generation, ledger: Ledger, options: Options
    ) -> list[str]:
        """Push what was paid for, store it where asked, then say what failed."""
        from airflow_provider_qwenimage.operators.delivery import push, rescue, shortfall

        push(self, context, generation.xcom())
        inline = [image for image in generation.images if image.data is not None]
        if options.persist_to:
            generation = self._persist(context, generation, ledger, options)
        elif inline:
            raise never_retried(rescue(inline, why="came inside the reply, and persist_to is not set"))
        report = shortfall(generation)
        if report and options.on_partial == "fail":
            raise never_retried(UnexpectedReply(report, billing="yes", request_id=generation.request_id))
        if report:
            self.log.warning("%s", report)
        return generation.urls

    def _persist(
        self, context: Context, generation: Generation, ledger: Ledger, options: Options
    ) -> Generation:
        """Store the images; a retry after a failure stores again and pays nothing."""
        from airflow_provider_qwenimage.operators.delivery import persist, push, rescue

        inline = [image for image in generation.images if image.data is not None]
        try:
            stored = persist(self, context, generation, str(options.persist_to))
        except Exception as error:
            if inline:  # nothing but this process holds them
                raise never_retried(rescue(inline, why=f"could not be stored: {redact(error)}")) from error
            if ledger.durable:
                raise
            what = (
                error
                if isinstance(error, TransferError)
                else TransferError(f"Storing failed: {redact(error)}")
            )
            raise never_retried(what) from error
        push(self, context, stored.xcom())
        ledger.keep(stored)
        return stored


def _settled(error: QwenImageError, ledger: Ledger, options: Options) -> QwenImageError:
    """
    Settle the record after a failed request, and whether a retry may follow.

    What was not billed is forgotten, so a retry starts anew. What may have been billed stays on record and
    ends the task, unless its author asked to pay again. A job past its deadline stays on record too: it goes on
    at the gateway, and a retry that asks for it once more is free.
    """
    telemetry.failed(error)
    if isinstance(error, OutcomeUnknown) and error.job_id:
        return error if ledger.durable else never_retried(error)
    if error.may_be_billed and options.on_unknown_outcome == "fail":
        return never_retried(error)
    ledger.forget()
    return error


def _with_policy(kwargs: dict[str, Any], retry_policy: Any) -> dict[str, Any]:
    """Add the retry policy to the arguments of ``BaseOperator``, where Airflow has one (3.3+)."""
    from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

    if not AIRFLOW_V_3_3_PLUS:
        return kwargs
    if retry_policy == OUR_POLICY:
        from airflow_provider_qwenimage.retry_policy import QwenImageRetryPolicy

        retry_policy = QwenImageRetryPolicy()
    return {**kwargs, "retry_policy": retry_policy}
