"""These need the OpenLineage provider, which the dependency group ``e2e`` has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests to ``make test-e2e``, which names the folder."""
    named = any("lineage" in argument for argument in config.args)
    return None if named else True
