"""What OpenLineage hears: the objects a task read, and the set it stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_qwenimage.defaults import STORES

if TYPE_CHECKING:
    from airflow_provider_qwenimage.models.manifest import Outcome

_DATASETS = 100  # objects named one by one; an event is no place for more


def lineage(*, inputs: Any, prefix: str | None, outcome: Outcome | None) -> Any:
    """
    Return the ``OperatorLineage`` of a task, whose provider must be installed: Airflow asks only where it is.

    Links of a gateway are no datasets: they die, and their queries are secrets.

    :param inputs: images as an author gives them; only stored objects are told.
    :param prefix: where the set lies; it is one dataset, for its images change with every run.
    :param outcome: what became of it.
    """
    from airflow.providers.common.compat.openlineage.facet import (
        Dataset,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage

    sources = sorted({uri for uri in _uris(inputs) if uri.startswith(STORES)})[:_DATASETS]
    outputs = []
    if prefix and outcome and outcome.images:
        size = sum(image.bytes for image in outcome.images)
        facts = OutputStatisticsOutputDatasetFacet(rowCount=None, size=size, fileCount=len(outcome.images))
        namespace, name = _dataset(prefix)
        outputs.append(
            OutputDataset(namespace=namespace, name=name, outputFacets={"outputStatistics": facts})
        )
    return OperatorLineage(
        inputs=[Dataset(namespace=namespace, name=name) for namespace, name in map(_dataset, sources)],
        outputs=outputs,
    )


def _uris(images: Any) -> Iterator[str]:
    if isinstance(images, str):
        yield images
    elif isinstance(images, Mapping):
        uri = images.get("uri") or images.get("url")
        if isinstance(uri, str):
            yield uri
    elif isinstance(images, Iterable):
        for image in images:
            yield from _uris(image)


def _dataset(uri: str) -> tuple[str, str]:
    """Return namespace and name of an object or a prefix, as OpenLineage names them; a connection is part of none."""
    place = urlsplit(uri)
    if place.scheme == "file":
        return "file", place.path
    return f"{place.scheme}://{place.netloc.rpartition('@')[2]}", place.path.strip("/") or "/"
