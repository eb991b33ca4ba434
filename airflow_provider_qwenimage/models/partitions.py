"""Of which asset partitions a set is: what its images say for one label, such as their market."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from airflow_provider_qwenimage.exceptions import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_qwenimage.models.manifest import StoredImage

_LONGEST = 250  # characters of a key (Airflow 3.3.2, airflow.models.base.ID_LEN, 2026-11-21)


def partition_of(labels: Mapping[str, str], label: str) -> str:
    """
    Return the partition that an image of these labels is of.

    :raises InvalidRequest: it has no such label, or one that Airflow takes for no key.
    """
    key = labels.get(label, "")
    if not key.strip():
        raise InvalidRequest(f"labels.{label}", "is named by partition_by and is not there")
    if len(key) > _LONGEST:
        rule = f"is named by partition_by: must have {_LONGEST} characters at most, got {len(key)}"
        raise InvalidRequest(f"labels.{label}", rule)
    return key


class Partitions:
    """
    The partitions of a set.

    :param label: whose texts are their keys.
    :ivar keys: of the partitions that have images.
    :ivar without: how many images are of none.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.keys: set[str] = set()
        self.without = 0

    @classmethod
    def of(cls, label: str, images: Iterable[StoredImage]) -> Self:
        """Return those of a set at hand."""
        partitions = cls(label)
        for image in images:
            partitions.add(image.labels)
        return partitions

    def add(self, labels: Mapping[str, str]) -> None:
        """Count an image."""
        try:
            self.keys.add(partition_of(labels, self.label))
        except InvalidRequest:
            self.without += 1
