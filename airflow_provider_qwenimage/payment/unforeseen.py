"""What an error that nobody foresaw means once a request was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_qwenimage.exceptions import OutcomeUnknown, QwenImageError, TransferError
from airflow_provider_qwenimage.redaction import redact

if TYPE_CHECKING:
    from airflow_provider_qwenimage.payment.consequences import State


def unforeseen(error: BaseException, state: State) -> QwenImageError:
    """Return the error of our own for one that nobody foresaw, raised while a request was in ``state``."""
    if state == "delivered":
        return TransferError(f"Storing failed: {type(error).__name__}: {redact(error)}")
    if isinstance(error, AirflowTaskTimeout):
        return OutcomeUnknown("The task timed out while it waited for the answer")
    return not_taken(error)


def not_taken(error: BaseException, *, job_id: str | None = None) -> OutcomeUnknown:
    """Return what an error that nobody foresaw means once a request was sent: nobody knows what became of it."""
    return OutcomeUnknown(
        f"The answer could not be taken: {type(error).__name__}: {redact(error)}",
        advice="Look at the gateway's usage log before paying again, and report this: it is a defect.",
        job_id=job_id,
    )
