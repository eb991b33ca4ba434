"""
Reads a manifest as a stream: of what it lists little is kept, and a page of it is read when it is looked at.

A manifest of 20,000 images has some 20 MiB, and whoever may write XCom may name any object as one.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.models.manifest import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE = 500  # images
MOST_IMAGES = 100_000
_LONGEST = 1 << 20  # characters of one image
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SPACE = re.compile(r"[ \t\r\n]*")


class NotAManifest(Exception):
    """What lies there is no manifest of this provider, or lists more than is shown."""


def _refuse(constant: str) -> Any:
    raise ValueError(constant)  # NaN and the like, which are no JSON and which no browser reads


_DECODER = json.JSONDecoder(parse_constant=_refuse)


class Digests:
    """The digests of images by their URIs, in some 200 bytes each whatever the URIs are."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._by_uri = {_key(uri): bytes.fromhex(sha256) for uri, sha256 in pairs}

    def add(self, uri: str, sha256: str) -> None:
        """Remember one."""
        self._by_uri[_key(uri)] = bytes.fromhex(sha256)

    def get(self, uri: str) -> str | None:
        """Return the digest of an image, ``None`` where it is not recorded."""
        found = self._by_uri.get(_key(uri))
        return found.hex() if found is not None else None

    def hold(self, text: bytes) -> bool:
        """Whether a list of images in JSON names none but these."""
        try:
            images = _DECODER.decode(text.decode())
            return all(self.get(image["uri"]) == image["sha256"] for image in images)
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            return False

    def __len__(self) -> int:
        return len(self._by_uri)


@dataclass(frozen=True, slots=True)
class Listing:
    """
    What is kept of a manifest.

    :param owner: Dag, run, task and map index of the task instance that wrote it.
    :param starts: the byte at which each page of images begins, and the byte at which the last one ends.
    :param etag: of the object.
    """

    owner: tuple[Any, ...]
    digests: Digests
    starts: tuple[int, ...]
    etag: str = ""

    @property
    def pages(self) -> int:
        """How many there are."""
        return len(self.starts) - 1


def is_digest(value: object) -> bool:
    """Whether a record's ``sha256`` is one."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def scan(chunks: Iterator[bytes]) -> Listing:
    """
    Read a manifest through.

    :raises NotAManifest: it is none, or longer than is shown.
    """
    reader, facts = _Reader(chunks), dict[str, Any]()
    digests, starts = Digests(), [0]
    reader.sign("{")
    while True:
        name = reader.value()
        reader.sign(":")
        if not isinstance(name, str) or name in facts:
            raise NotAManifest("it has a name twice, or what is no name")
        if name == "images":
            facts[name], starts = None, _images(reader, digests)
        elif name == "failures":
            facts[name] = None
            for _ in reader.items():
                pass
        else:
            facts[name] = reader.value()
        if reader.sign(",}") == "}":
            break
    reader.end()
    if facts.get("version") != VERSION or "images" not in facts:
        raise NotAManifest(f"it is not of version {VERSION}")
    owner = tuple(facts.get(name) for name in ("dag_id", "run_id", "task_id", "map_index"))
    return Listing(owner, digests, tuple(starts))


def _images(reader: _Reader, digests: Digests) -> list[int]:
    starts, end = [], reader.byte
    for count, (start, image) in enumerate(reader.items()):
        uri, sha256 = (image.get("uri"), image.get("sha256")) if isinstance(image, dict) else (None, None)
        if not isinstance(uri, str) or not isinstance(sha256, str) or not is_digest(sha256):
            raise NotAManifest(f"image {count} has no URI or no digest")
        if count == MOST_IMAGES:
            raise NotAManifest(f"it lists more than {MOST_IMAGES} images")
        if count % PAGE == 0:
            starts.append(start)
        digests.add(uri, sha256)
        end = reader.byte
    return [*starts, end]


def _key(uri: str) -> bytes:
    return blake2b(uri.encode(errors="surrogatepass"), digest_size=16).digest()


class _Reader:
    """
    Takes JSON apart as it arrives.

    :ivar byte: where in the object it stands.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at, self._ended = "", 0, False
        self.byte = 0

    def sign(self, wanted: str) -> str:
        """Take one of the characters ``wanted``."""
        found = self._next()
        if found not in wanted:
            raise NotAManifest(f"it is no JSON at byte {self.byte}")
        self._consume(self._at + 1)
        return found

    def end(self) -> None:
        """Take the rest, which must be nothing."""
        if self._next(or_end=True):
            raise NotAManifest(f"it goes on at byte {self.byte}")

    def value(self) -> Any:
        """Take a whole value."""
        self._next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError):  # not all of it is there, or it is none
                end = -1
            # A number that ends with the text at hand may go on.
            if end >= 0 and (self._ended or end < len(self._text)):
                self._consume(end)
                return value
            if self._ended or len(self._text) - self._at > _LONGEST:
                raise NotAManifest(f"it is no JSON at byte {self.byte}, or has very long parts")
            self._read()

    def items(self) -> Iterator[tuple[int, Any]]:
        """Take a list, one item at a time with the byte it begins at."""
        self.sign("[")
        if self._next() == "]":
            self.sign("]")
            return
        while True:
            self._next()
            start = self.byte
            yield start, self.value()
            if self.sign(",]") == "]":
                return

    def _next(self, *, or_end: bool = False) -> str:
        """Go to the next character that is no space, and return it; at the end nothing, where that may be."""
        while True:
            self._consume(_SPACE.match(self._text, self._at).end())  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended and or_end:
                return ""
            if self._ended:
                raise NotAManifest("it is cut short")
            self._read()

    def _consume(self, end: int) -> None:
        self.byte += len(self._text[self._at : end].encode(errors="surrogatepass"))
        self._at = end

    def _read(self) -> None:
        chunk = next(self._chunks, None)
        self._ended = chunk is None
        try:
            further = self._decoder.decode(chunk or b"", final=self._ended)
        except UnicodeDecodeError:
            raise NotAManifest("it is not UTF-8") from None
        self._text, self._at = self._text[self._at :] + further, 0
