from __future__ import annotations

import cv2
import numpy as np
import pytest

from editing.conftest import scene
from persona_img.editing.repair import denoise, inpaint, restore
from persona_img.errors import InvalidInput
from persona_img.imaging.photo import Photo


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / ((one.astype(float) - other) ** 2).mean()))


def small(photo: Photo) -> np.ndarray:
    return cv2.resize(photo.pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("sigma", [4.0, 8.0])
def test_denoising_a_real_photo_brings_it_nearer_to_itself(shirt: Photo, sigma: float) -> None:
    clean = small(shirt)
    rng = np.random.default_rng(0)
    noisy = np.clip(clean + rng.normal(0, sigma, clean.shape), 0, 255).astype(np.uint8)
    made = denoise(Photo.of(noisy)).photo.pixels
    assert psnr(made, clean) > psnr(noisy, clean) + 1.0


@pytest.mark.parametrize("blur", [0.8, 1.5])
def test_restoring_a_real_photo_brings_it_nearer_to_itself(shirt: Photo, blur: float) -> None:
    sharp = small(shirt)
    soft = np.round(cv2.GaussianBlur(sharp, (0, 0), blur)).astype(np.uint8)
    made = restore(Photo.of(soft), blur=blur).photo.pixels
    assert made.shape == soft.shape
    assert psnr(made, sharp) > psnr(soft, sharp) + 1.0


@pytest.mark.parametrize("edit", [denoise, restore])
def test_only_the_backdrop_where_asked(edit: object) -> None:
    assert callable(edit)
    photo, alpha = scene(3)
    if edit is restore:  # which refuses noise
        photo = Photo.of(cv2.GaussianBlur(photo.pixels, (0, 0), 2.0))
    whole = edit(photo, alpha)
    assert whole.edit.product == "altered"
    part = edit(photo, alpha, backdrop_only=True)
    assert (part.edit.product, part.edit.changed) == ("untouched", 0)
    assert (part.photo.pixels != photo.pixels).any()
    with pytest.raises(InvalidInput, match="needs the product's mask"):
        edit(photo, backdrop_only=True)


def test_a_clean_picture_is_left_alone() -> None:
    photo = Photo.of(np.full((90, 90, 3), 128, dtype=np.uint8))
    made = denoise(photo, np.full((90, 90), 255, dtype=np.uint8))
    assert (made.edit.product, made.edit.changed) == ("untouched", 0)


def test_noise_is_not_sharpened() -> None:
    noisy = np.random.default_rng(0).normal(128, 12, (200, 200, 3)).astype(np.uint8)
    with pytest.raises(InvalidInput, match="denoise first"):
        restore(Photo.of(noisy))


def test_a_blemish_goes_and_nothing_else(shirt: Photo) -> None:
    clean = small(shirt)
    spoiled = clean.copy()
    area = np.zeros(clean.shape[:2], dtype=bool)
    area[30:42, 25:40] = True
    spoiled[area] = (255, 0, 0)
    alpha = np.zeros(clean.shape[:2], dtype=np.uint8)
    alpha[100:, 100:] = 255
    made = inpaint(Photo.of(spoiled), area, alpha)
    np.testing.assert_array_equal(made.photo.pixels[~area], spoiled[~area])
    assert psnr(made.photo.pixels[area], clean[area]) > 24
    assert made.edit.product == "untouched"
    assert made.edit.source_type.endswith("algorithmicallyEnhanced")
    on_product = inpaint(Photo.of(spoiled), np.roll(area, (90, 90), (0, 1)), alpha)
    assert on_product.edit.product == "altered"
    assert inpaint(Photo.of(spoiled), area).edit.product == "altered"  # nobody knows
    assert inpaint(Photo.of(spoiled), area, alpha).edit.after == made.edit.after


def test_what_is_no_blemish_is_refused() -> None:
    photo, alpha = scene(3)
    for area in (np.zeros(alpha.shape, dtype=bool), np.ones(alpha.shape, dtype=bool)):
        with pytest.raises(InvalidInput, match="more than none and at most 5%"):
            inpaint(photo, area)
    with pytest.raises(InvalidInput, match="picture's size"):
        inpaint(photo, np.ones((3, 3), dtype=bool))
    with pytest.raises(InvalidInput, match="blur=9"):
        restore(photo, blur=9)
    with pytest.raises(InvalidInput, match="strength=0"):
        denoise(photo, strength=0)
