"""
Marks of origin: what a file says of having been generated.

Read where a format's own walk came past them (``formats``), so that no byte is looked at twice for them. What a mark
says is told as it is: whether it is true, or a manifest valid, is not checked here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self
from urllib.parse import quote

from airflow_provider_qwenimage.images import xmp
from airflow_provider_qwenimage.images.exif import user_comment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The terms that name a model's work: https://cv.iptc.org/newscodes/digitalsourcetype/ (as of 2024-09-17)
_TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TRAINED = f"{_TERMS}trainedAlgorithmicMedia"
COMPOSITE = f"{_TERMS}compositeWithTrainedAlgorithmicMedia"
_GENERATED = frozenset(
    {"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic"}
)

# GB 45438-2025, appendix E; in force since 2025-09-01.
TC260_FIELDS = (
    "Label",
    "ContentProducer",
    "ProduceID",
    "ReservedCode1",
    "ContentPropagator",
    "PropagateID",
    "ReservedCode2",
)
_MOST_LETTERS = 256  # of one value that is told
_MOST_JSON = 1 << 16
ARRIVED = "arrived-sha256"
TOLD_IN_METADATA = ("digital-source-type", "c2pa", "tc260-label", ARRIVED)
_PLAIN = "".join(map(chr, range(0x20, 0x7F)))  # what a header takes as it is
_MOST_PLAIN = 512
_SEVERAL = " | "  # between values that contradict each other

Kind = Literal["c2pa", "xmp", "xmp part", "exif", "aigc"]


class Piece(NamedTuple):
    """
    A part of a file that may tell its origin.

    :param kind: ``xmp part`` is one of several that make a packet; ``aigc`` is the JSON of GB 45438 by itself.
    """

    kind: Kind
    data: bytes


@dataclass(frozen=True, slots=True)
class Marks:
    """
    The marks of origin in one file.

    Values of marks that contradict each other stand beside each other, parted by ``|``.

    :param c2pa: whether a C2PA manifest is embedded or referred to.
    :param digital_source_type: term of the IPTC as it is written.
    :param tc260: fields of the label of GB 45438-2025.
    :param c2pa_state: what c2pa-python says of the manifest, where the extra ``c2pa`` is installed.
    """

    c2pa: bool = False
    digital_source_type: str | None = None
    tc260: dict[str, str] | None = None
    c2pa_state: str | None = None

    @property
    def generated(self) -> bool:
        """Whether they let a machine see that the image is generated."""
        terms = {term.rpartition("/")[2] for term in (self.digital_source_type or "").split(_SEVERAL)}
        return self.c2pa or self.tc260 is not None or not terms.isdisjoint(_GENERATED)

    @classmethod
    def told(cls, origin: Mapping[str, Any]) -> Self:
        """Return what a manifest tells as ``origin``; what is not as ``as_json`` writes it tells nothing."""
        source, label, state = (origin.get(name) for name in ("digital_source_type", "tc260", "c2pa_state"))
        return cls(
            origin.get("c2pa") is True,
            source if isinstance(source, str) else None,
            {str(name): str(value) for name, value in label.items()} if isinstance(label, dict) else None,
            state if isinstance(state, str) else None,
        )

    def as_metadata(self) -> dict[str, str]:
        """Return what the metadata of an object in S3 tells of them: plain ASCII, and no more than a header holds."""
        told = {
            "digital-source-type": self.digital_source_type,
            "c2pa": "true" if self.c2pa else None,
            "tc260-label": (self.tc260 or {}).get("Label"),
        }
        plain = {name: quote(value, safe=_PLAIN) for name, value in told.items() if value}
        return {name: value for name, value in plain.items() if len(value) <= _MOST_PLAIN}

    def as_json(self) -> dict[str, Any]:
        """Return the ``origin`` of image objects and manifests."""
        told = {"c2pa": self.c2pa, "digital_source_type": self.digital_source_type, "tc260": self.tc260}
        return told if self.c2pa_state is None else {**told, "c2pa_state": self.c2pa_state}


def read_marks(pieces: Iterable[Piece]) -> Marks:
    """Return the marks that the pieces of one file hold."""
    c2pa = False
    types: list[str] = []
    labels: list[str] = []
    packets: list[bytes] = []
    parts = b""
    for kind, data in pieces:
        c2pa |= kind == "c2pa"
        if kind == "xmp":
            packets.append(data)
        elif kind == "xmp part":
            parts += data
        elif kind == "exif":
            labels.append(user_comment(data))
        elif kind == "aigc":
            labels.append(data.decode("utf-8", "replace"))
    packets += [parts] if parts else []
    for name, value in (found for packet in packets for found in xmp.properties(packet)):
        c2pa |= name == xmp.PROVENANCE
        if name == xmp.DIGITAL_SOURCE_TYPE and value:
            types.append(_told(value))
        elif name == xmp.AIGC:
            labels.append(value)
    return Marks(c2pa, _together(types) or None, _tc260(labels))


def _tc260(labels: Iterable[str]) -> dict[str, str] | None:
    """Return the fields of all labels that can be read."""
    read = [_fields(label) for label in labels]
    told = {name: _together(fields[name] for fields in read if name in fields) for name in TC260_FIELDS}
    return {name: value for name, value in told.items() if any(name in fields for fields in read)} or None


def _fields(label: str) -> dict[str, str]:
    """Read the JSON of one label, with the object ``AIGC`` around it or without."""
    try:
        document = json.loads(label[:_MOST_JSON].strip("\0 \r\n\t"))
    except (ValueError, RecursionError):
        return {}
    if isinstance(document, dict) and isinstance(document.get("AIGC"), dict):
        document = document["AIGC"]
    if not isinstance(document, dict):
        return {}
    return {
        name: _told(str(value))
        for name in TC260_FIELDS
        if isinstance(value := document.get(name), str | int | float)
    }


def _told(text: str) -> str:
    """Return a value fit for JSON, a log and a page: bounded, and of letters that show."""
    clean = text[:_MOST_LETTERS].encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() else " " for letter in clean).strip()


def _together(values: Iterable[str]) -> str:
    return _SEVERAL.join(dict.fromkeys(values))
