"""Reads the user comment of an EXIF block (CIPA DC-008)."""

from __future__ import annotations

import struct

_PREFIX = b"Exif\0\0"
_EXIF_DIRECTORY, _USER_COMMENT = 0x8769, 0x9286
_CODE = 8  # bytes that name the character code before the comment
_CODES = (b"ASCII\0\0\0", b"UNICODE\0", b"JIS\0\0\0\0\0", bytes(_CODE))


def user_comment(block: bytes) -> str:
    """Return the user comment, empty where there is none or the block cannot be read."""
    data = block.removeprefix(_PREFIX)
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return ""
    try:
        (first,) = struct.unpack_from(f"{order}I", data, 4)
        pointer = _entry(data, order, first, _EXIF_DIRECTORY)
        entry = _entry(data, order, pointer[1], _USER_COMMENT) if pointer else None
    except struct.error:  # a directory that lies behind the end
        return ""
    if entry is None:
        return ""
    size, place = entry
    comment = data[place : place + size]
    if not comment.startswith(_CODES):  # written without its code, as plain text
        return comment.decode("utf-8", "replace")
    utf16 = "utf-16-le" if order == "<" else "utf-16-be"
    return comment[_CODE:].decode(utf16 if comment.startswith(b"UNICODE") else "utf-8", "replace")


def _entry(data: bytes, order: str, directory: int, wanted: int) -> tuple[int, int] | None:
    """Return count and value, or offset of the values, of one tag."""
    (entries,) = struct.unpack_from(f"{order}H", data, directory)
    for number in range(entries):
        tag, _, count, value = struct.unpack_from(f"{order}HHII", data, directory + 2 + 12 * number)
        if tag == wanted:
            return count, value
    return None
