"""The arguments of an operator that are not part of the request."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from airflow_provider_qwenimage.defaults import JOB_TIMEOUT, POLL_INTERVAL
from airflow_provider_qwenimage.models.coercion import BlankIsNone

Seconds = Annotated[float, Field(gt=0)]


class Options(BaseModel):
    """Checked after templates are rendered; the fields are those of ``QwenImageBaseOperator``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    persist_to: Annotated[str | None, BlankIsNone] = None
    poll_interval: Seconds = POLL_INTERVAL
    job_timeout: Seconds = JOB_TIMEOUT
    on_unknown_outcome: Literal["fail", "resubmit"] = "fail"
    on_partial: Literal["fail", "warn"] = "warn"
