from __future__ import annotations

import cv2
import numpy as np
import pytest

from persona_img.errors import NotEnoughData
from persona_img.imaging.distance import backdrop_patches, sliced_wasserstein


def levels(
    colour: tuple[int, int, int], grain: float, seed: int, product: int = 0
) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    picture = np.array(colour) + rng.normal(0, grain, (200, 160, 1))
    alpha = np.zeros((200, 160), np.uint8)
    alpha[60:140, 40:120] = 255
    picture[alpha > 0] = product
    return backdrop_patches(np.clip(picture, 0, 255).astype(np.uint8), alpha, 200, rng, side=200)


BEIGE, GREEN = (190, 175, 150), (150, 180, 150)


def test_patches_are_of_three_octaves_and_of_backdrop_only() -> None:
    found = levels(BEIGE, 0, 1, product=0)
    assert [p.shape for p in found] == [(200, 147)] * 3
    assert found[0].std() < 1e-3, "the black product is in no patch"


@pytest.mark.slow
def test_other_colours_and_other_grain_are_further_than_another_draw() -> None:
    real = [levels(BEIGE, 6, s) for s in range(4)]
    again = sliced_wasserstein([levels(BEIGE, 6, s + 9) for s in range(4)], real)
    assert sliced_wasserstein(real, real) == 0
    assert again < 0.15
    assert sliced_wasserstein([levels(GREEN, 6, s) for s in range(4)], real) > 5 * again
    assert sliced_wasserstein([levels(BEIGE, 1, s) for s in range(4)], real) > 3 * again


def test_what_a_small_picture_cannot_show_is_seen_at_full_size() -> None:
    alpha = np.zeros((1200, 1000), np.uint8)
    alpha[400:800, 300:700] = 255
    noise = np.random.default_rng(0).normal(0, 12, (1200, 1000, 1)).astype(np.float32)
    sharp = np.clip(np.array(BEIGE) + noise, 0, 255).astype(np.uint8)
    third = cv2.resize(sharp, None, fx=1 / 3, fy=1 / 3, interpolation=cv2.INTER_AREA)
    soft = cv2.resize(third, (1000, 1200), interpolation=cv2.INTER_CUBIC)
    apart = {}
    for side in (256, None):
        one, two, other = (
            [backdrop_patches(x, alpha, 200, np.random.default_rng(seed), side=side)]
            for x, seed in ((sharp, 1), (sharp, 2), (soft, 3))
        )
        apart[side] = sliced_wasserstein(other, one) / sliced_wasserstein(two, one)
    assert apart[None] > 3
    assert apart[256] < 2


def test_without_backdrop_there_is_no_distance() -> None:
    full = np.full((80, 80), 255, np.uint8)
    nothing = backdrop_patches(np.zeros((80, 80, 3), np.uint8), full, 9, np.random.default_rng(0))
    assert all(len(p) == 0 for p in nothing)
    with pytest.raises(NotEnoughData, match="no patch"):
        sliced_wasserstein([nothing], [levels(BEIGE, 6, 1)])
    with pytest.raises(NotEnoughData, match="no patch"):
        sliced_wasserstein([levels(BEIGE, 6, 1)], [])
