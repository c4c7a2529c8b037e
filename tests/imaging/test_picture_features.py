from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.imaging.picture_features import FEATURES, picture_features

SIZE = 200


def disc(size: int = SIZE, radius: float = 0.2) -> np.ndarray:
    alpha = np.zeros((size, size), np.uint8)
    cv2.circle(alpha, (size // 2, size // 2), round(radius * size), 255, -1)
    return alpha


def pictured(backdrop: np.ndarray, product=(30, 60, 120), alpha: np.ndarray | None = None):
    """A disc of a colour on a backdrop."""
    alpha = disc(len(backdrop)) if alpha is None else alpha
    pixels = backdrop.astype(np.uint8).copy()
    pixels[alpha > 0] = product
    return pixels, alpha


def even(colour, size: int = SIZE) -> np.ndarray:
    return np.broadcast_to(np.array(colour, dtype=np.uint8), (size, size, 3)).copy()


def measured(*args, **kwargs) -> dict[str, float]:
    return dict(zip(FEATURES, picture_features(*pictured(*args, **kwargs)).tolist(), strict=True))


def test_an_even_grey_backdrop_is_all_noughts_but_its_lightness():
    found = measured(even((119, 119, 119)))
    assert found["lightness"] == pytest.approx(50.0, abs=0.3)
    for name in ("contrast", "slope", "chroma", "warmth", "grain", "fineness", "shadow"):
        assert found[name] == pytest.approx(0.0, abs=0.05), name
    assert found["share"] == pytest.approx(np.pi * 0.2**2, rel=0.02)


def test_yellow_is_warm_and_blue_is_not():
    assert measured(even((220, 200, 120)))["warmth"] > 20
    assert measured(even((120, 150, 220)))["warmth"] < -20
    assert measured(even((120, 150, 220)))["chroma"] > 20


def test_a_product_of_the_backdrops_colour_is_not_apart():
    assert measured(even((30, 60, 120)))["apart"] == pytest.approx(0.0, abs=1e-3)
    assert measured(even((240, 240, 240)))["apart"] > 50


def test_light_that_falls_off_is_a_slope_and_not_grain():
    ramp = np.linspace(150, 220, SIZE)[None, :, None] + np.zeros((SIZE, 1, 3))
    found = measured(ramp)
    assert found["slope"] > 15
    assert found["grain"] < 0.5


def test_what_is_blurred_is_less_fine_and_less_grained():
    rng = np.random.default_rng(0)
    noise = np.clip(150 + 20 * rng.standard_normal((SIZE, SIZE, 1)), 0, 255).repeat(3, axis=2)
    sharp, soft = measured(noise), measured(cv2.GaussianBlur(noise, (0, 0), 1.5))
    assert sharp["fineness"] > soft["fineness"] + 1
    assert sharp["grain"] > 2 * soft["grain"]


def test_a_shadow_beside_the_product_is_measured_in_light():
    lit = even((200, 200, 200))
    shaded = lit.copy()
    near = cv2.dilate(disc(), np.ones((31, 31), np.uint8)) > 0
    shaded[near] = 140
    assert measured(lit)["shadow"] == pytest.approx(0.0, abs=1e-6)
    light = ((np.array([140, 200]) / 255 + 0.055) / 1.055) ** 2.4
    assert measured(shaded)["shadow"] == pytest.approx(1 - light[0] / light[1], abs=0.03)


def test_without_backdrop_or_product_nothing_is_said():
    whole = even((90, 90, 90))
    for alpha in (np.zeros((SIZE, SIZE), np.uint8), np.full((SIZE, SIZE), 255, np.uint8)):
        assert np.isnan(picture_features(whole, alpha)).all()


def test_a_larger_picture_of_the_same_says_nearly_the_same():
    rng = np.random.default_rng(1)
    small = cv2.GaussianBlur(rng.uniform(80, 220, (400, 400, 3)), (0, 0), 6)
    large = cv2.resize(small, (1200, 1200), interpolation=cv2.INTER_CUBIC)
    one, other = (picture_features(*pictured(p, alpha=disc(len(p)))) for p in (small, large))
    names = list(FEATURES)
    for name in ("lightness", "contrast", "slope", "chroma", "warmth", "apart", "shadow", "share"):
        at = names.index(name)
        assert one[at] == pytest.approx(other[at], rel=0.05, abs=0.5), name


@settings(max_examples=25, deadline=None)
@given(
    colours=st.lists(st.integers(0, 255), min_size=6, max_size=6),
    size=st.integers(40, 500),
    radius=st.floats(0.12, 0.4),
)
def test_mirrored_it_measures_the_same_and_twice_the_same(colours, size, radius):
    rng = np.random.default_rng(size)
    backdrop = np.clip(np.array(colours[:3]) + rng.normal(0, 10, (size, size, 1)), 0, 255)
    pixels, alpha = pictured(backdrop, colours[3:], disc(size, radius))
    found = picture_features(pixels, alpha)
    assert found.dtype == np.float64
    assert found.shape == (len(FEATURES),)
    assert np.array_equal(found, picture_features(pixels, alpha))
    mirrored = picture_features(
        np.ascontiguousarray(pixels[:, ::-1]), np.ascontiguousarray(alpha[:, ::-1])
    )
    assert found == pytest.approx(mirrored, rel=1e-3, abs=0.02)
