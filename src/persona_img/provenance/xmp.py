"""XMP, as marketplaces and agencies read it: source type, credit, rights, what is promised.

References:
    ISO 16684-1 (XMP). IPTC Photo Metadata Standard 2023.2, "Digital Source Type", "Credit Line",
    "Copyright Notice", "Instructions". PLUS, "Data Mining".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from persona_img.provenance.altered import canonical

if TYPE_CHECKING:
    from persona_img.provenance.statement import Statement

VERSION = 1
"""Raised whenever the same statement would be written in other bytes."""

Training = Literal["allowed", "not-allowed"]
"""Whether models may learn from pictures."""

_SPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "plus": "http://ns.useplus.org/ldf/xmp/1.0/",
}
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MINING = {
    "allowed": "http://ns.useplus.org/ldf/vocab/DMI-ALLOWED",
    "not-allowed": "http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING",
}
_SOURCE = re.compile(
    rb"DigitalSourceType(?:\s*=\s*[\"']|[^>]*?rdf:resource\s*=\s*[\"']|>\s*)([^\"'<\s]{1,200})"
)
_LONGEST = 2000


def written(statement: Statement, credit: str, rights: str, training: Training) -> bytes:
    """A packet that says it; the same arguments give the same bytes.

    Words are cut after 2,000 characters each: a JPEG has room for 65,502 bytes.

    Args:
        statement: What is said.
        credit: Whom to name with the picture; empty for nobody.
        rights: Whose it is and what may be done with it; empty for nothing.
        training: Whether models may learn from it, where its photograph lets them.
    """
    credit, rights = credit[:_LONGEST], rights[:_LONGEST]
    simple = {"plus:DataMining": _MINING[training if statement.may_train else "not-allowed"]}
    if statement.source_type is not None:
        simple["Iptc4xmpExt:DigitalSourceType"] = statement.source_type
    if credit:
        simple["photoshop:Credit"] = credit
    if statement.product:
        simple["photoshop:Instructions"] = statement.product
    if rights:
        simple["xmpRights:Marked"] = "True"
    spaces = " ".join(f"xmlns:{name}={quoteattr(uri)}" for name, uri in _SPACES.items())
    told = " ".join(f"{name}={quoteattr(value)}" for name, value in sorted(simple.items()))
    text = _alternative("dc:title", statement.title[:_LONGEST])
    text += _alternative("dc:rights", rights) if rights else ""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about="" {spaces} {told}>{text}'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def source_type(packet: bytes) -> str | None:
    """The source type of a packet, by whomever it was written; None where it says none.

    Example:
        >>> source_type(b'<a Iptc4xmpExt:DigitalSourceType="http://cv/x">')
        'http://cv/x'
    """
    found = _SOURCE.search(packet)
    return None if found is None else canonical(found[1].decode(errors="replace"))


def read(packet: bytes) -> dict[str, str]:
    """Simple properties of a packet, by their short names; empty where it cannot be read.

    Args:
        packet: At most a megabyte is looked at.
    """
    packet = packet[: 1 << 20]
    if b"<!DOCTYPE" in packet:  # entities can be made to grow without end
        return {}
    try:
        root = ElementTree.fromstring(packet)
    except ElementTree.ParseError:
        return {}
    names = {uri: name for name, uri in _SPACES.items()}
    found: dict[str, str] = {}
    for description in root.iter(f"{{{_RDF}}}Description"):
        for key, value in description.attrib.items():
            uri, _, name = key[1:].partition("}")
            if uri in names:
                found[f"{names[uri]}:{name}"] = value
        for child in description:
            uri, _, name = child.tag[1:].partition("}")
            text = "".join(child.itertext()).strip()
            if uri in names and text:
                found[f"{names[uri]}:{name}"] = text
    return found


def _alternative(name: str, text: str) -> str:
    return (
        f'<{name}><rdf:Alt><rdf:li xml:lang="x-default">{escape(text)}</rdf:li></rdf:Alt></{name}>'
    )
