"""How an author wants a batch run; checked after templates are rendered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from airflow_provider_qwenimage.defaults import JOB_TIMEOUT, POLL_INTERVAL
from airflow_provider_qwenimage.models.coercion import BlankIsNone, Count, WholeNumber
from airflow_provider_qwenimage.models.options import Seconds

MAX_CONCURRENCY = 8


def _prefix(value: Any) -> Any:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be s3://bucket/path/: a batch keeps its images and its journal there")
    return value.strip()


class BatchOptions(BaseModel):
    """
    The arguments of ``QwenImageBatchOperator`` that are not part of a request; it explains them.

    :param max_concurrency: requests at the gateway at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    persist_to: Annotated[str, BeforeValidator(_prefix)]
    aws_conn_id: Annotated[str | None, BlankIsNone] = "aws_default"
    max_concurrency: Count = MAX_CONCURRENCY
    requests_per_minute: Annotated[Annotated[float, Field(gt=0)] | None, BlankIsNone] = None
    max_images: Annotated[Annotated[int, Field(ge=1)] | None, WholeNumber, BlankIsNone] = None
    on_error: Literal["fail", "continue"] = "fail"
    on_unknown_outcome: Literal["fail", "resubmit"] = "fail"
    resume: bool = True
    poll_interval: Seconds = POLL_INTERVAL
    job_timeout: Seconds = JOB_TIMEOUT
