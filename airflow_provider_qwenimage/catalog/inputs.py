"""What an input image may be, held against what its bytes say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_qwenimage.catalog.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_qwenimage.catalog.models import InputRule


@dataclass(frozen=True, slots=True)
class InputFacts:
    """
    What is known of an input image from its bytes.

    :param format: ``JPEG``, ``PNG``, ``WEBP`` and so on, read from the first bytes.
    :param width: in pixels.
    :param height: in pixels.
    :param bytes: the size of the file.
    """

    format: str
    width: int
    height: int
    bytes: int


def image_findings(facts: InputFacts, limits: InputRule, *, field: str) -> Iterator[Finding]:
    """Say what is wrong with an input image."""
    kind = facts.format.upper()
    kind = "JPEG" if kind == "JPG" else kind
    low, high = limits.sides
    short, long = sorted((facts.width, facts.height))
    pixels = f"{facts.width}*{facts.height}"
    finding = partial(Finding, field, refused=limits.refuses, cited=limits.cited)
    if kind not in limits.formats:
        yield finding(f"{kind} is not one of {', '.join(limits.formats)}")
    if short < low or long > high:
        yield finding(f"{pixels} has a side outside {low} to {high}")
    if limits.limit and long > limits.limit * short:
        yield finding(f"{pixels} is narrower than the ratio 1:{limits.limit} to {limits.limit}:1")
    if facts.bytes > limits.bytes:
        yield finding(f"{facts.bytes} bytes are more than {limits.bytes}")
