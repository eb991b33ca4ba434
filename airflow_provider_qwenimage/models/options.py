"""The arguments of an operator that are not part of a request, checked after templates are rendered."""

from __future__ import annotations

from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from airflow_provider_qwenimage.defaults import (
    BATCH_CONCURRENCY,
    BATCH_FILENAME,
    FILENAME,
    JOB_TIMEOUT,
    MAX_CONCURRENCY,
    MAX_IMAGE_BYTES,
    POLL_INTERVAL,
    STORES,
    IfExists,
    ManifestFormat,
    OnError,
    Provenance,
)
from airflow_provider_qwenimage.models.coercion import (
    BlankIsNone,
    Count,
    Prefix,
    WholeNumber,
    literal,
    object_such_as,
)

ANY_LINK = "http"  # and https
BY_FORM = (ANY_LINK, "https", "data")  # what ``inputs_from`` allows whole; all else it allows by place
# ``defer_build``: while a Dag is parsed only single fields are checked, and the validators of a whole model cost 10 ms.
Seconds = Annotated[float, Field(gt=0)]
Cost = Annotated[Annotated[float, Field(ge=0, allow_inf_nan=False)] | None, BlankIsNone]


class Options(BaseModel):
    """Checked after templates are rendered; the fields are those of ``QwenImageBaseOperator``."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    persist_to: Annotated[str | None, BlankIsNone] = None
    poll_interval: Seconds = POLL_INTERVAL
    job_timeout: Seconds = JOB_TIMEOUT
    on_unknown_outcome: Literal["fail", "resubmit", "find"] = "fail"
    on_partial: Literal["fail", "warn"] = "warn"
    max_cost: Cost = None
    provenance: Provenance = "keep"


def template_parts(template: str) -> tuple[tuple[str, str | None], ...]:
    """
    Take ``a photo of {name}`` apart: each text with the column that follows it, ``None`` after the last text.

    :raises ValueError: it names no column, or asks for more than a column's text.
    """
    parts = list(Formatter().parse(template))
    for _, name, spec, conversion in parts:
        if name is not None and (not name.strip() or spec or conversion):
            raise ValueError(f"holds {{{name}{spec and ':' + spec}}}: must name a column, such as {{name}}")
    if all(name is None for _, name, _, _ in parts):
        raise ValueError("names no column in braces, such as {name}")
    return tuple((before, name) for before, name, _, _ in parts)


def _template(value: str) -> str:
    template_parts(value)
    return value


def _places(value: Any) -> Any:
    """Take one place for a list of one, and the list that a template rendered to text."""
    if isinstance(value, str):
        value = literal(value) if value.lstrip().startswith("[") else [value]
    return value


def _place(value: str) -> str:
    value = value.strip()
    if value in BY_FORM or value.startswith((*STORES, "/")):
        return value
    forms = f"{', '.join(BY_FORM)}, s3://bucket/prefix/ (gs, abfs, file) or /a/folder"
    raise ValueError(f"must be {forms}, got {value[:80]!r}")


Places = Annotated[tuple[Annotated[str, AfterValidator(_place)], ...], BeforeValidator(_places)]


class BatchOptions(BaseModel):
    """
    The arguments of ``QwenImageBatchOperator`` that are not part of a request; it explains them.

    :param max_concurrency: requests at the gateway at once.
    :param may_be_empty: of a shard: whether ``on_error="continue"`` wants an image is for the whole campaign to say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    may_be_empty: bool = False
    inputs_from: Annotated[Places | None, BlankIsNone] = None
    prompt_template: Annotated[Annotated[str, AfterValidator(_template)] | None, BlankIsNone] = None
    extra_columns: Literal["refuse", "labels"] = "refuse"
    persist_to: Prefix
    filename: str = BATCH_FILENAME
    manifest_format: ManifestFormat = "json"
    aws_conn_id: Annotated[str | None, BlankIsNone] = "aws_default"
    max_concurrency: Count = BATCH_CONCURRENCY
    requests_per_minute: Annotated[Annotated[float, Field(gt=0)] | None, BlankIsNone] = None
    max_images: Annotated[Annotated[int, Field(ge=1)] | None, WholeNumber, BlankIsNone] = None
    max_cost: Cost = None
    on_error: Literal["fail", "continue"] = "fail"
    on_unknown_outcome: Literal["fail", "resubmit", "find"] = "fail"
    provenance: Provenance = "keep"
    resume: bool = True
    poll_interval: Seconds = POLL_INTERVAL
    job_timeout: Seconds = JOB_TIMEOUT


def _partitioned(value: str) -> str:
    import airflow.sdk

    if "PartitionedAtRuntime" not in airflow.sdk.__all__:
        raise ValueError("needs Airflow 3.3: before it a task cannot say of which partitions its events are")
    return value


PartitionBy = Annotated[Annotated[str, AfterValidator(_partitioned)] | None, BlankIsNone]


class EventOptions(BaseModel):
    """What the consumers of outlets are told; see ``operators.announcing``."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    partition_by: PartitionBy = None


class CampaignOptions(EventOptions):
    """The arguments of a campaign that are not those of its batches; ``qwen_image_campaign`` explains them."""

    persist_to: Prefix
    shards: Count = 4
    manifest_format: ManifestFormat = "json"


class ApprovalOptions(BaseModel):
    """The arguments of ``QwenImageApprovalOperator`` that are numbers; it explains them."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    minimum: Annotated[Annotated[int, Field(ge=0)], WholeNumber] = 1
    maximum: Annotated[Annotated[int, Field(ge=1)] | None, WholeNumber, BlankIsNone] = None


class StoreOptions(BaseModel):
    """
    Where images go and what may stand in their way; text of templates is coerced.

    :param s3_prefix: ``s3://bucket/path/``, or one of another store.
    :param filename: see ``Filename``.
    :param places: see ``Filename``.
    :param if_exists: of an object under an image's name.
    :param max_concurrency: images under way at once; also bounds the memory.
    :param on_error: whether a set with failures is an error or a set with failures.
    :param provenance: what becomes of marks of origin; see ``storage.provenance``.
    :param manifest_format: whether the manifest is a table, too; see ``storage.table``.
    :param allow_private_hosts: of the qwenimage connection.
    :param verify: TLS verification of image hosts, or the path of a CA bundle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    s3_prefix: str
    aws_conn_id: Annotated[str | None, BlankIsNone] = "aws_default"
    filename: str = FILENAME
    places: int | None = None
    if_exists: IfExists = "skip"
    max_concurrency: Count = MAX_CONCURRENCY
    max_image_bytes: Count = MAX_IMAGE_BYTES
    extra_args: Annotated[dict[str, Any] | None, object_such_as('{"ACL": "private"}'), BlankIsNone] = Field(
        default=None, repr=False
    )
    on_error: OnError = "fail"
    provenance: Provenance = "keep"
    manifest_format: ManifestFormat = "json"
    allow_private_hosts: bool = False
    verify: bool | str = True
