"""Random access to the bytes of one image, within bounds: what a file says of itself may be made to cost."""

from __future__ import annotations

import struct
import zlib
from typing import IO, TYPE_CHECKING

from airflow_provider_qwenimage.exceptions import NotAnImage

if TYPE_CHECKING:
    from collections.abc import Iterator

Buffer = bytes | bytearray | IO[bytes]  # a file must be seekable

_BLOCK = 1 << 18
_FIRST_BLOCK = 1 << 10
# A look takes some microseconds. GIF has the smallest parts of any image worth storing: a length for each 255 bytes.
_FREE_LOOKS = 4096
_BYTES_A_LOOK = 200


def piece_of(data: Buffer, offset: int, size: int) -> bytes:
    """Return ``size`` bytes from ``offset``, fewer where ``data`` ends."""
    if isinstance(data, bytes | bytearray):
        return bytes(data[offset : offset + size])
    data.seek(offset)
    return data.read(size)


class TruncatedImage(NotAnImage):
    """The bytes begin as an image and end before it does."""


class ImageBytes:
    """
    Random access that turns every read behind the end into ``TruncatedImage``.

    It counts the looks: a file whose parts hold no bytes is refused, however many parts it says it has.
    """

    def __init__(self, data: Buffer, length: int, name: str) -> None:
        self._data = data
        self._looks = _FREE_LOOKS + length // _BYTES_A_LOOK
        self.length = length
        self.name = name

    def at(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset``."""
        self._looks -= 1
        if self._looks < 0:
            raise self.odd("fall into more parts than an image has")
        self.reaches(offset + size)
        piece = piece_of(self._data, offset, size)
        if len(piece) < size:  # what is at hand is only the head of ``length`` bytes
            raise self.cut()
        return piece

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        """Return the numbers at ``offset`` (layout as in ``struct``)."""
        return struct.unpack(layout, self.at(offset, struct.calcsize(layout)))

    def blocks(self, offset: int, *, overlap: int = 0) -> Iterator[tuple[int, bytes]]:
        """
        Yield offset and bytes of one block after the other, up to the end.

        They grow, so that a search that ends soon has read little.

        :param overlap: bytes that a block repeats of the one before it.
        """
        size = _FIRST_BLOCK
        while offset < self.length:
            piece = self.at(offset, min(size, self.length - offset))
            yield offset, piece
            offset += max(len(piece) - overlap, 1)
            size = min(2 * size, _BLOCK)

    def crc32(self, offset: int, size: int) -> int:
        """Return the checksum of ``size`` bytes from ``offset``, which are not copied where they lie in memory."""
        self.reaches(offset + size)
        if isinstance(self._data, bytes | bytearray) and offset + size <= len(self._data):
            with memoryview(self._data) as whole, whole[offset : offset + size] as part:
                return zlib.crc32(part)
        value = 0
        for start in range(offset, offset + size, _BLOCK):
            value = zlib.crc32(self.at(start, min(_BLOCK, offset + size - start)), value)
        return value

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
