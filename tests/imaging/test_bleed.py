from __future__ import annotations

import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from persona_img.imaging.bleed import REACH, matte_of, without_bleed
from persona_img.imaging.matting import product_of
from persona_img.imaging.photo import Photo, load_photo

SIDE = 96
FLOOR, CLOTH = (150, 82, 40), (226, 222, 214)


def mask() -> np.ndarray:
    """A disc with a soft edge."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    return np.round(255 * np.clip(30.0 - np.hypot(x, y) + 0.5, 0, 1)).astype(np.uint8)


def picture(product: tuple[int, int, int] = CLOTH) -> np.ndarray:
    share = mask()[..., None] / 255
    grain = np.random.default_rng(4).normal(0, 2, (SIDE, SIDE, 1))
    mixed = share * np.array(product) + (1 - share) * np.array(FLOOR) + grain
    return np.clip(np.round(mixed), 0, 255).astype(np.uint8)


def saved(pixels: np.ndarray, kind: str = "JPEG", **how: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **how)
    return out.getvalue()


def photographed(product: tuple[int, int, int] = CLOTH, subsampling: int = 2) -> Photo:
    return load_photo(saved(picture(product), quality=90, subsampling=subsampling))


def luma(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float64) @ (0.299, 0.587, 0.114)


def redness(pixels: np.ndarray, where: np.ndarray) -> float:
    return float((pixels[where][:, 0].astype(float) - pixels[where][:, 2]).mean())


@pytest.mark.parametrize(
    ("data", "halved"),
    [
        (saved(picture(), quality=90, subsampling=2), True),
        (saved(picture(), quality=90, subsampling=1), True),
        (saved(picture(), quality=90, subsampling=0), False),
        (saved(picture(), "PNG"), False),
        (saved(picture(), "WEBP", quality=90), True),
        (saved(picture(), "WEBP", lossless=True), False),
        (saved(picture()[..., 0], quality=90), False),
    ],
)
def test_a_file_says_whether_it_kept_colour_at_half_the_size(data: bytes, halved: bool) -> None:
    assert load_photo(data).half_chroma is halved


def test_the_floors_hue_leaves_the_cloths_edge() -> None:
    photo, alpha = photographed(), mask()
    inner = cv2.erode(alpha, np.ones((9, 9), np.uint8)) == 255
    band = (alpha == 255) & ~inner
    before, after = product_of(photo, alpha), matte_of(photo, alpha)[1]
    own = redness(photo.pixels, inner)
    assert redness(before, band) - own > 5
    assert redness(after, band) - own < 0.35 * (redness(before, band) - own)


def test_what_changed_is_no_longer_called_whole_and_all_else_stays() -> None:
    photo, alpha = photographed(), mask()
    level, product = matte_of(photo, alpha)
    changed = level != alpha
    assert changed.any()
    assert (level[changed] == 254).all()
    assert (alpha[changed] == 255).all()
    np.testing.assert_array_equal(product[level == 255], photo.pixels[level == 255])
    outside = alpha == 0
    np.testing.assert_array_equal(product[outside], photo.pixels[outside])


@settings(max_examples=25, deadline=None)
@given(product=st.tuples(*[st.integers(0, 255)] * 3), subsampling=st.sampled_from([1, 2]))
def test_lightness_stays_and_nothing_deep_is_touched(
    product: tuple[int, int, int], subsampling: int
) -> None:
    photo, alpha = photographed(product, subsampling), mask()
    out, changed = without_bleed(photo.pixels, alpha, alpha == 255)
    np.testing.assert_array_equal(out[~changed], photo.pixels[~changed])
    assert np.abs(luma(out) - luma(photo.pixels)).max() <= 1.0
    deep = cv2.distanceTransform((alpha == 255).astype(np.uint8), cv2.DIST_L2, 5) > REACH + 0.01
    assert not changed[deep].any()


def test_where_colour_was_kept_whole_nothing_is_changed() -> None:
    alpha = mask()
    for photo in (photographed(subsampling=0), load_photo(saved(picture(), "PNG"))):
        level, product = matte_of(photo, alpha)
        assert level is alpha
        np.testing.assert_array_equal(product, product_of(photo, alpha))


def test_a_cut_out_is_its_own_colour() -> None:
    photo = load_photo(saved(np.dstack([picture(), mask()]), "WEBP", quality=90))
    assert photo.cut_out
    assert not photo.half_chroma
    assert photo.alpha is not None
    level, product = matte_of(replace(photo, half_chroma=True), photo.alpha)
    assert level is photo.alpha
    np.testing.assert_array_equal(product, photo.pixels)


def test_a_trim_of_another_hue_keeps_it() -> None:
    pixels, alpha = picture(), mask()
    trim = (cv2.erode(alpha, np.ones((13, 13), np.uint8)) < 255) & (alpha == 255)
    pixels[trim] = (40, 70, 190)  # blue, where the floor is brown
    photo = load_photo(saved(pixels, quality=92, subsampling=2))
    level, product = matte_of(photo, alpha)
    changed = trim & (level != alpha)
    truth = np.array((40, 70, 190))
    before, after = (np.abs(p[changed].astype(int) - truth) for p in (photo.pixels, product))
    assert after.mean() < before.mean()  # what is changed is nearer to what the trim is
    assert (np.abs(product[trim].astype(int) - truth).max(axis=1) > 60).mean() < 0.02


def test_a_large_picture_is_done_in_strips_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, alpha = photographed(), mask()
    whole = without_bleed(photo.pixels, alpha, alpha > 0)
    monkeypatch.setattr("persona_img.imaging.matting._STRIP_PIXELS", 20 * SIDE)
    strips = without_bleed(photo.pixels, alpha, alpha > 0)
    assert (whole[1] != strips[1]).mean() < 1e-3
    same = whole[1] & strips[1]
    assert np.abs(whole[0][same].astype(int) - strips[0][same]).max() <= 2


def test_a_narrow_trim_of_a_hue_beside_the_floors_keeps_it() -> None:
    pixels, alpha = picture(), mask()
    trim = (cv2.erode(alpha, np.ones((7, 7), np.uint8)) < 255) & (alpha == 255)
    pixels[trim] = (120, 200, 60)  # yellowish green: as little blue as the floor, but no red
    photo = replace(Photo.of(pixels), half_chroma=True)
    product = matte_of(photo, alpha)[1]
    np.testing.assert_array_equal(product[trim], photo.pixels[trim])


def test_a_sole_is_not_as_blue_as_its_shoe() -> None:
    """A pale rim of three pixels around what is dark and blue, on a floor as blue."""
    pixels, alpha = picture((30, 50, 150)), mask()
    rim = (cv2.erode(alpha, np.ones((7, 7), np.uint8)) < 255) & (alpha == 255)
    pixels[rim] = (235, 232, 228)
    photo = replace(Photo.of(pixels), half_chroma=True)
    product = matte_of(photo, alpha)[1]
    np.testing.assert_array_equal(product[rim], photo.pixels[rim])


def test_a_fold_of_the_floors_hue_that_goes_further_in_is_not_bleed() -> None:
    pixels, alpha = picture(), mask()
    fold = (cv2.erode(alpha, np.ones((9, 9), np.uint8)) < 255) & (alpha == 255)
    pixels[fold] = (222, 200, 184)  # four pixels, as light as the cloth, toward the floor's hue
    photo = replace(Photo.of(pixels), half_chroma=True)
    level, _ = matte_of(photo, alpha)
    assert (level[fold] == 254).mean() < 0.05
