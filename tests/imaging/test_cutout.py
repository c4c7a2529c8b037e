from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from persona_img.imaging.cutout import as_shown, continued, on_white, scaled, visible
from persona_img.imaging.light import to_linear, to_srgb
from persona_img.imaging.photo import Photo
from persona_img.imaging.profile import matrix_profile
from pictures import DISPLAY_P3, disc_cut_out, encoded


def cut(hidden: object = 0) -> Photo:
    values, _, _ = disc_cut_out(hidden)
    return Photo.of(values[..., :3].copy(), values[..., 3].copy(), cut_out=True)


def linear(pixels: np.ndarray) -> np.ndarray:
    return to_linear(pixels.astype(np.float32) / 255)


@pytest.mark.parametrize("size", [(150, 150), (75, 75), (61, 61), (20, 20), (260, 260)])
def test_what_is_hidden_colours_nothing_at_any_size(size: tuple[int, int]) -> None:
    values, _, _ = disc_cut_out((255, 0, 255))
    other, _, _ = disc_cut_out((0, 255, 0))
    found = [scaled(v[..., :3].copy(), v[..., 3].copy(), size) for v in (values, other)]
    np.testing.assert_array_equal(found[0][1], found[1][1])
    seen = found[0][1] > 0
    np.testing.assert_array_equal(found[0][0][seen], found[1][0][seen])


def test_scaling_and_laying_on_a_ground_can_be_swapped() -> None:
    """In light, as it is for a picture and for a window: the area's light is the mean light."""
    values, _, _ = disc_cut_out()
    pixels, alpha = values[..., :3].copy(), values[..., 3].copy()
    share = alpha[..., None].astype(np.float32) / 255
    ground = np.float32(0.7)
    laid = to_srgb(linear(pixels) * share + ground * (1 - share))
    light = to_linear(laid).reshape(50, 3, 50, 3, 3).mean(axis=(1, 3))
    small, opacity = scaled(pixels, alpha, (50, 50))
    part = opacity[..., None].astype(np.float32) / 255
    again = linear(small) * part + ground * (1 - part)
    assert np.abs(to_srgb(again) - to_srgb(light)).max() * 255 < 1.5


def test_a_larger_cut_out_has_no_ghost_around_it_and_no_dark_rim() -> None:
    values, colours, _ = disc_cut_out()
    pixels, alpha = scaled(values[..., :3].copy(), values[..., 3].copy(), (450, 450))
    yy, xx = np.mgrid[0:450, 0:450]
    far = np.hypot(yy - 225.5, xx - 225.5) > 3 * 50 + 3 * 6
    assert (alpha[far] == 0).all()
    edge = (alpha > 20) & (alpha < 235)
    wanted = colours.repeat(3, axis=0).repeat(3, axis=1)
    assert np.abs(pixels[edge] - wanted[edge]).mean() < 3


def test_the_products_colours_go_on_and_its_own_stay() -> None:
    values, _, _ = disc_cut_out((255, 0, 255))
    pixels, alpha = values[..., :3].copy(), values[..., 3].copy()
    made = continued(pixels, alpha)
    kept = alpha >= 32
    np.testing.assert_array_equal(made[kept], pixels[kept])
    low, high = pixels[kept].min(axis=0).astype(int), pixels[kept].max(axis=0)
    assert ((made >= low - 1) & (made <= high + 1)).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(64, 90), st.integers(64, 90))
def test_an_opaque_picture_is_never_touched(seed: int, height: int, width: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    whole = np.full((height, width), 255, np.uint8)
    assert continued(pixels, whole) is pixels
    photo = Photo.of(pixels, whole)
    assert visible(photo) is photo.pixels
    np.testing.assert_array_equal(np.asarray(on_white(photo)), pixels)


def test_a_page_shows_a_cut_out_on_white_and_a_masked_photograph_as_it_is() -> None:
    _, colours, alpha = disc_cut_out()
    shown = np.asarray(on_white(cut((255, 0, 255))))
    share = alpha[..., None]
    assert np.abs(shown - (colours * share + 255 * (1 - share))).max() < 6
    assert (shown[alpha == 0] == 255).all()
    masked = Photo.of(cut().pixels.copy(), (255 * alpha).astype(np.uint8))
    np.testing.assert_array_equal(np.asarray(on_white(masked)), masked.pixels)


def test_a_file_is_shown_in_srgb_upright_on_white_and_with_its_own_shadow() -> None:
    values, _, alpha = disc_cut_out((255, 0, 255))
    values[140:146, 40:110] = (0, 0, 0, 90)
    shown = np.asarray(as_shown(encoded(Image.fromarray(values))))
    assert (shown[alpha == 0][:100] == 255).all()
    assert np.abs(shown[143, 75].astype(int) - (255 - 90)).max() <= 1
    red = Image.new("RGB", (8, 4), (200, 60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = as_shown(encoded(red, icc_profile=matrix_profile(DISPLAY_P3), exif=exif))
    assert wide.size == (4, 8)
    assert wide.getpixel((1, 1))[0] > 210
