from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.scenery.lens import defocused, focused_at


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 40), st.floats(0, 3))
def test_an_even_picture_keeps_its_light(radius: float, level: float) -> None:
    picture = np.full((64, 80, 3), level, np.float32)
    np.testing.assert_allclose(defocused(picture, radius), picture, rtol=1e-4, atol=1e-5)
    rows = np.linspace(0, radius, 64, dtype=np.float32)
    np.testing.assert_allclose(focused_at(picture, rows), picture, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("radius", [2.0, 5.0, 9.0, 24.0])
def test_a_point_becomes_a_disc_of_that_radius(radius: float) -> None:
    side = 129
    point = np.zeros((side, side), np.float32)
    point[64, 64] = 1.0
    made = defocused(point, radius)
    assert float(made.sum()) == pytest.approx(1.0, abs=0.03)
    away = np.hypot(*np.mgrid[-64:65, -64:65])
    soft = 1.0 + 0.12 * radius  # a large disc is made on fewer pixels
    assert np.abs(made[away > radius + 2 * soft]).max() < 0.02 * made.max()
    inside = made[away < radius - 2 * soft]
    if inside.size > 1:  # even, with an edge: no fog
        assert inside.min() > 0.85 * inside.max()
    assert (made > 0.5 * made.max()).sum() == pytest.approx(np.pi * radius**2, rel=0.35)


def test_what_is_nearly_in_focus_is_not_touched() -> None:
    picture = np.random.default_rng(0).random((32, 32, 3), np.float32)
    assert defocused(picture, 0.39) is picture
    assert focused_at(picture, np.full(32, 0.3, np.float32)) is picture


@pytest.mark.parametrize("radius", [0.8, 1.36, 2.312])
def test_rows_out_of_focus_by_the_same_are_as_the_whole_picture(radius: float) -> None:
    picture = np.random.default_rng(1).random((48, 40, 3), np.float32)
    made = focused_at(picture, np.full(48, radius, np.float32))
    np.testing.assert_allclose(made, defocused(picture, radius), atol=1e-4)


def test_each_row_is_as_soft_as_it_is_asked_to_be() -> None:
    picture = np.random.default_rng(2).random((90, 60, 3), np.float32)
    radius = np.r_[np.zeros(30), np.linspace(0, 6, 30), np.full(30, 6.0)].astype(np.float32)
    made = focused_at(picture, radius)
    np.testing.assert_array_equal(made[:30], picture[:30])
    spread = made.std(axis=(1, 2))
    assert spread[30:34].mean() > 1.5 * spread[45:51].mean()
    assert spread[45:51].mean() > 1.2 * spread[66:80].mean()


def test_a_row_gets_the_light_of_its_sharper_neighbours_too() -> None:
    picture = np.random.default_rng(3).random((60, 40, 3), np.float32)
    radius = np.r_[np.zeros(30), np.full(30, 2.312)].astype(np.float32)
    made = focused_at(picture, radius)
    np.testing.assert_allclose(made[30:], defocused(picture, 2.312)[30:], atol=1e-4)
