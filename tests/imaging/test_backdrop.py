from __future__ import annotations

import numpy as np
import pytest

from persona_img.imaging.backdrop import backdrop_features, without_product


def test_the_product_is_filled_with_the_backdrop_beside_it() -> None:
    picture = np.full((80, 80, 3), 0.3, np.float32)
    picture[:, 40:] = 0.7
    mask = np.zeros((80, 80), np.float32)
    mask[20:60, 20:60] = 1
    picture[mask > 0] = (1, 0, 0)
    filled = without_product(picture, mask)
    assert filled[40, 21] == pytest.approx([0.3] * 3, abs=0.02)
    assert filled[40, 58] == pytest.approx([0.7] * 3, abs=0.02)
    assert filled[mask > 0].min() > 0.25
    assert filled[mask > 0].max() < 0.75
    assert (filled[:10] == picture[:10]).all()


def sheet(colour: tuple[int, int, int], grain: float = 4.0) -> np.ndarray:
    rng = np.random.default_rng(3)
    plane = np.array(colour) + rng.normal(0, grain, (300, 240, 1))
    return np.clip(plane, 0, 255).astype(np.uint8)


def box(share: float = 0.3) -> np.ndarray:
    alpha = np.zeros((300, 240), np.uint8)
    alpha[int(150 - 150 * share) : int(150 + 150 * share), 70:170] = 255
    return alpha


def test_the_products_own_colours_do_not_count() -> None:
    alpha, picture = box(), sheet((180, 170, 150))
    red, blue = picture.copy(), picture.copy()
    red[alpha > 0], blue[alpha > 0] = (200, 10, 10), (10, 10, 200)
    assert np.abs(backdrop_features(red, alpha) - backdrop_features(blue, alpha)).max() < 0.05


def test_colour_grain_and_shadow_each_move_the_numbers() -> None:
    alpha = box()
    plain = backdrop_features(sheet((180, 170, 150)), alpha)
    assert np.isfinite(plain).all()
    shade = np.ones((300, 240, 1))
    shade[box(0.36) > 0] = 0.6
    others = (
        sheet((150, 170, 180)),
        sheet((180, 170, 150), grain=16),
        (sheet((180, 170, 150)) * shade).astype(np.uint8),
    )
    for other in others:
        assert np.abs(backdrop_features(other, alpha) - plain).max() > 1


def test_without_backdrop_the_numbers_are_undefined() -> None:
    alpha = np.full((300, 240), 255, np.uint8)
    alpha[:2] = 0
    assert np.isnan(backdrop_features(sheet((180, 170, 150)), alpha)).all()
