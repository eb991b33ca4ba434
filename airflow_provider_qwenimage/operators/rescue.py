"""Keeps paid images that have nowhere to go where a person finds them."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.exceptions import UnexpectedReply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_qwenimage.models.results import GeneratedImage


def rescue(images: Sequence[GeneratedImage], *, why: str, error: Exception | None = None) -> UnexpectedReply:
    """
    Keep paid images that came as bytes and have nowhere to go, and return the error that tells where they lie.

    XCom must not carry them, so a folder of this worker is all there is.

    :param error: what stood in the way.
    """
    from airflow_provider_qwenimage.redaction import redact

    why = why if error is None else f"{why}: {redact(error)}"
    folder = Path(tempfile.mkdtemp(prefix="qwenimage-"))
    for image in images:
        data = image.data or b""
        (folder / f"{image.index:03d}-{hashlib.sha256(data).hexdigest()[:8]}").write_bytes(data)
    lost = UnexpectedReply(
        f"{len(images)} images {why}",
        billing="yes",
        request_id=images[0].request_id,
        advice=f"They lie in {folder} on this worker. Set persist_to to a prefix the task may write to.",
    )
    lost.final = True
    return lost
