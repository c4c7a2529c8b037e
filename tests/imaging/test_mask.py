from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from persona_img.imaging.mask import MaskSettings, ProductMask, cut_out, supplied
from persona_img.imaging.photo import load_photo

PHOTOS = sorted((Path(__file__).parents[1] / "data" / "photos").glob("*.jpg"))


def square(side: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """A red square on noisy light grey, and where it is."""
    rng = np.random.default_rng(0)
    photo = np.full((side, side + 40, 3), 205.0)
    product = np.zeros(photo.shape[:2], dtype=bool)
    product[50:110, 60:130] = True
    photo[product] = (170, 40, 45)
    photo += rng.normal(0, 2.0, photo.shape)
    return np.clip(photo, 0, 255).astype(np.uint8), product


@cache
def cut(path: Path) -> ProductMask:
    return cut_out(load_photo(path).pixels)


def test_a_square_is_cut_out_to_a_pixel_or_two() -> None:
    photo, product = square()
    mask = cut_out(photo)
    found = mask.alpha >= 128
    assert (found & product).sum() / (found | product).sum() > 0.95
    assert (mask.alpha[56:104, 66:124] == 255).all()
    assert (mask.alpha[:40] == 0).all()
    assert mask.confidence > 0.8


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_real_photos_are_cut_out_with_confidence(path: Path) -> None:
    mask = cut(path)
    assert mask.alpha.dtype == np.uint8
    assert mask.alpha.shape == load_photo(path).pixels.shape[:2]
    assert mask.source == "classic"
    assert mask.confidence == min(mask.checks.values())
    assert all(0 <= score <= 1 for score in mask.checks.values())
    assert mask.confidence >= MaskSettings().min_confidence
    assert 0.05 < (mask.alpha == 255).mean() < 0.85


def test_the_same_photo_is_cut_the_same_way() -> None:
    again = cut_out(load_photo(PHOTOS[0]).pixels)
    np.testing.assert_array_equal(again.alpha, cut(PHOTOS[0]).alpha)
    assert again.checks == cut(PHOTOS[0]).checks


@pytest.mark.parametrize("shape", [(64, 64), (70, 240), (200, 90)])
def test_a_blank_photo_has_no_confidence(shape: tuple[int, int]) -> None:
    mask = cut_out(np.full((*shape, 3), 180, dtype=np.uint8))
    assert mask.alpha.shape == shape
    assert mask.confidence < 0.2


def test_noise_without_a_product_has_low_confidence() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (120, 120, 3), dtype=np.uint8)
    assert cut_out(noise).confidence < MaskSettings().min_confidence


def test_a_supplied_mask_is_trusted() -> None:
    alpha = np.eye(64, dtype=np.uint8) * 255
    mask = supplied(alpha)
    assert mask.alpha is alpha
    assert (mask.confidence, mask.source) == (1.0, "supplied")
