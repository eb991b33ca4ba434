"""The one place where an error after which nothing can get on becomes one that Airflow does not retry."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_qwenimage.exceptions import QwenImageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def final_for_airflow() -> Iterator[None]:
    """Raise what is final as an error of its own type that is an ``AirflowFailException`` as well."""
    try:
        yield
    except QwenImageError as error:
        if error.final and not isinstance(error, AirflowFailException):
            kind: Any = type(error)
            error.__class__ = _never_retried(kind)
        raise


@cache
def _never_retried(kind: type[QwenImageError]) -> type[QwenImageError]:
    names = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        "_kind": classmethod(lambda _: kind),  # what is pickled is found under its name
    }
    return type(kind.__name__, (kind, AirflowFailException), names)
