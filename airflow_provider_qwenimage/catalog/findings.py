"""What a check has to say about a request."""

from __future__ import annotations

from dataclasses import dataclass

_WITNESSES = {"A": "Alibaba's page", "M": "Alibaba's live service,", "T": "third parties,"}


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing the vendor would refuse, or change without a word.

    :param field: the argument at fault.
    :param rule: what it must be, and what it was.
    :param refused: whether the vendor is known to refuse it; else it changes or ignores it, or sources disagree,
        worth a warning.
    :param advice: what to do instead.
    :param cited: the source and date of the rule, where they are not those of the model's row.
    """

    field: str
    rule: str
    refused: bool = True
    advice: str = ""
    cited: str = ""


def witness(cited: str) -> str:
    """
    Say in words who says so.

    :param cited: a source's key in ``models.toml`` and a date; the key's first letter is the kind of source.
    """
    return f"source: {_WITNESSES[cited[0]]} {cited}"
