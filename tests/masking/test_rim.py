from __future__ import annotations

import cv2
import numpy as np
import pytest

from persona_img.masking.rim import judged_by_colours

FLOOR, PRODUCT = (190, 185, 175), (40, 70, 150)


def scene(shade: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A blue box on a light floor, with a strip of shaded floor four pixels wide below it."""
    truth = np.zeros((160, 120), np.uint8)
    truth[40:120, 30:90] = 1
    photo = np.where(truth[..., None] > 0, PRODUCT, FLOOR).astype(np.float64)
    photo[120:124, 30:90] = np.array(FLOOR) * shade
    photo += np.random.default_rng(3).normal(0, 2, photo.shape)
    return np.clip(photo, 0, 255).astype(np.uint8), truth


def as_chance(binary: np.ndarray) -> np.ndarray:
    """A network's answer: sure away from the outline, less so beside it."""
    soft = cv2.GaussianBlur(binary.astype(np.float32), (0, 0), 2.5)
    return np.clip(soft, 0.04, 0.96).astype(np.float32)


@pytest.mark.parametrize("shade", [1.0, 0.75, 0.6])
def test_a_strip_of_floor_in_light_or_shade_is_no_product(shade: float) -> None:
    photo, truth = scene(shade)
    kept = truth.copy()
    kept[120:124, 30:90] = 1
    found = judged_by_colours(photo, as_chance(kept), kept) > 0.5
    assert (as_chance(kept)[120:123, 36:84] > 0.5).all()
    assert not found[121:123, 36:84].any()
    assert found[100:118, 36:84].all()


def test_old_shadow_that_is_nearer_to_the_products_colour_is_floor_in_shade() -> None:
    photo, truth = scene()
    grain = np.random.default_rng(3).normal(0, 2, photo.shape)
    dark = np.where(truth[..., None] > 0, (70, 66, 62), FLOOR).astype(np.float64)
    dark[120:124, 30:90] = 0.6 * np.array(FLOOR)  # nearer to 70 than to 190
    photo = np.clip(dark + grain, 0, 255).astype(np.uint8)
    kept = truth.copy()
    kept[120:124, 30:90] = 1
    found = judged_by_colours(photo, as_chance(kept), kept) > 0.5
    assert not found[121:123, 36:84].any()
    assert found[100:118, 36:84].all()


def test_product_that_was_left_outside_comes_back() -> None:
    photo, truth = scene()
    lost = truth.copy()
    lost[116:120, 30:90] = 0
    found = judged_by_colours(photo, as_chance(lost), lost) > 0.5
    assert found[116:119, 36:84].all()


def test_what_the_network_is_sure_of_and_what_lies_far_away_stays() -> None:
    photo, truth = scene()
    kept = truth.copy()
    kept[120:124, 30:90] = 1
    sure = kept.astype(np.float32)
    found = judged_by_colours(photo, sure, kept)
    assert ((found > 0.5) == (kept > 0)).all()
    near = cv2.dilate(kept, np.ones((13, 13), np.uint8)) - cv2.erode(
        kept, np.ones((13, 13), np.uint8)
    )
    assert (found[near == 0] == sure[near == 0]).all()


@pytest.mark.parametrize("value", [0, 1])
def test_nothing_and_everything_have_no_rim(value: int) -> None:
    photo, _ = scene()
    binary = np.full(photo.shape[:2], value, np.uint8)
    chance = np.full(photo.shape[:2], 0.3, np.float32)
    assert judged_by_colours(photo, chance, binary) is chance
