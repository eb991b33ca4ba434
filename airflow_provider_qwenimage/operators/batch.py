"""Thousands of requests in one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_qwenimage.defaults import BATCH_FILENAME, CONN_ID, JOB_TIMEOUT, POLL_INTERVAL
from airflow_provider_qwenimage.operators.policy import OUR_POLICY, with_policy
from airflow_provider_qwenimage.operators.results import ImageBaseOperator, origin_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context
    from pydantic import BaseModel

    from airflow_provider_qwenimage.batch.running import BatchRun
    from airflow_provider_qwenimage.batch.verdict import Verdict
    from airflow_provider_qwenimage.defaults import ManifestFormat, Provenance
    from airflow_provider_qwenimage.models.manifest import Outcome
    from airflow_provider_qwenimage.models.options import BatchOptions


class QwenImageBatchOperator(ImageBaseOperator):
    """
    Send many requests, store every image as it arrives, and pay for each request once.

    Returns the ``s3://`` URIs in the order of the requests; pushes ``usage``, ``failures`` and ``manifest``. A
    journal under ``persist_to`` remembers what is paid: a retry, a clear or a new run with the same requests and
    the same ``persist_to`` pays only for what is missing.

    :param requests: a list of ``{"prompt": …, "size": …, "images": …, "operation": "generate" | "edit" |
        "sequence" | "translate", …}`` or prompts, or ``s3://bucket/prompts.jsonl`` (or ``.csv``).
    :param persist_to: ``s3://bucket/prefix/`` for images, manifest and journal; one batch each.
    :param inputs_from: where input images of the rows may come from: a list of ``http`` (and https), ``https``,
        ``data``, ``s3://bucket/prefix/`` and folders. Where omitted, rows from a file may name links, ``data:`` URLs
        and objects of that file's bucket; a list may name anything.
    :param prompt_template: the prompt of rows that have none, filled from their columns: ``a photo of {name}``.
    :param extra_columns: what a column is that no request has: ``refuse``, or ``labels`` of the images.
    :param labels: the author's own names for all images (``{"season": "spring"}``); a row may add to them.
    :param filename: template of the images' names with the fields index, ext, map_index and ``labels[…]``.
    :param manifest_format: ``json``, or ``parquet`` for ``manifest.parquet`` beside ``manifest.json``.
    :param model: default of the requests, as are ``size``, ``n``, ``negative_prompt``, ``seed`` and ``parameters``.
    :param max_concurrency: requests at the gateway at once; a throttled batch slows down by itself.
    :param requests_per_minute: requests started, evenly spread.
    :param max_images: refuse the batch before its first request when it asks for more.
    :param max_cost: refuse the batch before its first request when what is missing may cost more.
    :param on_error: ``fail`` begins nothing more after a failure; ``continue`` tries all and names the failures.
    :param on_unknown_outcome: what is done about requests that may have been billed: ``fail``, ``resubmit``, or
        ``find``, which asks the gateway once for the jobs of all of them.
    :param provenance: ``keep`` marks of origin as they are, ``require`` one of each image, or ``label`` them.
    :param resume: ``False`` lets a clear or another run pay anew; a retry never does.
    :param poll_interval: seconds between polls of a job.
    :param job_timeout: seconds since its submission after which a job is given up.
    """

    template_fields: Sequence[str] = (
        "requests",
        "inputs_from",
        "prompt_template",
        "extra_columns",
        "labels",
        "filename",
        "manifest_format",
        "persist_to",
        "model",
        "size",
        "n",
        "negative_prompt",
        "seed",
        "parameters",
        "qwenimage_conn_id",
        "aws_conn_id",
        "max_concurrency",
        "requests_per_minute",
        "max_images",
        "max_cost",
        "on_error",
        "on_unknown_outcome",
        "provenance",
        "resume",
        "poll_interval",
        "job_timeout",
    )
    may_be_empty: ClassVar[bool] = False
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "requests": "json",
        "parameters": "json",
        "labels": "json",
    }

    def __init__(
        self,
        *,
        requests: Any,
        persist_to: str,
        inputs_from: list[str] | None = None,
        prompt_template: str | None = None,
        extra_columns: str = "refuse",
        labels: dict[str, str] | None = None,
        filename: str = BATCH_FILENAME,
        manifest_format: ManifestFormat = "json",
        model: str | None = None,
        size: Any = None,
        n: Any = None,
        negative_prompt: str | None = None,
        seed: Any = None,
        parameters: dict[str, Any] | None = None,
        qwenimage_conn_id: str = CONN_ID,
        aws_conn_id: str | None = "aws_default",
        max_concurrency: int = 8,
        requests_per_minute: float | None = None,
        max_images: int | None = None,
        max_cost: float | None = None,
        on_error: str = "fail",
        on_unknown_outcome: str = "fail",
        provenance: Provenance = "keep",
        resume: bool = True,
        poll_interval: float = POLL_INTERVAL,
        job_timeout: float = JOB_TIMEOUT,
        retry_policy: Any = OUR_POLICY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_policy(kwargs, retry_policy))
        self.requests = requests
        self.persist_to = persist_to
        self.inputs_from = inputs_from
        self.prompt_template = prompt_template
        self.extra_columns = extra_columns
        self.labels = labels
        self.filename = filename
        self.manifest_format = manifest_format
        self.model = model
        self.size = size
        self.n = n
        self.negative_prompt = negative_prompt
        self.seed = seed
        self.parameters = parameters
        self.qwenimage_conn_id = qwenimage_conn_id
        self.aws_conn_id = aws_conn_id
        self.max_concurrency = max_concurrency
        self.requests_per_minute = requests_per_minute
        self.max_images = max_images
        self.max_cost = max_cost
        self.on_error = on_error
        self.on_unknown_outcome = on_unknown_outcome
        self.provenance = provenance
        self.resume = resume
        self.poll_interval = poll_interval
        self.job_timeout = job_timeout
        self._run: BatchRun | None = None
        self.refuse_mistakes()

    @classmethod
    def _models(cls) -> tuple[type[BaseModel], ...]:
        from airflow_provider_qwenimage.models.options import BatchOptions
        from airflow_provider_qwenimage.models.requests import GenerateRequest

        return BatchOptions, GenerateRequest

    def _execute(self, context: Context) -> list[str]:
        """Pay for what is missing, store it, and say what failed after what is there was pushed."""
        from airflow_provider_qwenimage.batch.running import BatchRun

        options = self._options()
        self._run = BatchRun(
            self.hook.settings,
            options,
            origin_of(context),
            life=int(context["ti"].max_tries or 0),
            tell=_teller(context),
        )
        verdict, outcome = self._run.run(self.requests, defaults=self._defaults())
        self._tell(context, verdict, outcome)
        if error := verdict.error(options):
            raise error
        if verdict.failed:
            self.log.warning(
                "%d of %d requests failed, which on_error='continue' lets pass; see the key failures",
                len(verdict.failed),
                len(verdict.items),
            )
        return outcome.uris

    def on_kill(self) -> None:
        """Begin nothing more; what is under way is paid, and stored if there is time."""
        if self._run is not None:
            self._run.stop()

    def _options(self) -> BatchOptions:
        from airflow_provider_qwenimage.models.coercion import build
        from airflow_provider_qwenimage.models.options import BatchOptions

        return build(BatchOptions, **{name: getattr(self, name) for name in BatchOptions.model_fields})

    def _defaults(self) -> dict[str, Any]:
        names = ("model", "size", "n", "negative_prompt", "seed", "parameters", "labels")
        return {name: getattr(self, name) for name in names if getattr(self, name) not in (None, "")}

    def _tell(self, context: Context, verdict: Verdict, outcome: Outcome) -> None:
        """Push what the author asked Airflow to keep, and describe the set to its outlets."""
        self.push(context, {"usage": verdict.usage(self.hook.settings.currency)})
        if failures := [*verdict.failures(), *verdict.incomplete()]:
            self.push(context, {"failures": failures})
        self.tell(context, outcome)


def _teller(context: Context) -> Any:
    """Return what keeps the progress in the task state (Airflow 3.3+), ``None`` where there is none."""
    from airflow_provider_qwenimage.batch.progress import KEY

    store = context.get("task_state_store")
    return None if store is None else lambda counts: store.set(KEY, counts)
