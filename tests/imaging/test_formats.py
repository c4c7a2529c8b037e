from __future__ import annotations

import io

import pytest
from PIL import Image

from examples import PHOTOS
from persona_img.imaging.formats import HEAD, SUFFIX, media_type
from persona_img.imaging.photo import load_photo


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("AVIF", "image/avif"),
        ("BMP", "image/bmp"),
        ("GIF", "image/gif"),
        ("JPEG", "image/jpeg"),
        ("MPO", "image/jpeg"),
        ("PNG", "image/png"),
        ("TIFF", "image/tiff"),
        ("WEBP", "image/webp"),
    ],
)
def test_every_kind_that_is_opened_is_told_by_its_bytes(kind: str, expected: str) -> None:
    out = io.BytesIO()
    with Image.open(PHOTOS / "shirt-01.jpg") as image:
        image.convert("RGB").resize((80, 90)).save(out, kind)
    assert load_photo(out.getvalue()).pixels.shape == (90, 80, 3)
    assert media_type(out.getvalue()[:HEAD]) == expected
    assert expected in SUFFIX


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_of_tiff(order: str) -> None:
    start = b"II*\0" if order == "<" else b"MM\0*"
    assert media_type(start + bytes(20)) == "image/tiff"


def test_an_avif_may_name_its_brand_second() -> None:
    head = (28).to_bytes(4, "big") + b"ftypmif1" + bytes(4) + b"miafavif" + b"rest"
    assert media_type(head) == "image/avif"
    assert media_type(head.replace(b"avif", b"heic")) is None


@pytest.mark.parametrize(
    "head", [b"", b"RIFF\0\0\0\0WAVEfmt ", b"\0\0\0\x18ftypmp42", b"<svg xmlns=", b"GIF8", b"PAR1"]
)
def test_nothing_else_is_a_picture(head: bytes) -> None:
    assert media_type(head) is None
