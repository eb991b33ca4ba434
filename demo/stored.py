"""What a run left in the bucket, read from the plain files and checked against the manifest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MAGIC = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/webp": b"RIFF"}


class NotWhatTheManifestSays(RuntimeError):
    """A stored file is missing, or is not the image that the manifest describes."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One row of the table."""

    product: str
    size: str
    bytes: int
    uri: str


def manifests(buckets: Path) -> frozenset[Path]:
    """Return every manifest below the folder of the buckets."""
    return frozenset(buckets.rglob("manifest.json"))


def read(manifest: Path, *, buckets: Path) -> Iterator[StoredImage]:
    """
    Yield the images of a manifest.

    :raises NotWhatTheManifestSays: naming the file at fault.
    """
    for image in json.loads(manifest.read_text(encoding="utf-8"))["images"]:
        uri = urlsplit(image["uri"])
        path = buckets / uri.netloc / uri.path.lstrip("/")
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != image["sha256"]:
            raise NotWhatTheManifestSays(f"{path} does not hold the bytes that {manifest} describes")
        if not content.startswith(MAGIC.get(image["content_type"], b"")):
            raise NotWhatTheManifestSays(f"{path} is not {image['content_type']}")
        product = (image["prompt"] or "").partition(",")[0]  # the example's prompts open with the product
        yield StoredImage(product, f"{image['width']}x{image['height']}", len(content), image["uri"])


def table(images: Sequence[StoredImage]) -> str:
    """Return the images as a text table."""
    head = ("product", "size", "bytes", "stored as")
    rows = [(image.product, image.size, f"{image.bytes:,}", image.uri) for image in images]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(3)]
    line = "  {:<{}}  {:<{}}  {:>{}}  {}"
    rule = tuple("-" * width for width in (*widths, len(head[3])))
    return "\n".join(
        line.format(row[0], widths[0], row[1], widths[1], row[2], widths[2], row[3])
        for row in (head, rule, *rows)
    )
