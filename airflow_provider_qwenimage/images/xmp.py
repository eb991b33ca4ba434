"""Reads what an XMP packet says of the origin of an image, and writes it into one (ISO 16684-1)."""

from __future__ import annotations

import re
from contextlib import suppress
from html import escape
from typing import TYPE_CHECKING
from xml.parsers import expat

if TYPE_CHECKING:
    from collections.abc import Mapping

# Names as expat tells them: namespace and name.
DIGITAL_SOURCE_TYPE = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/ DigitalSourceType"
AIGC = "http://www.tc260.org.cn/ns/AIGC/1.0/ AIGC"  # TC260-PG-20258A, 2025-08-28
PROVENANCE = "http://purl.org/dc/terms/ provenance"  # where a C2PA manifest lies that is not in the file
_PREFIXES = {DIGITAL_SOURCE_TYPE: "Iptc4xmpExt", AIGC: "TC260"}
_READ = frozenset({DIGITAL_SOURCE_TYPE, AIGC, PROVENANCE})
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MOST_LETTERS = 1 << 16  # of one value
_MOST_DEPTH = 100  # of elements; expat remembers each that is open
_END = re.compile(rb"</(?:[\w.-]++:)?+RDF\s*+>")
_NEW = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="%s">\n'
    b'</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>' % _RDF.encode()
)


class _Unsafe(Exception):
    """The packet declares entities of its own, or is deeper than any."""


class _Reader:
    """Takes the properties of the top level from what expat reports."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self._depth = 0
        self._top = 0  # depth of rdf:RDF, once it has begun
        self._open: str | None = None  # the property whose text is being read
        self._text = ""

    def read(self, packet: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._letters
        parser.StartDoctypeDeclHandler = self._doctype
        parser.Parse(packet, False)  # what follows the end, or is cut off, says nothing more

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise _Unsafe
        if name == f"{_RDF} RDF" and not self._top:
            self._top = self._depth
        elif not self._top:
            return
        elif self._depth == self._top + 1:
            self.found += [(key, value) for key, value in attributes.items() if key in _READ]
        elif self._depth == self._top + 2 and name in _READ:
            self._open, self._text = name, attributes.get(f"{_RDF} resource", "")

    def _letters(self, text: str) -> None:
        if self._open and len(self._text) < _MOST_LETTERS:
            self._text += text

    def _end(self, _: str) -> None:
        if self._open and self._depth == self._top + 2:
            self.found.append((self._open, self._text.strip()))
            self._open = None
        self._depth -= 1

    def _doctype(self, *_: object) -> None:
        raise _Unsafe


def properties(packet: bytes) -> list[tuple[str, str]]:
    """
    Return name and value of each property that tells origin, those of ingredients and the like not counted.

    :param packet: as far as it can be read, what is said before a fault counts.
    """
    reader = _Reader()
    with suppress(expat.ExpatError, _Unsafe):
        reader.read(packet)
    return reader.found


def extended(packet: bytes | None, additions: Mapping[str, str]) -> bytes | None:
    """
    Return a packet with further properties, ``None`` where the packet cannot take them.

    :param packet: what the file holds, ``None`` for nothing.
    :param additions: values by name; none of them is in the packet.
    """
    before = packet if packet is not None else _NEW
    ends = [match.start() for match in _END.finditer(before)]
    if not ends:
        return None
    after = before[: ends[-1]] + _description(additions) + before[ends[-1] :]
    whole = properties(after) == [*properties(before), *additions.items()]
    return after if whole else None


def _description(additions: Mapping[str, str]) -> bytes:
    lines = []
    for name, value in additions.items():
        namespace, _, tag = name.partition(" ")
        tag = f"{_PREFIXES[name]}:{tag}"
        lines.append(f'<{tag} xmlns:{_PREFIXES[name]}="{namespace}">{escape(value, quote=False)}</{tag}>')
    body = "\n".join(lines)
    return f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about="">\n{body}\n</rdf:Description>\n'.encode(
        "utf-8", "replace"
    )
