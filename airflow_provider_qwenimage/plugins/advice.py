"""
The last line of a failed task's log: what happened, whether it cost money, what to do, and where more is told of it.

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
    from airflow_provider_qwenimage.documentation import address
    from airflow_provider_qwenimage.exceptions import QwenImageError

    if isinstance(error, QwenImageError):  # a text where a person marked the task as failed
        # A form of an error that only its module knows is looked up under the one it is a form of.
        kind = next(kind for kind in type(error).__mro__ if kind.__module__ == QwenImageError.__module__)
        log = task_instance.task.log
        log.info(_LEAVE_GROUP)
        log.error("%s", f"{error} {address('errors', kind.__name__.lower())}".rstrip())
