from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.imaging.grain import grain_of
from persona_img.imaging.light import to_linear, to_srgb
from persona_img.rendering.enhance import Spot, completed, enlarged, grained
from persona_img.scenery.build import SceneSet
from persona_img.scenery.layer import Layer
from sets import SIZE, plan

LARGE = (2 * SIZE[0], 2 * SIZE[1])


def contrast(picture: np.ndarray) -> float:
    grey = picture.mean(axis=2)
    return float((grey - cv2.GaussianBlur(grey, (0, 0), 1.5)).std())


def copied(layer: Layer) -> Layer:
    return replace(layer, linear=layer.linear.copy())


# What was painted, on the set at the canvas's size


@pytest.fixture(scope="module")
def built() -> SceneSet:
    return SceneSet(plan("tabletop", "concrete"))


def test_a_start_that_nothing_was_painted_on_is_the_set(built: SceneSet) -> None:
    start, full = built.draw(*SIZE), built.draw(*LARGE)
    made = completed(start.srgb, start, copied(full))
    assert made.shape == (*LARGE, 3)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, full.linear, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_painters_light_is_taken_over_by_the_share_and_the_detail_stays(
    built: SceneSet, share: float
) -> None:
    start, full = built.draw(*SIZE), built.draw(*LARGE)
    wave = np.cos(np.linspace(0, 2 * np.pi, SIZE[1], dtype=np.float32))
    across = np.exp(0.25 * wave)[None, :, None].astype(np.float32)
    painted = to_srgb(start.linear * across)
    made = completed(painted, start, copied(full), share)
    wanted = cv2.resize(across.repeat(SIZE[0], axis=0), LARGE[::-1]) ** share
    inner = np.s_[20:-20, 20:-20]
    ratio = (made / np.maximum(full.linear, 1e-4)).mean(axis=2)
    assert np.abs(ratio - wanted)[inner].mean() < 0.04
    assert contrast(made[inner]) == pytest.approx(contrast(full.linear[inner]), rel=0.05)


def test_how_light_falls_off_across_the_picture_is_the_sets_own(built: SceneSet) -> None:
    start, full = built.draw(*SIZE), built.draw(*LARGE)
    slope = np.exp(np.linspace(0.25, -0.25, SIZE[1], dtype=np.float32))[None, :, None]
    made = completed(to_srgb(start.linear * slope), start, copied(full))
    ratio = (made / np.maximum(full.linear, 1e-4)).mean(axis=2)
    assert np.abs(ratio - 1)[20:-20, 20:-20].mean() < 0.04


def test_a_shadow_stays_as_dark_as_the_set_has_it() -> None:
    """A painter draws what stands in a paler shadow; around it his light is taken over."""
    made = SceneSet(plan("tabletop", "concrete", "side"))
    start, full = made.draw(*SIZE), made.draw(*LARGE)
    assert start.shade is not None
    paler = np.exp(0.1 + 0.5 * start.shade)[..., None].astype(np.float32)
    change = completed(to_srgb(start.linear * paler), start, copied(full)) / full.linear
    dark = cv2.resize(start.shade, LARGE[::-1]) > 0.3
    assert dark.sum() > 200
    around = cv2.dilate(dark.astype(np.uint8), np.ones((41, 41), np.uint8)).astype(bool) & ~dark
    assert change[dark].mean() < change[around].mean() + 0.04


def test_what_a_painter_invents_of_fine_structure_is_not_taken_over(built: SceneSet) -> None:
    start, full = built.draw(*SIZE), built.draw(*LARGE)
    noise = np.random.default_rng(0).normal(0, 0.1, (*SIZE, 1)).astype(np.float32)
    painted = np.clip(start.srgb + noise, 0, 1).astype(np.float32)
    made = completed(painted, start, copied(full))
    assert contrast(made) == pytest.approx(contrast(full.linear), rel=0.05)


def test_another_picture_is_taken_over_in_part_only(built: SceneSet) -> None:
    start, full = built.draw(*SIZE), built.draw(*LARGE)
    white = np.ones_like(start.srgb)
    made = completed(white, start, copied(full))
    change = made / np.maximum(full.linear, 1e-5)
    assert change.max() < np.exp(0.42)
    black = completed(0 * white, start, copied(full)) / np.maximum(full.linear, 1e-5)
    assert black.min() > np.exp(-0.42)


def test_what_is_far_behind_may_change_more_and_in_smaller_places() -> None:
    far = SceneSet(plan("outdoor", "concrete"))
    start, full = far.draw(*SIZE), far.draw(*LARGE)
    painted = to_srgb(start.linear * np.float32(0.45))
    change = completed(painted, start, copied(full)) / np.maximum(full.linear, 1e-4)
    behind = cv2.resize(start.far, LARGE[::-1]) > 0.99
    near = cv2.resize(start.far, LARGE[::-1]) < 0.01
    assert np.median(change[behind]) < np.median(change[near]) - 0.1


def test_the_set_at_full_size_is_changed_in_place_and_needs_no_second_canvas(
    built: SceneSet,
) -> None:
    start, full = built.draw(*SIZE), copied(built.draw(*LARGE))
    assert completed(start.srgb, start, full) is full.linear


# A plate with all its own detail


@pytest.mark.parametrize("size", [(533, 400), (288, 224), (150, 110)])
def test_an_enlarged_plate_has_the_canvas_size_and_the_plates_colours(
    size: tuple[int, int],
) -> None:
    across = np.linspace(0.8, 0.6, 224, dtype=np.float32)
    small = np.broadcast_to(across[None, :, None], (288, 224, 3)).copy()
    made = enlarged(small, size)
    assert made.shape == (*size, 3)
    assert made.dtype == np.float32
    assert made.min() >= 0
    assert made.max() <= 1
    back = cv2.resize(made, (224, 288), interpolation=cv2.INTER_AREA)
    assert np.abs(back - to_linear(small)).mean() < 0.01


# Grain


def test_the_cameras_grain_is_measured_and_added() -> None:
    rng = np.random.default_rng(0)
    sheet = np.full((240, 240, 3), 150.0)
    for sigma in (0.0, 3.0, 8.0):
        noisy = np.clip(sheet + rng.normal(0, sigma, (240, 240, 1)), 0, 255)
        assert grain_of(noisy.astype(np.uint8)) == pytest.approx(sigma, abs=0.3 + 0.15 * sigma)
    still = np.full((600, 700, 3), 0.5, np.float32)
    assert grained(still, 0.0, 1) is still
    grainy = grained(still.copy(), 2.0, 1)
    assert 255 * grainy.std() == pytest.approx(0.8 * 2.0, rel=0.05)
    assert (grainy == grained(still.copy(), 2.0, 1)).all()
    assert (grainy != grained(still.copy(), 2.0, 2)).any()
    assert 255 * grained(still.copy(), 40.0, 1).std() == pytest.approx(2.5, rel=0.05)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.floats(0, 30))
def test_grain_leaves_no_value_that_no_picture_has(seed: int, grain: float) -> None:
    picture = np.random.default_rng(seed).choice(np.float32([0, 1]), (40, 50, 3))
    made = grained(picture, grain, seed)
    assert 0 <= made.min() <= made.max() <= 1


# Where a canvas lies on a plate


@pytest.mark.parametrize(
    ("canvas", "expected"),
    [
        ((288, 224), Spot(0, 0, 288, 224)),
        ((533, 400), Spot(0, 4, 288, 216)),
        ((2000, 1000), Spot(0, 40, 288, 144)),
        ((300, 300), Spot(32, 0, 224, 224)),
    ],
)
def test_a_canvas_lies_in_the_middle_of_the_plate_unstretched(
    canvas: tuple[int, int], expected: Spot
) -> None:
    assert Spot.of(canvas, (288, 224)) == expected


def test_the_border_goes_on_beyond_the_canvas() -> None:
    picture = np.zeros((300, 300, 3), np.uint8)
    picture[0], picture[-1] = 200, 90
    spot = Spot.of((300, 300), (288, 224))
    small = spot.shrink(picture, (288, 224))
    assert small.shape == (288, 224, 3)
    assert (small[:32] == small[32]).all()
    assert (small[-32:] == small[-33]).all()
    assert spot.cut(small.astype(np.float32)).shape == (224, 224, 3)


def test_a_set_of_the_spots_size_comes_back_from_its_plate() -> None:
    spot = Spot.of((300, 300), (288, 224))
    drawn = np.random.default_rng(0).random((224, 224, 3), np.float32)
    plate = spot.around(drawn, (288, 224))
    assert plate.shape == (288, 224, 3)
    np.testing.assert_array_equal(spot.cut(plate), drawn)
    assert (plate[:32] == plate[32]).all()
