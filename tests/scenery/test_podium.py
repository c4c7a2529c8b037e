from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.scenery.camera import Camera
from persona_img.scenery.podium import Drum, Sweep

CAMERA = Camera(240, 240, x=120.0, y=150.0, per_cm=5.0, pitch=12.0)
DRUM = Drum(radius=12.0, tall=8.0, z=4.0)


def seen_at(x: float, y: float, z: float) -> tuple[float, float]:
    """Column and row of a point, by the pinhole's own law."""
    pitch = np.radians(CAMERA.pitch)
    high, back = CAMERA.place
    right, up, on = x, y - high, z - back
    deep = on * np.cos(pitch) - up * np.sin(pitch)
    above = up * np.cos(pitch) + on * np.sin(pitch)
    return CAMERA.x + CAMERA.focal * right / deep, CAMERA.y - CAMERA.focal * above / deep


@pytest.mark.parametrize("angle", np.linspace(0, 2 * np.pi, 12, endpoint=False))
def test_the_lid_ends_where_its_rim_is_seen(angle: float) -> None:
    rim = DRUM.radius * np.sin(angle), DRUM.z - DRUM.radius * np.cos(angle)
    lid = DRUM.lid(CAMERA)
    for share, wanted in ((0.85, 1.0), (1.15, 0.0)):
        column, row = seen_at(share * rim[0], 0.0, DRUM.z + share * (rim[1] - DRUM.z))
        assert lid[round(row), round(column)] == wanted


def test_the_side_is_below_the_lids_front_rim_and_as_wide() -> None:
    share, angle, y = DRUM.side(CAMERA)
    lid = DRUM.lid(CAMERA)
    column, row = seen_at(0.0, -4.0, DRUM.z - DRUM.radius)
    assert share[round(row), round(column)] == 1.0
    assert abs(angle[round(row), round(column)]) < 0.02
    assert y[round(row), round(column)] == pytest.approx(-4.0, abs=0.15)
    assert (share * lid).max() <= 0.5 + 1e-6  # only at their common edge
    wide = [np.flatnonzero((part > 0.5).any(axis=0)) for part in (share, lid)]
    assert abs(np.ptp(wide[0]) - np.ptp(wide[1])) <= 2


@given(angle=st.floats(-1.3, 1.3), y=st.floats(-7.5, -0.5))
def test_a_point_of_the_side_is_found_at_its_angle_and_height(angle: float, y: float) -> None:
    x, z = DRUM.radius * np.sin(angle), DRUM.z - DRUM.radius * np.cos(angle)
    column, row = seen_at(x, y, z)
    share, angles, heights = DRUM.side(CAMERA)
    at = round(row), round(column)
    assert share[at] > 0.4
    assert abs(angles[at] - angle) * DRUM.radius * np.cos(angle) < 0.3  # cm, a pixel and a half
    assert abs(heights[at] - y) < 0.3


def test_its_normals_turn_from_the_side_to_the_lid() -> None:
    angle = np.array([[0.0, 0.7, -1.2]], np.float32)
    for y, up in ((-7.0, 0.0), (0.0, 0.9)):
        normal = DRUM.normal(angle, np.full_like(angle, y))
        np.testing.assert_allclose(sum(n * n for n in normal), 1.0, atol=1e-5)
        assert (normal[1] >= up - 1e-3).all()
    assert normal[0][0, 1] > 0 > normal[0][0, 2]


def points(*rows: tuple[float, float, float]) -> tuple[np.ndarray, ...]:
    return tuple(np.array([list(v)], np.float32) for v in zip(*rows, strict=True))


def test_it_hides_the_light_from_what_lies_beyond_it() -> None:
    low_left = -0.8, 0.6, 0.0  # toward the lamp
    right, far_right, left, before = (20, -8, 4), (40, -8, 4), (-20, -8, 4), (0, -8, -30)
    hidden = DRUM.hides(points(right, far_right, left, before), low_left)
    np.testing.assert_array_equal(hidden, [[1, 0, 0, 0]])
    overhead = DRUM.hides(points(right, left), (0.0, 1.0, 0.0))
    np.testing.assert_array_equal(overhead, [[0, 0]])


@given(angle=st.floats(-3.1, 3.1), share=st.floats(0.0, 1.0))
def test_points_under_it_are_lit_as_those_at_its_foot(angle: float, share: float) -> None:
    toward = -0.6, 0.7, -0.3
    one = DRUM.radius * np.sin(angle), -8.0, DRUM.z - DRUM.radius * np.cos(angle)
    other = max(share, 0.01) * one[0], -8.0, DRUM.z + max(share, 0.01) * (one[2] - DRUM.z)
    foot, under = points(one), points(other)
    for light in (DRUM.open_sky, DRUM.contact):
        np.testing.assert_allclose(light(foot), light(under), atol=0.02)
    assert DRUM.hides(foot, toward) == DRUM.hides(under, toward)


def test_the_further_from_it_the_lighter() -> None:
    away = points(*((x, -8.0, DRUM.z) for x in (12.1, 14, 20, 40, 400)))
    for light in (DRUM.open_sky(away), DRUM.contact(away)):
        assert (np.diff(light) >= 0).all()
        assert light[0, 0] < 0.65
        assert light[0, -1] > 0.98


def test_paper_is_floor_then_bends_then_is_a_wall_without_an_edge() -> None:
    sweep = Sweep(level=-8.0, begins=20.0, bend=30.0)
    (x, y, z), rise = sweep.seen(CAMERA)
    column = x.shape[1] // 2
    floor, wall = rise[:, column] == 1, rise[:, column] == 0
    assert floor[-1]
    assert wall[0]
    np.testing.assert_allclose(y[floor, column], -8.0)
    assert z[floor, column].max() <= 20.0
    np.testing.assert_allclose(z[wall, column], 50.0)
    bend = ~floor & ~wall
    assert bend.sum() > 5
    circle = np.hypot(y[bend, column] - 22.0, z[bend, column] - 20.0)
    np.testing.assert_allclose(circle, 30.0, rtol=1e-3)
    assert (np.diff(rise[:, column]) >= 0).all()
    for part in (y, z):
        assert np.abs(np.diff(part[:, column])).max() < 4.0  # cm a row: no tear
