from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.scenery.camera import FOCAL, Camera

CAMERAS = st.builds(
    Camera,
    height=st.integers(60, 200),
    width=st.integers(60, 200),
    x=st.floats(20, 100),
    y=st.floats(40, 160),
    per_cm=st.floats(0.5, 20),
    pitch=st.floats(5, 38),
)
BOX = Camera(120, 100, x=48.0, y=90.0, per_cm=3.0, pitch=12.0)


@settings(max_examples=60, deadline=None)
@given(CAMERAS, st.floats(-0.4, 5.0))
def test_a_row_of_the_floor_and_its_depth_are_each_others_inverse(
    camera: Camera, away: float
) -> None:
    depth = away * camera.away
    row = camera.row_of(depth)
    assert row > camera.horizon
    assert camera.depth_at(row) == pytest.approx(depth, rel=1e-4, abs=1e-4 * camera.away)
    assert camera.row_of(0.0) == camera.y
    assert camera.row_of(depth + 1) < row  # what is further off is higher


@settings(max_examples=40, deadline=None)
@given(CAMERAS)
def test_the_horizon_is_where_the_floor_ends(camera: Camera) -> None:
    assert camera.row_of(1e7 * camera.away) == pytest.approx(camera.horizon, abs=0.01)
    _, _, seen = camera.floor()
    rows = np.arange(camera.height)
    away = np.abs(rows - camera.horizon) > 1.0 + 0.002 * camera.focal
    assert (seen[away] == (rows > camera.horizon)[away, None]).all()


@settings(max_examples=40, deadline=None)
@given(CAMERAS)
def test_the_floor_seen_by_a_pixel_is_at_the_depth_of_its_row(camera: Camera) -> None:
    x, z, _ = camera.floor()
    low = [r for r in range(camera.height) if r > camera.horizon + 0.1 * camera.focal]
    for row in low[:: max(1, len(low) // 5)]:
        depth = camera.depth_at(float(row))
        np.testing.assert_allclose(z[row], depth, rtol=2e-3, atol=2e-3 * camera.away)
        # On the floor of its base a centimetre is as wide as the product's own, nearer it is wider.
        step = x[row, 1] - x[row, 0]
        wide = (camera.away + depth * np.cos(np.radians(camera.pitch))) / camera.focal
        assert step == pytest.approx(wide, rel=2e-3)


@settings(max_examples=40, deadline=None)
@given(CAMERAS)
def test_points_of_the_products_plane_are_seen_where_their_rays_start(camera: Camera) -> None:
    columns, rows = camera.pixel(*camera.wall(0.0))
    mesh = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    np.testing.assert_allclose(columns, mesh[0], atol=0.05)
    np.testing.assert_allclose(rows, mesh[1], atol=0.05)


def test_a_wall_meets_the_floor_in_the_row_of_its_depth() -> None:
    depth = 20.0
    x, y = BOX.wall(depth)
    floor = BOX.floor()
    row = round(BOX.row_of(depth))
    assert abs(float(y[row].mean())) < abs(float(y[row + 1].mean() - y[row].mean()))
    assert (y[: row - 1] > 0).all()
    assert (y[row + 2 :] < 0).all()
    np.testing.assert_allclose(x[row], floor[0][row], rtol=0.02, atol=0.02)


def test_a_raised_floor_is_seen_higher_and_the_base_is_the_axis() -> None:
    x, z, _ = BOX.floor()
    assert abs(float(x[90, 48])) < 1e-4
    assert abs(float(z[90, 48])) < 1e-3 * BOX.away
    _, below, _ = BOX.floor(-5.0)
    assert float(below[95, 48]) > float(z[95, 48])
    assert BOX.focal == FOCAL * 120
    assert BOX.away == pytest.approx(BOX.focal / 3.0)


def test_another_size_is_the_same_view() -> None:
    twice = BOX.scaled(240, 200)
    for depth in (-20.0, 0.0, 30.0):
        assert twice.row_of(depth) == pytest.approx(2 * BOX.row_of(depth))
    assert twice.away == pytest.approx(BOX.away)
    np.testing.assert_allclose(twice.wall(7.0)[1][::2, ::2], BOX.wall(7.0)[1], rtol=1e-4, atol=1e-3)
