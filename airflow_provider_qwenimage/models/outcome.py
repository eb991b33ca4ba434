"""What became of a set of images that was to be stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.exceptions import TransferIncomplete, never_retried

if TYPE_CHECKING:
    from airflow_provider_qwenimage.models.manifest import Failure, StoredImage

_SHOWN_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of a set.

    :param images: what is stored, in input order.
    :param failures: what is not.
    :param manifest: its URI; ``None`` where the set is incomplete and must not look complete.
    :param lasting: every failure is one that a retry meets again: a dead link, too large, a closed host.
    """

    images: tuple[StoredImage, ...]
    failures: tuple[Failure, ...] = ()
    manifest: str | None = None
    cause: BaseException | None = field(default=None, repr=False)
    lasting: bool = False

    @property
    def uris(self) -> list[str]:
        """The ``s3://`` URIs, in input order."""
        return [image.uri for image in self.images]

    @property
    def stored(self) -> list[dict[str, Any]]:
        """The value of the XCom key ``stored``."""
        return [image.xcom() for image in self.images]

    def raise_if_incomplete(self) -> None:
        """Raise ``TransferIncomplete`` where images are missing and no manifest says so."""
        if not self.failures or self.manifest:
            return
        total = len(self.images) + len(self.failures)
        told = [f"#{failure.index}: {failure.reason}" for failure in self.failures[:_SHOWN_FAILURES]]
        more = len(self.failures) - len(told)
        incomplete = TransferIncomplete(
            f"{len(self.failures)} of {total} images could not be stored: "
            + " | ".join(told + ([f"and {more} more"] if more else [])),
            failures=[failure.model_dump() for failure in self.failures],
            advice="What was stored stays; a retry stores only what is missing and buys nothing.",
        )
        raise (never_retried(incomplete) if self.lasting else incomplete) from self.cause
