"""
The last line of a failed task's log: what happened, whether it cost money, what to do.

Airflow logs an error with its frames below it, and folds into a group whatever comes after. So the sentence is
said once more when all is over, and outside of that group.
"""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl

_LEAVE_GROUP = "::endgroup::"  # of "Post Execute"; Airflow's own, which still comes, closes nothing then


@hookimpl
def on_task_instance_failed(task_instance: Any, error: Any) -> None:
    """Say an error of this provider once more; called in the task's process, also before a retry."""
    from airflow_provider_qwenimage.exceptions import QwenImageError

    if isinstance(error, QwenImageError):  # a text where a person marked the task as failed
        log = task_instance.task.log
        log.info(_LEAVE_GROUP)
        log.error("%s", error)
