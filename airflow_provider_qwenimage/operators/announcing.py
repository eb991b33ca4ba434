"""What the consumers of a task's outlets are told: where a complete set lies, and of which partitions it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.exceptions import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk import Context

    from airflow_provider_qwenimage.models.partitions import Partitions
    from airflow_provider_qwenimage.operators.results import ImageBaseOperator


def announce(
    operator: ImageBaseOperator,
    context: Context,
    manifest: str,
    *,
    count: int,
    labels: dict[str, str],
    partitions: Partitions | None = None,
) -> None:
    """
    Give each outlet an event, or one for each partition.

    :param manifest: its URI.
    :param labels: those that all images share.
    """
    extra: dict[str, Any] = {"manifest": manifest, "count": count}
    if labels:
        extra["labels"] = labels
    if partitions is not None:
        extra["partition_by"] = partitions.label
        if partitions.without:
            operator.log.warning(
                "%d of %d images are of no partition: they have no label %r that Airflow takes for a key",
                partitions.without,
                count,
                partitions.label,
            )
    for outlet in operator.outlets:
        event: Any = context["outlet_events"][outlet]
        event.extra = dict(extra)
        if partitions is not None and partitions.keys:
            event.add_partitions(sorted(partitions.keys))


def refuse_aliases(outlets: Iterable[Any], *, partition_by: object) -> None:
    """
    Refuse outlets whose events cannot be told apart by partition; known when the Dag is parsed.

    :raises InvalidRequest: one of them is an alias.
    """
    if not partition_by:
        return
    from airflow.providers.common.compat.sdk import AssetAlias

    if any(isinstance(outlet, AssetAlias) for outlet in outlets):
        raise InvalidRequest(
            "outlets", "holds an AssetAlias, and Airflow partitions only assets (partition_by)"
        )
