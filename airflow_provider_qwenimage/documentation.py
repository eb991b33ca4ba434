"""Where the documentation is, which the link *Documentation* of a task and the last line of a failed one lead to."""

from __future__ import annotations

from airflow_provider_qwenimage.defaults import DOCUMENTATION


def address(page: str = "", anchor: str = "") -> str:
    """
    Return the address of a page; nothing where ``[qwenimage] documentation_url`` is set to nothing.

    :param page: its name, as in ``docs/`` without the ending.
    :param anchor: a heading of it, as the address bar shows it.
    """
    from airflow.providers.common.compat.sdk import conf

    root = str(conf.get("qwenimage", "documentation_url", fallback=DOCUMENTATION) or "").strip()
    if not root:
        return ""
    return f"{root.rstrip('/')}/{page}{'/' if page else ''}{f'#{anchor}' if anchor else ''}"
