"""What ``[core] hostname_callable`` names: components on one machine are told apart by it, as pods are by theirs."""

from __future__ import annotations

import os


def of_this_process() -> str:
    """Return the name of the component that this process belongs to."""
    return os.environ["E2E_COMPONENT"]
