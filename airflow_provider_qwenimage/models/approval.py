"""What a person is asked about images, and what their answer makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_qwenimage.exceptions import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHOSEN: Final = "Approve the chosen"
ALL: Final = "Approve all"
NONE: Final = "Approve none"
ANSWERS: Final = (CHOSEN, ALL, NONE)
MOST_IMAGES: Final = 1000  # that one person is asked about; all of them are told in one XCom


@dataclass(frozen=True, slots=True)
class Limits:
    """How many images a person may approve; ``maximum=None`` is as many as there are."""

    minimum: int
    maximum: int | None

    def refuse_few(self, count: int) -> None:
        """
        Refuse a question that has no answer, before anybody is asked.

        :raises InvalidRequest: there is nothing to look at, too much, or less than must be approved.
        """
        if self.maximum is not None and self.maximum < self.minimum:
            raise InvalidRequest("maximum", f"is {self.maximum}, below the minimum of {self.minimum}")
        if count == 0:
            raise InvalidRequest(
                "images", "are none", advice="Nobody was asked. Check the task that should have stored them."
            )
        if count > MOST_IMAGES:
            raise InvalidRequest(
                "images",
                f"are {count}: one approval takes {MOST_IMAGES}",
                advice="Nobody was asked. Give them to several approvals.",
            )
        if count < self.minimum:
            raise InvalidRequest(
                "minimum", f"is {self.minimum}, and there are {count} images", advice="Nobody was asked."
            )

    def hold(self, approved: int) -> None:
        """:raises InvalidRequest: so many may not be approved."""
        if approved < self.minimum:
            raise InvalidRequest("approved", f"are {approved} images, at least {self.minimum} must be")
        if self.maximum is not None and approved > self.maximum:
            raise InvalidRequest("approved", f"are {approved} images, at most {self.maximum} may be")


@dataclass(frozen=True, slots=True)
class Decision:
    """
    What became of the images a person was asked about.

    :param approved: image objects, in the order in which they were shown.
    :param rejected: all others, each with its ``comment``; ``None`` where nobody gave one.
    """

    approved: tuple[dict[str, Any], ...]
    rejected: tuple[dict[str, Any], ...]

    @property
    def revise(self) -> list[dict[str, Any]]:
        """Arguments of an edit for each image that was rejected with a comment."""
        return [
            {"images": [image["uri"]], "prompt": image["comment"]}
            for image in self.rejected
            if image["comment"]
        ]


def decide(candidates: Sequence[Mapping[str, Any]], answer: str, *, approved: Any, comments: Any) -> Decision:
    """
    Part the images as an answer says.

    :param answer: one of ``ANSWERS``.
    :param approved: URIs; looked at where the answer is ``CHOSEN``.
    :param comments: by the URIs of rejected images, what is to be done better.
    :raises InvalidRequest: the answer names an image that nobody was asked about, or contradicts itself.
    """
    asked = [str(image["uri"]) for image in candidates]
    chosen = {CHOSEN: _uris(approved), ALL: set(asked), NONE: set()}[answer]
    said = _comments(comments)
    for field, uris in (("approved", chosen), ("comments", set(said))):
        if strange := sorted(uris - set(asked)):
            raise InvalidRequest(field, f"names {strange[0][:200]}, which was not asked about")
    if both := sorted(chosen & set(said)):
        raise InvalidRequest("comments", f"rejects {both[0][:200]}, which is approved as well")
    return Decision(
        approved=tuple(dict(image) for image in candidates if image["uri"] in chosen),
        rejected=tuple(
            {**image, "comment": said.get(image["uri"])} for image in candidates if image["uri"] not in chosen
        ),
    )


def _uris(approved: Any) -> set[str]:
    if not isinstance(approved, list) or not all(isinstance(uri, str) for uri in approved):
        raise InvalidRequest("approved", "must be a list of URIs")
    return set(approved)


def _comments(comments: Any) -> dict[str, str]:
    if not isinstance(comments, dict) or not all(isinstance(text, str) for text in comments.values()):
        raise InvalidRequest("comments", "must be an object of texts by URIs")
    return {str(uri): text.strip() for uri, text in comments.items() if text.strip()}
