"""Random access to the bytes of one image."""

from __future__ import annotations

import struct
from typing import IO

from airflow_provider_qwenimage.exceptions import NotAnImage

Buffer = bytes | bytearray | IO[bytes]  # a file must be seekable


def piece_of(data: Buffer, offset: int, size: int) -> bytes:
    """Return ``size`` bytes from ``offset``, fewer where ``data`` ends."""
    if isinstance(data, bytes | bytearray):
        return bytes(data[offset : offset + size])
    data.seek(offset)
    return data.read(size)


class TruncatedImage(NotAnImage):
    """The bytes begin as an image and end before it does."""


class ImageBytes:
    """Random access that turns every read behind the end into ``TruncatedImage``."""

    def __init__(self, data: Buffer, length: int, name: str) -> None:
        self._data = data
        self.length = length
        self.name = name

    def at(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset``."""
        self.reaches(offset + size)
        piece = piece_of(self._data, offset, size)
        if len(piece) < size:  # what is at hand is only the head of ``length`` bytes
            raise self.cut()
        return piece

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        """Return the numbers at ``offset`` (layout as in ``struct``)."""
        return struct.unpack(layout, self.at(offset, struct.calcsize(layout)))

    def reaches(self, end: int) -> None:
        """Raise where the image should go on to ``end`` and does not."""
        if end > self.length:
            raise self.cut()

    def cut(self) -> TruncatedImage:
        """Return the error for an image that ends too early."""
        return TruncatedImage(f"The {self.name} image is truncated: it ends after {self.length} bytes")

    def odd(self, what: str) -> NotAnImage:
        """Return the error for bytes that contradict their own beginning."""
        return NotAnImage(f"The bytes begin like a {self.name} image, but {what}")
