"""XMP says the same in all four formats, and hurts no reader."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from persona_img.imaging.photo import png_bytes
from persona_img.provenance import altered, xmp
from persona_img.variants.marking import XMP_KEY, packet_of
from provenance.signing import FORMATS, STATEMENT, encoded, pixels

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)


@given(title=WORDS, credit=WORDS, rights=WORDS)
def test_whatever_is_said_is_read_again(title: str, credit: str, rights: str) -> None:
    said = replace(STATEMENT, title=title)
    packet = xmp.written(said, credit, rights, "allowed")
    assert packet == xmp.written(said, credit, rights, "allowed")
    found = xmp.read(packet)
    assert found["Iptc4xmpExt:DigitalSourceType"] == altered.COMPOSITE_TRAINED
    assert xmp.source_type(packet) == altered.COMPOSITE_TRAINED
    assert found.get("photoshop:Credit", "").strip() == credit.strip()
    assert found.get("dc:rights", "") == rights.strip()
    assert found["photoshop:Instructions"] == "product unchanged"
    assert found["plus:DataMining"].endswith("DMI-ALLOWED")


@pytest.mark.parametrize("kind", FORMATS)
def test_it_lies_in_every_format(kind: str, tmp_path: Path) -> None:
    packet = xmp.written(STATEMENT, "Us", "© Us", "not-allowed")
    data = encoded(kind, packet)
    if kind == "image/png":
        data = png_bytes(pixels(), {XMP_KEY: packet.decode()})
    (tmp_path / "x").write_bytes(data)
    assert packet_of(tmp_path / "x") == packet
    assert Image.open(io.BytesIO(data)).size == (64, 48)


def test_an_edited_photograph_has_no_source_type() -> None:
    packet = xmp.written(replace(STATEMENT, source_type=None), "", "", "not-allowed")
    assert xmp.source_type(packet) is None


@pytest.mark.parametrize(
    "said",
    [
        b'<rdf:Description Iptc4xmpExt:DigitalSourceType="http://x/y"/>',
        b"<Iptc4xmpExt:DigitalSourceType>http://x/y</Iptc4xmpExt:DigitalSourceType>",
        b"<Iptc4xmpExt:DigitalSourceType rdf:resource='http://x/y'/>",
    ],
)
def test_a_source_type_is_found_however_it_is_written(said: bytes) -> None:
    assert xmp.source_type(said) == "http://x/y"


@pytest.mark.parametrize("packet", [b"", b"<no", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"])
def test_what_is_no_packet_says_nothing(packet: bytes) -> None:
    assert xmp.read(packet) == {}


def test_no_picture_has_no_packet(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no picture")
    assert packet_of(tmp_path / "x") == packet_of(tmp_path / "gone") == b""
