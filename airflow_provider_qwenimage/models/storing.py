"""How an author wants images stored."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from airflow_provider_qwenimage.models.coercion import BlankIsNone, Count, object_such_as
from airflow_provider_qwenimage.models.layout import (
    FILENAME,
    MAX_CONCURRENCY,
    MAX_IMAGE_BYTES,
    IfExists,
    OnError,
)


class StoreOptions(BaseModel):
    """
    Where images go and what may stand in their way; text of templates is coerced.

    :param s3_prefix: ``s3://bucket/path/``.
    :param filename: see ``Filename``.
    :param if_exists: of an object under an image's name.
    :param max_concurrency: images under way at once; also bounds the memory.
    :param on_error: whether a set with failures is an error or a set with failures.
    :param allow_private_hosts: of the qwenimage connection.
    :param verify: TLS verification of image hosts, or the path of a CA bundle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    s3_prefix: str
    aws_conn_id: Annotated[str | None, BlankIsNone] = "aws_default"
    filename: str = FILENAME
    if_exists: IfExists = "skip"
    max_concurrency: Count = MAX_CONCURRENCY
    max_image_bytes: Count = MAX_IMAGE_BYTES
    extra_args: Annotated[dict[str, Any] | None, object_such_as('{"ACL": "private"}'), BlankIsNone] = Field(
        default=None, repr=False
    )
    on_error: OnError = "fail"
    allow_private_hosts: bool = False
    verify: bool | str = True
