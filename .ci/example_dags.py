"""Puts the example Dags into the package, where registries look for them; the repository has them beside it."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ExampleDags(BuildHookInterface):
    """A hook of the wheel; an editable install has the repository's own files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """
        Map the folder into the package.

        :param version: ``standard`` or ``editable``.
        :param build_data: what hatchling builds from.
        """
        if version == "standard":
            build_data["force_include"]["example_dags"] = "airflow_provider_qwenimage/example_dags"
