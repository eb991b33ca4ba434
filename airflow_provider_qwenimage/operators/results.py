"""What a task tells of its images, and what becomes of them: stored, pushed, and what is missing said."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_qwenimage.exceptions import (
    InvalidRequest,
    OutcomeUnknown,
    TransferError,
    TransferIncomplete,
    UnexpectedReply,
)
from airflow_provider_qwenimage.hooks.qwenimage import FinalForAirflow, QwenImageHook
from airflow_provider_qwenimage.operators.links import LINKS
from airflow_provider_qwenimage.operators.literals import refuse_mistakes
from airflow_provider_qwenimage.operators.rescue import rescue

if TYPE_CHECKING:
    from airflow.sdk import Context
    from pydantic import BaseModel

    from airflow_provider_qwenimage.catalog import Gateway
    from airflow_provider_qwenimage.models.manifest import Origin, Outcome
    from airflow_provider_qwenimage.models.options import Options
    from airflow_provider_qwenimage.models.requests import Request
    from airflow_provider_qwenimage.models.results import Generation, Job
    from airflow_provider_qwenimage.payment.ledger import Ledger
    from airflow_provider_qwenimage.storage.s3 import S3
    from airflow_provider_qwenimage.storage.store import ImageStore

_INLINE = ("b64_json", "b64", "base64", "file")  # vLLM-Omni and SGLang (contract 6.4)


class ImageBaseOperator(BaseOperator):
    """
    What every operator with images shares: its two connections, and one way to tell XCom, outlets and lineage.

    :ivar outcome: what was stored, for links and lineage.
    :ivar store: the place of the images, open since before they were paid.
    """

    operator_extra_links = LINKS
    ui_color = "#e8e3fb"

    qwenimage_conn_id: str
    aws_conn_id: str | None
    outcome: Outcome | None = None
    store: ImageStore | None = None

    @cached_property
    def hook(self) -> QwenImageHook:
        """The gateway connection."""
        return QwenImageHook(self.qwenimage_conn_id)

    @cached_property
    def s3(self) -> S3:
        """The AWS connection, for input images and for the place of the new ones."""
        from airflow_provider_qwenimage.storage.s3 import S3

        return S3(self.aws_conn_id)

    @classmethod
    @abstractmethod
    def _models(cls) -> tuple[type[BaseModel], ...]:
        """Return the models that the arguments become; not needed, and not imported, before one is typed."""

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Refuse what is known to be wrong now: a mapped task is made only when it runs."""
        refuse_mistakes(kwargs, *cls._models())
        return super().partial(**kwargs)

    def refuse_mistakes(self) -> None:
        """Refuse what was typed and is known to be wrong; a constructor's last line, when all is assigned."""
        if not getattr(self, "_BaseOperator__from_mapped", False):  # then it runs already, and execute checks
            refuse_mistakes(vars(self), *self._models())

    def execute(self, context: Context) -> list[str]:
        """Do what the operator is for; what would be refused again is not run again."""
        with FinalForAirflow():
            return self._execute(context)

    @abstractmethod
    def _execute(self, context: Context) -> list[str]:
        """Do what the operator is for."""

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002
        """Tell OpenLineage, where that provider is installed, which objects went in and what was stored."""
        from airflow_provider_qwenimage.operators.lineage import lineage

        inputs = getattr(self, "images", None)
        prefix = getattr(self, "persist_to", None) or getattr(self, "s3_prefix", None)
        return lineage(inputs=inputs, prefix=prefix, outcome=self.outcome)

    def push(self, context: Context, keys: dict[str, Any]) -> None:
        """Push XCom keys, unless the task was told to push none."""
        if self.do_xcom_push:
            for key, value in keys.items():
                _push(context["ti"], key, value)

    def tell(self, context: Context, outcome: Outcome, *, partition_by: str | None = None) -> None:
        """Tell where a set lies: XCom, and each outlet's consumers; an incomplete one has no manifest to tell of."""
        self.outcome = outcome
        if outcome.manifest is None:
            return
        self.push(context, {"manifest": {"uri": outcome.manifest}})
        if self.outlets:
            from airflow_provider_qwenimage.models.partitions import Partitions
            from airflow_provider_qwenimage.operators.announcing import announce

            partitions = Partitions.of(partition_by, outcome.images) if partition_by else None
            told: dict[str, Any] = {"count": len(outcome.images), "labels": outcome.labels}
            announce(self, context, outcome.manifest, partitions=partitions, **told)


def _push(instance: Any, key: str, value: Any) -> None:
    """Push one key; where Airflow does not answer, for as long as it lets the task live."""
    try:
        instance.xcom_push(key=key, value=value)
    except Exception as error:  # noqa: BLE001 - raised again where it is no outage
        from airflow_provider_qwenimage.payment.away import until_taken

        until_taken(lambda: instance.xcom_push(key=key, value=value), error)


def deliver(
    operator: ImageBaseOperator, context: Context, generation: Generation, ledger: Ledger, options: Options
) -> list[str]:
    """
    Store what was paid for where asked, push it, then say what failed; return the URLs.

    Stored first: no XCom that cannot be pushed may cost an image. What came is pushed even where storing failed.
    """
    from airflow_provider_qwenimage.models.results import other_sizes

    inline = [image for image in generation.images if image.data is not None]
    try:
        if options.persist_to:
            generation = _keep(operator, context, generation, ledger, options)
        elif inline:
            raise rescue(inline, why="came inside the reply, and persist_to is not set")
    finally:
        ledger.insist()
        operator.push(context, generation.xcom())
    if differ := other_sizes(generation.images):
        operator.log.warning("%s", differ)
    report = shortfall(generation)
    if report and options.on_partial == "fail":
        error = UnexpectedReply(report, billing="yes", request_id=generation.request_id)
        error.final = True
        raise error
    if report:
        operator.log.warning("%s", report)
    return generation.urls


def _keep(
    operator: ImageBaseOperator, context: Context, generation: Generation, ledger: Ledger, options: Options
) -> Generation:
    """Store the images; a retry after a failure stores again and pays nothing."""
    inline = [image for image in generation.images if image.data is not None]
    try:
        stored = persist(operator, context, generation, options)
    except Exception as error:
        if inline:  # nothing but this process holds them
            raise rescue(inline, why="could not be stored", error=error) from error
        if isinstance(error, TransferError) and not isinstance(error, TransferIncomplete):
            error.final = False  # a bucket that comes back takes them from a retry, which pays nothing
        raise
    ledger.keep(stored)
    return stored


def refuse_foreign(kept: Generation | Job | None, prefix: str | None) -> None:
    """
    Refuse a record that leads into a bucket elsewhere than to this task's images: a record is no order to copy.

    Whoever may write the task's state could have any object read and published with the worker's rights.

    :raises OutcomeUnknown: naming the object; the record stays as it is.
    """
    from airflow_provider_qwenimage.models.results import Generation
    from airflow_provider_qwenimage.redaction import redact
    from airflow_provider_qwenimage.wire.links import lies_below

    named = kept.stored_uris if isinstance(kept, Generation) else []
    foreign = [uri for uri in named if prefix is None or not lies_below(uri, prefix)]
    if foreign:
        error = OutcomeUnknown(
            f"The task's record of an earlier try names {redact(foreign[0], limit=200)}, "
            f"which does not lie below persist_to ({prefix or 'not set'})",
            billing="yes",
            advice="Give persist_to the value it had, or clear the task to pay anew.",
        )
        error.final = True
        raise error


def prepare(operator: ImageBaseOperator, context: Context, request: Request, options: Options) -> None:
    """
    See to it, before anything is paid, that the images will have a place; it stays open for them.

    :raises InvalidRequest: the images would come inside the reply and have no place, or the place holds something else.
    :raises TransferError: the place cannot be reached; nothing was sent.
    """
    if not options.persist_to:
        _refuse_inline(operator.hook.settings.gateway, asked=request.parameters.get("response_format"))
        return
    try:
        operator.store = open_place(operator, context, options)
    except TransferError as error:
        error.billing, error.advice = "no", f"Nothing was sent or billed. {error.advice}".strip()
        raise


def _refuse_inline(gateway: Gateway, *, asked: object) -> None:
    """Refuse images that would come inside the reply: XCom takes none, and they would be made for nothing."""
    form = str(asked or "").lower()
    if form in _INLINE:
        raise InvalidRequest("persist_to", f"is required with response_format={form!r}: XCom takes no images")
    if gateway.answers_inline and not form:
        rule = f"is required: {gateway.title} answers with the image itself, and XCom takes no images"
        advice = "Where it answers with links, parameters={'response_format': 'url'} asks for them."
        raise InvalidRequest("persist_to", rule, advice=advice)


def origin_of(context: Context) -> Origin:
    """Return what a task's context says of the task instance that stores a set."""
    from airflow_provider_qwenimage.models.manifest import Origin

    instance = context["ti"]
    index = getattr(instance, "map_index", None)
    return Origin(
        dag_id=instance.dag_id,
        run_id=instance.run_id,
        task_id=instance.task_id,
        map_index=-1 if index is None else index,
    )


def open_place(operator: ImageBaseOperator, context: Context, options: Options) -> ImageStore:
    """Open the prefix of a task's images; what is wrong with it is said of ``persist_to``."""
    from airflow_provider_qwenimage.storage.store import open_store

    settings, origin = operator.hook.settings, origin_of(context)
    place = {"s3_prefix": options.persist_to, "aws_conn_id": operator.aws_conn_id}
    try:
        return open_store(settings, origin=origin, s3=operator.s3, provenance=options.provenance, **place)
    except InvalidRequest as error:
        # S3 names what it was given after other operators' arguments; here only one of them can be meant.
        field = "persist_to" if error.field in {"s3_prefix", "extra_args"} else error.field
        raise InvalidRequest(field, error.rule, advice="Choose another prefix.") from None


def persist(
    operator: ImageBaseOperator, context: Context, generation: Generation, options: Options
) -> Generation:
    """
    Store the images under ``persist_to``, push ``stored`` and ``manifest``, and return them with their S3 URIs.

    :raises TransferIncomplete: some could not be stored; what is stored was pushed.
    """
    from airflow_provider_qwenimage.models.manifest import Failure
    from airflow_provider_qwenimage.models.results import ImageSource

    with operator.store or open_place(operator, context, options) as store:
        outcome = store.store_all(
            [ImageSource.of(image) for image in generation.images],
            places=[image.index for image in generation.images],
            missing=[
                Failure(index=failure.index, reason=failure.reason, labels=failure.labels)
                for failure in generation.failures
            ],
        )
    operator.push(context, {"stored": outcome.stored})
    operator.tell(context, outcome)
    outcome.raise_if_incomplete()
    images = []
    for image, stored in zip(generation.images, outcome.images, strict=True):
        placed = {"url": stored.uri, "data": None, "expires_at": None}
        images.append(image.model_copy(update={**placed, "size": stored.size, "origin": stored.origin}))
    return generation.model_copy(update={"images": tuple(images)})


def shortfall(generation: Generation) -> str | None:
    """Say which of the images asked for did not come, ``None`` when all did."""
    failures = generation.failures
    if not failures:
        return None
    reasons = "; ".join(f"{failure.index}: {failure.reason}" for failure in failures)
    return f"{len(failures)} of {len(generation.images) + len(failures)} images did not come ({reasons})"
