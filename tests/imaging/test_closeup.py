from __future__ import annotations

import cv2
import numpy as np
import pytest

from persona_img.imaging.closeup import closeup_features

BANDS, GRAIN = 61, 51  # how many numbers are of those, the last ones
LENGTH = 74 + BANDS + GRAIN


def sheet(
    height: int = 480, width: int = 400, *, grain: float = 6.0, sigma: float = 0.0, seed: int = 0
) -> np.ndarray:
    """A grey sheet with grain that is blurred and brought back to its contrast."""
    noise = np.random.default_rng(seed).normal(0, 1, (height, width)).astype(np.float32)
    if sigma:
        noise = cv2.GaussianBlur(noise, (0, 0), sigma)
        noise /= noise.std()
    grey = np.clip(150 + grain * noise, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def disc(height: int = 480, width: int = 400) -> np.ndarray:
    alpha = np.zeros((height, width), np.uint8)
    cv2.circle(alpha, (width // 2, height // 2), width // 5, 255, -1)
    return alpha


def test_they_are_always_as_many_and_the_product_is_in_none() -> None:
    alpha, red, blue = disc(), sheet(), sheet()
    red[alpha > 0], blue[alpha > 0] = (255, 0, 0), (0, 0, 255)
    found = closeup_features(red, alpha)
    assert found.shape == (LENGTH,)
    assert np.isfinite(found).all()
    assert np.abs(found - closeup_features(blue, alpha)).max() < 0.05


def test_grain_that_a_small_picture_does_not_keep_is_seen_at_full_size() -> None:
    alpha = disc(960, 800)
    fine, coarse = sheet(960, 800, seed=1), sheet(960, 800, sigma=1.2, seed=1)
    small = [cv2.resize(x, (200, 240), interpolation=cv2.INTER_AREA) for x in (fine, coarse)]
    assert abs(float(small[0].std()) - float(small[1].std())) < 3.0
    difference = closeup_features(fine, alpha) - closeup_features(coarse, alpha)
    assert difference[-GRAIN:][5] > 0.5, "the finest octave's contrast, a logarithm"


def test_bands_tell_a_wall_from_a_table() -> None:
    plain = closeup_features(sheet(), disc())
    scene = sheet()
    scene[:240] = 230
    bands = (closeup_features(scene, disc()) - plain)[-GRAIN - BANDS : -GRAIN]
    assert np.abs(bands).max() > 10


def test_a_small_picture_is_judged_by_smaller_blocks_and_a_full_one_not_at_all() -> None:
    alpha = disc(120, 110)
    assert np.isfinite(closeup_features(sheet(120, 110), alpha)).all()
    for full in (np.full((120, 110), 255, np.uint8), np.full((24, 24), 0, np.uint8)):
        found = closeup_features(sheet(*full.shape), full)
        assert found.shape == (LENGTH,)
        assert np.isnan(found).all()


@pytest.mark.parametrize("side", [300, 1200])
def test_the_size_of_the_canvas_is_among_them(side: int) -> None:
    found = closeup_features(sheet(side, side), disc(side, side))
    assert found[-1] == pytest.approx(np.log2(side))
