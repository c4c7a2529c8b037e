from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from examples import PHOTOS
from persona_img.errors import BadPhoto
from persona_img.imaging.alpha import levelled
from persona_img.imaging.mask_file import load_mask
from pictures import disc_cut_out, encoded, gama, png

CASES = PHOTOS.parent / "cases"


def soft(width: int = 90, height: int = 70) -> np.ndarray:
    """Black, a soft edge, white."""
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[20:50, 20:60] = 255
    mask[20:50, 60:66] = (220, 180, 128, 90, 40, 10)
    return mask


def binary() -> np.ndarray:
    return np.where(soft() >= 128, 255, 0).astype(np.uint8)


def alpha_only(colour: object) -> Image.Image:
    values = np.dstack([np.broadcast_to(np.uint8(colour), (70, 90, 3)), soft()])
    return Image.fromarray(values)


def oriented() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # show it rotated clockwise
    return encoded(Image.fromarray(np.rot90(soft())), exif=exif)


SAME: dict[str, Callable[[], bytes]] = {
    "grey": lambda: encoded(Image.fromarray(soft())),
    "grey as colours": lambda: encoded(Image.fromarray(soft()).convert("RGB")),
    "grey as opaque RGBA": lambda: encoded(Image.fromarray(soft()).convert("RGBA")),
    "grey, opaque LA": lambda: encoded(Image.fromarray(soft()).convert("LA")),
    "almost opaque": lambda: encoded(
        Image.fromarray(np.dstack([soft()] * 3 + [np.full_like(soft(), 254)]))
    ),
    "palette": lambda: encoded(Image.fromarray(soft()).convert("P")),
    "gif": lambda: encoded(Image.fromarray(soft()), "GIF"),
    "tiff": lambda: encoded(Image.fromarray(soft()), "TIFF"),
    "webp": lambda: encoded(Image.fromarray(soft()).convert("RGB"), "WEBP", lossless=True),
    "bmp": lambda: encoded(Image.fromarray(soft()), "BMP"),
    "16 bits": lambda: png(soft().astype(int) * 257, 16),
    "with gamma": lambda: png(soft(), 8, gama(1.0)),
    "with a profile": lambda: encoded(
        Image.fromarray(soft()),
        icc_profile=Image.open(CASES / "mask-g1.0.png").info["icc_profile"],
    ),
    "turned": oriented,
    "white, alpha is the mask": lambda: encoded(alpha_only((255, 255, 255))),
    "black, alpha is the mask": lambda: encoded(alpha_only((0, 0, 0))),
    "coloured, alpha is the mask": lambda: encoded(alpha_only((200, 30, 40))),
    "LA, alpha is the mask": lambda: encoded(
        Image.merge("LA", [Image.new("L", (90, 70), 255), Image.fromarray(soft())])
    ),
    "webp, alpha is the mask": lambda: encoded(alpha_only((255, 255, 255)), "WEBP", lossless=True),
    "white on transparent, black hidden": lambda: encoded(
        Image.fromarray(np.dstack([np.where(soft() > 0, 255, 0).astype(np.uint8)] * 3 + [soft()]))
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_a_mask_is_the_same_in_every_kind_of_file(name: str) -> None:
    np.testing.assert_array_equal(load_mask(SAME[name]()), soft())


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_reach_from_0_to_255(depth: int) -> None:
    np.testing.assert_array_equal(load_mask(png(binary() >> (8 - depth), depth)), binary())


def test_a_palette_with_a_transparent_colour_is_an_alpha() -> None:
    image = Image.fromarray(binary()).convert("P")
    index = image.getpixel((0, 0))
    np.testing.assert_array_equal(load_mask(encoded(image, transparency=index)), binary())
    np.testing.assert_array_equal(load_mask(encoded(image, "GIF", transparency=index)), binary())


def test_jpegs_noise_stays_small() -> None:
    found = load_mask(encoded(Image.fromarray(soft()).convert("RGB"), "JPEG", quality=90))
    assert np.abs(found.astype(int) - soft()).max() < 30


@pytest.mark.parametrize("name", ["mask-g1.0.png", "mask-g1.8.png"])
def test_a_grey_profile_moves_no_value(name: str) -> None:
    assert np.unique(load_mask(CASES / name)).tolist() == [0, 128, 255]


def test_a_white_silhouette_is_as_the_plain_mask() -> None:
    drawn = load_mask(CASES / "mask-plain.png")
    silhouette = load_mask(CASES / "mask-white-silhouette.png")
    np.testing.assert_array_equal(levelled(drawn), levelled(silhouette))


def test_a_cut_outs_own_shadow_is_not_in_its_mask() -> None:
    values, _, alpha = disc_cut_out()
    values[140:146, 40:110, 3] = 90
    found = load_mask(encoded(Image.fromarray(values)))
    assert (found[140:146] == 0).all()
    assert ((found == 255) == (alpha == 1)).mean() > 0.99


def vague() -> Image.Image:
    """White on black, and transparent further out."""
    outside = np.where(np.pad(np.ones((60, 80)), 5) > 0, 255, 0).astype(np.uint8)
    return Image.fromarray(np.dstack([binary()] * 3 + [outside]))


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "coloured": (lambda: (PHOTOS / "dress-01.jpg").read_bytes(), "of the mask is coloured"),
    "labels": (
        lambda: encoded(Image.fromarray(np.where(soft()[..., None] > 0, np.uint8([128, 0, 0]), 0))),
        "coloured; draw it in white",
    ),
    "says two things": (lambda: encoded(vague()), "which of them is the mask"),
    "transparent": (lambda: encoded(Image.new("RGBA", (80, 80))), "transparent everywhere"),
    "no picture": (lambda: b"white", "not a picture"),
    "float": (lambda: encoded(Image.new("F", (90, 90)), "TIFF"), "32 bits"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_mask_is_an_error_that_says_why(name: str) -> None:
    make, says = BAD[name]
    with pytest.raises(BadPhoto, match=says):
        load_mask(make())
