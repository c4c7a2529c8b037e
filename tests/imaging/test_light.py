from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from persona_img.imaging.light import (
    CLOTH,
    LIGHTS,
    Light,
    apply_light,
    contact_shadow,
    illumination,
    to_linear,
    to_srgb,
)

UNIT = st.floats(0, 1, width=32)
EACH_LIGHT = pytest.mark.parametrize("light", LIGHTS.values(), ids=list(LIGHTS))


def product() -> np.ndarray:
    mask = np.zeros((160, 120), dtype=np.float32)
    mask[50:110, 40:80] = 1
    return mask


@EACH_LIGHT
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_light_stays_in_its_range(light: Light, seed: int | None) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    factor = illumination(product(), light, rng)
    assert factor.shape == (160, 120, 3)
    assert factor.dtype == np.float32
    assert 0.1 < factor.min() < 0.95
    assert 0.9 < factor.max() < 1.35


@EACH_LIGHT
def test_the_product_throws_a_shadow_to_the_lower_right(light: Light) -> None:
    mask = product()
    light = replace(light, panes=False)  # bars keep away from the product, which is another matter
    lost = illumination(np.zeros_like(mask), light) - illumination(mask, light)
    assert lost.min() > -1e-5
    below = lost[110:116, 45:75].mean()
    assert below > 0.01
    assert below > lost[44:50, 45:75].mean()
    assert lost[80, -1].max() < 0.25 * below


@EACH_LIGHT
def test_what_is_thicker_throws_a_longer_and_softer_shadow(light: Light) -> None:
    thin, thick = light.over(CLOTH), light.over(2 * CLOTH)
    assert np.allclose(thick.shadow_offset, 2 * np.array(thin.shadow_offset))
    assert thick.shadow_blur > thin.shadow_blur
    assert thin.shadow_offset == light.shadow_offset
    highest = light.over(10.0)
    assert np.hypot(*highest.shadow_offset) < 0.11
    lowest = light.over(1e-9)
    assert lowest.shadow_blur > 0.002
    assert np.hypot(*lowest.shadow_offset) > 0


def test_light_from_the_side_falls_off_across_the_picture_and_no_other_does() -> None:
    nothing = np.zeros((90, 120), dtype=np.float32)
    ratio = {}
    for name, light in LIGHTS.items():
        if not light.panes:
            factor = illumination(nothing, light)[..., 1]
            ratio[name] = factor[:, :8].mean() / factor[:, -8:].mean()
    assert ratio["side"] > 1.4
    assert max(ratio["soft"], ratio["sun"]) < 1.1


@EACH_LIGHT
def test_the_exact_light_is_always_the_same_and_a_seed_names_a_jitter(light: Light) -> None:
    mask = product()
    np.testing.assert_array_equal(illumination(mask, light), illumination(mask, light))
    one, two, other = (illumination(mask, light, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 1e-3


def test_a_windows_bars_keep_away_from_the_product_that_does_not_show_them() -> None:
    mask = product()
    places = [
        illumination(mask, LIGHTS["window"], panes=np.random.default_rng(seed)) for seed in range(9)
    ]
    moved = (np.max(places, axis=0) - np.min(places, axis=0))[..., 1]
    at_the_outline = cv2.dilate(mask, np.ones((5, 5), np.uint8)) > mask
    assert moved[at_the_outline].max() < 0.04
    for place in places:  # it lies in one pane, and every window shows where that ends
        beside = place[..., 1][mask == 0]
        assert (beside < 0.8 * beside.max()).mean() > 0.1


@EACH_LIGHT
def test_the_contact_shadow_is_darkest_at_the_product(light: Light) -> None:
    mask = product()
    factor = contact_shadow(mask, light)
    assert factor.shape == mask.shape
    assert (factor > 0.5).all()
    assert (factor <= 1).all()
    outside = np.where(mask == 0, factor, np.inf)
    y, x = np.unravel_index(outside.argmin(), outside.shape)
    assert 49 <= y <= 110
    assert 39 <= x <= 80
    away = factor[110:, 60]  # straight down from its lower edge
    assert (np.diff(away) >= -1e-6).all()
    assert away[0] < 0.9
    assert away[-1] > 0.999


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (4, 5, 3), elements=UNIT))
def test_linear_light_and_srgb_are_inverse(rgb: np.ndarray) -> None:
    np.testing.assert_allclose(to_srgb(to_linear(rgb)), rgb, atol=2e-5)
    np.testing.assert_allclose(to_linear(to_srgb(rgb)), rgb, atol=2e-5)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (4, 5, 3), elements=UNIT), st.floats(0, 4, width=32))
def test_lit_colours_are_colours(rgb: np.ndarray, factor: float) -> None:
    lit = apply_light(rgb, np.float32(factor) * np.ones_like(rgb))
    assert (lit >= 0).all()
    assert (lit <= 1 + 1e-6).all()
    if factor >= 1:
        assert (lit >= rgb - 2e-5).all()
    else:
        assert (lit <= rgb + 2e-5).all()


def test_a_cord_casts_a_shorter_shade_than_a_cushion() -> None:
    """What is narrow is low: the outline alone, moved away, would let a tag hover."""
    mask = np.zeros((200, 200), np.float32)
    mask[40:160, 40:100] = 1.0
    mask[98:102, 140:180] = 1.0
    light = replace(LIGHTS["sun"], shadow_offset=(0.0, 0.08), shadow_blur=0.0005, gradient=0.0)
    shade = illumination(mask, light).mean(axis=2)
    lit = float(np.median(shade[180:, 100:130]))
    under_cushion = int((shade[160:, 70] < 0.9 * lit).sum())
    under_cord = int((shade[102:160, 160] < 0.9 * lit).sum())
    assert 13 <= under_cushion <= 18  # as a card in the air would throw: 16
    assert 0 < under_cord < 0.7 * under_cushion
