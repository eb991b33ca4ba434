"""Steers Airflow's retries by what an error may have cost (Airflow 3.3+)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import RetryPolicy
from airflow.sdk.definitions.retry_policy import RetryDecision

from airflow_provider_qwenimage.exceptions import QwenImageError
from airflow_provider_qwenimage.payment.consequences import OnUnknown, consequence, implied_state

if TYPE_CHECKING:
    from airflow.sdk import Context

_TOLD: dict[str, OnUnknown] = {"resubmit": "resubmit", "find": "find"}


class QwenImageRetryPolicy(RetryPolicy):
    """
    Retry what costs nothing, fail at once where a retry would pay again or be refused again.

    :param longest_wait: cap of what a gateway asks for with Retry-After.
    """

    def __init__(self, longest_wait: timedelta = timedelta(minutes=15)) -> None:
        self.longest_wait = longest_wait

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow's signature
        max_tries: int,  # noqa: ARG002
        context: Context | None = None,
    ) -> RetryDecision:
        """Decide by the kind of error; errors that are not ours are Airflow's to decide."""
        if not isinstance(exception, QwenImageError):
            return RetryDecision.default()
        follows = consequence(exception, state=implied_state(exception))
        if exception.final or not follows.gets_on(on_unknown=_on_unknown(context)):
            return RetryDecision.fail(str(exception))
        return RetryDecision.retry(self._wait(getattr(exception, "retry_after", None)), str(exception))

    def _wait(self, seconds: float | None) -> timedelta | None:
        return None if seconds is None else min(timedelta(seconds=seconds), self.longest_wait)

    def serialize(self) -> dict[str, Any]:
        """Return what ``deserialize`` needs."""
        return {"longest_wait": self.longest_wait.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> QwenImageRetryPolicy:
        """Return the policy that was serialized."""
        return cls(timedelta(seconds=data["longest_wait"]))


def _on_unknown(context: Context | None) -> OnUnknown:
    task = context.get("task") if context else None
    told = str(getattr(task, "on_unknown_outcome", ""))
    return _TOLD.get(told, "fail")
