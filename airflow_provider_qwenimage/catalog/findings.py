"""What a check has to say about a request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing the vendor would refuse, or change without a word.

    :param field: the argument at fault.
    :param rule: what it must be, and what it was.
    :param refused: whether the vendor refuses it; else it changes or ignores it, worth a warning.
    :param advice: what to do instead.
    """

    field: str
    rule: str
    refused: bool = True
    advice: str = ""
