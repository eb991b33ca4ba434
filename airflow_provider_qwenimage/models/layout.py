"""How a stored set is laid out unless its author says otherwise; imports nothing, for signatures show it."""

from __future__ import annotations

from typing import Literal

IfExists = Literal["skip", "replace", "fail"]
OnError = Literal["fail", "partial"]

FILENAME = "{index:03d}-{sha8}.{ext}"
MANIFEST = "manifest.json"  # its presence means the set is complete
PARTIAL = "manifest.partial.json"  # what is stored of a set that is not
MAX_CONCURRENCY = 16
MAX_IMAGE_BYTES = 64 * 1024 * 1024
