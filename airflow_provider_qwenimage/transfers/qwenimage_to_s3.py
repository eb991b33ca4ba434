"""From links that die to objects that stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_qwenimage.defaults import (
    FILENAME,
    MAX_CONCURRENCY,
    MAX_IMAGE_BYTES,
    IfExists,
    ManifestFormat,
    OnError,
    Provenance,
)
from airflow_provider_qwenimage.exceptions import NoConnection
from airflow_provider_qwenimage.operators.announcing import refuse_aliases
from airflow_provider_qwenimage.operators.results import ImageBaseOperator, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.sdk import Context
    from pydantic import BaseModel

    from airflow_provider_qwenimage.gateway.connection import Settings
    from airflow_provider_qwenimage.models.manifest import Outcome
    from airflow_provider_qwenimage.models.results import ImageSource
    from airflow_provider_qwenimage.storage.store import ImageStore


class QwenImageToS3Operator(ImageBaseOperator):
    """
    Copy generated images to S3, and describe them in ``manifest.json`` under the prefix.

    Returns the ``s3://`` URIs in input order; pushes ``stored``, ``manifest`` and, where there are any,
    ``failures``; gives each outlet ``extra = {"manifest", "count"}``. A retry duplicates and buys nothing.

    :param images: image objects (the key ``images``) or URLs (http, https, s3, data); nested lists are flattened in
        order. Of a bare URL the manifest tells what a task before this one pushed of it.
    :param s3_prefix: ``s3://bucket/path/``; one prefix holds one set.
    :param aws_conn_id: the AWS connection, with all its options.
    :param qwenimage_conn_id: tells ``allow_private_hosts`` and ``verify``; may be missing.
    :param filename: template with the fields index, sha8, ext, model, seed, map_index and request_id.
    :param if_exists: ``skip``, ``replace`` or ``fail``.
    :param max_concurrency: images under way at once.
    :param max_image_bytes: of one image.
    :param extra_args: for every object, as ``S3Hook`` takes them: ``ACL``, ``StorageClass``, …
    :param on_error: ``fail``, or ``partial``: succeed with failures in the manifest, if any image is stored.
    :param provenance: ``keep`` marks of origin as they are, ``require`` one of each image, or ``label`` them.
    :param manifest_format: ``json``, or ``parquet`` for ``manifest.parquet`` beside ``manifest.json``.
    :param partition_by: a label, such as ``market``: outlets get an event for each of its texts (Airflow 3.3).
    """

    template_fields: Sequence[str] = (
        "images",
        "s3_prefix",
        "aws_conn_id",
        "qwenimage_conn_id",
        "filename",
        "if_exists",
        "max_concurrency",
        "max_image_bytes",
        "extra_args",
        "on_error",
        "provenance",
        "manifest_format",
        "partition_by",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"images": "json", "extra_args": "json"}
    ui_color = "#e8f0e4"

    def __init__(
        self,
        *,
        images: Any,
        s3_prefix: str,
        aws_conn_id: str | None = "aws_default",
        qwenimage_conn_id: str = "qwenimage_default",
        filename: str = FILENAME,
        if_exists: IfExists = "skip",
        max_concurrency: int | str = MAX_CONCURRENCY,
        max_image_bytes: int | str = MAX_IMAGE_BYTES,
        extra_args: Mapping[str, Any] | str | None = None,
        on_error: OnError = "fail",
        provenance: Provenance = "keep",
        manifest_format: ManifestFormat = "json",
        partition_by: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.images = images
        self.s3_prefix = s3_prefix
        self.aws_conn_id = aws_conn_id
        self.qwenimage_conn_id = qwenimage_conn_id
        self.filename = filename
        self.if_exists = if_exists
        self.max_concurrency = max_concurrency
        self.max_image_bytes = max_image_bytes
        self.extra_args = extra_args
        self.on_error = on_error
        self.provenance = provenance
        self.manifest_format = manifest_format
        self.partition_by = partition_by
        self.outcome: Outcome | None = None  # what was stored, for links and lineage
        self.refuse_mistakes()
        refuse_aliases(self.outlets, partition_by=partition_by)

    @classmethod
    def _models(cls) -> tuple[type[BaseModel], ...]:
        from airflow_provider_qwenimage.models.options import EventOptions, StoreOptions

        return StoreOptions, EventOptions

    def _execute(self, context: Context) -> list[str]:
        """Store the images and tell where; raise what is missing only after what is there was pushed."""
        from airflow_provider_qwenimage.models.coercion import build
        from airflow_provider_qwenimage.models.options import EventOptions
        from airflow_provider_qwenimage.storage.sources import read_sources

        events = build(EventOptions, partition_by=self.partition_by)
        sources = self._described(context, read_sources(self.images))
        with self._store(context) as store:
            outcome = store.store_all(sources)
        self.push(context, {"stored": outcome.stored})
        if outcome.failures:
            self.push(context, {"failures": [failure.model_dump() for failure in outcome.failures]})
        self.tell(context, outcome, partition_by=events.partition_by)
        outcome.raise_if_incomplete()
        return outcome.uris

    def _described(self, context: Context, sources: tuple[ImageSource, ...]) -> tuple[ImageSource, ...]:
        """Look up, for bare URLs, the image objects that tasks before this one pushed beside them."""
        from airflow_provider_qwenimage.storage.sources import described

        if not any(source.is_bare for source in sources):
            return sources
        try:
            for task_id in self._before():
                objects = context["ti"].xcom_pull(task_ids=task_id, key="images")
                sources = described(sources, objects)
                if not any(source.is_bare for source in sources):
                    return sources
        except Exception as error:  # noqa: BLE001 - links die: no image waits for what is told of it
            from airflow_provider_qwenimage.redaction import redact

            self.log.debug("The image objects of this run cannot be read: %s", redact(error))
        self.log.warning(
            "%d of %d images are bare URLs of which no task before this one pushed an image object: their prompt and "
            'model are not in the manifest. Pass the image objects, as in images=generate.output["images"].',
            sum(source.is_bare for source in sources),
            len(sources),
        )
        return sources

    def _before(self) -> Iterator[str]:
        """Yield the ids of all tasks before this one, the nearest first."""
        dag = self.get_dag()
        known, reached = {self.task_id}, sorted(self.upstream_task_ids)
        while reached:
            yield from reached
            known.update(reached)
            tasks = [dag.task_dict[task_id] for task_id in reached if dag and task_id in dag.task_dict]
            reached = sorted({above for task in tasks for above in task.upstream_task_ids} - known)

    def _store(self, context: Context) -> ImageStore:
        from airflow_provider_qwenimage.storage.store import open_store

        return open_store(
            self._settings(),
            origin=origin_of(context),
            s3_prefix=self.s3_prefix,
            aws_conn_id=self.aws_conn_id,
            filename=self.filename,
            if_exists=self.if_exists,
            max_concurrency=self.max_concurrency,
            max_image_bytes=self.max_image_bytes,
            extra_args=self.extra_args,
            on_error=self.on_error,
            provenance=self.provenance,
            manifest_format=self.manifest_format,
        )

    def _settings(self) -> Settings | None:
        """Ask the gateway's connection which hosts and certificates are trusted; it need not exist."""
        try:
            return self.hook.settings
        except NoConnection:
            self.log.debug(
                "There is no connection %s; only public hosts are fetched from", self.qwenimage_conn_id
            )
            return None
