from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.imaging.light import LIGHTS
from persona_img.scenery.camera import Camera
from persona_img.scenery.shade import (
    LAMPS,
    Blocker,
    Lamp,
    clear_around,
    contact,
    far_from,
    lit,
    touching,
)

CAMERA = Camera(120, 120, x=60.0, y=80.0, per_cm=3.0, pitch=14.0)
DEPTH = 8.0
COLUMNS = slice(45, 76)  # the same to both sides of the camera's axis


def box() -> np.ndarray:
    alpha = np.zeros((120, 120), np.float32)
    alpha[44:80, COLUMNS] = 1.0
    return alpha


def floor_light(lamp: Lamp, alpha: np.ndarray | None = None) -> np.ndarray:
    x, z, _ = CAMERA.floor()
    blocker = Blocker(box() if alpha is None else alpha, CAMERA, DEPTH)
    return lit((x, 0 * x, z), False, blocker, lamp)


def test_every_light_has_a_lamp_whose_direction_is_a_direction() -> None:
    assert set(LAMPS) == set(LIGHTS)
    for name, lamp in LAMPS.items():
        assert np.linalg.norm(lamp.toward) == pytest.approx(1.0)
        assert lamp.toward[1] > 0.3  # from above
        if name == "soft":
            assert lamp.toward[1] > 0.8  # a box that hangs over the product
        else:
            assert lamp.toward[2] < 0  # from the camera's side
        assert lamp.mirrored().toward[0] == -lamp.toward[0] > 0
        assert lamp.mirrored().mirrored() == lamp


@pytest.mark.parametrize("name", sorted(LAMPS))
def test_open_floor_is_lit_whole_and_nothing_is_lit_more(name: str) -> None:
    light = floor_light(LAMPS[name])
    assert light.dtype == np.float32
    assert light.min() >= 0
    assert light.max() <= 1.0 + 1e-5
    assert light[112:, :8].min() > 0.93  # before the box, to the lamp's side
    empty = floor_light(LAMPS[name], np.zeros((120, 120), np.float32))
    np.testing.assert_allclose(empty, 1.0, atol=1e-5)


@pytest.mark.parametrize("name", sorted(LAMPS))
def test_the_shadow_falls_away_from_the_lamp(name: str) -> None:
    light = floor_light(LAMPS[name])
    base = light[72:90]
    left, right = base[:, 28:43].mean(), base[:, 78:93].mean()
    assert right < left - 0.02
    assert base[:, 77:82].min() < 0.75


@pytest.mark.parametrize("wide", [10, 31])
def test_what_stands_under_a_soft_box_is_seen_to_stand(wide: int) -> None:
    """Also of a bottle, which is narrow, a shadow is seen beside it, soft and near."""
    alpha = np.zeros((120, 120), np.float32)
    alpha[44:80, 60 - wide // 2 : 60 + wide // 2 + 1] = 1.0
    right = 60 + wide // 2 + 1
    row = floor_light(LAMPS["soft"], alpha)[76:82].min(axis=0)
    assert row[right : right + 6].max() < 0.85
    assert row[right + 30 :].min() > 0.9


@pytest.mark.parametrize("name", sorted(LAMPS))
def test_a_mirrored_lamp_mirrors_the_picture(name: str) -> None:
    here, there = floor_light(LAMPS[name]), floor_light(LAMPS[name].mirrored())
    # The samples of the lamp's disc are not mirrored with it; what they add up to is.
    assert np.abs(here[:, 1:] - there[:, :0:-1]).mean() < 0.01


def test_a_small_lamp_throws_its_shadow_far_and_a_wide_one_dissolves_it() -> None:
    sun, soft = (floor_light(LAMPS[name])[74] for name in ("sun", "soft"))
    assert sun[85:94].max() < 0.65  # still whole
    assert sun[114:].min() > 0.97  # and then at an end
    assert soft[89:].min() > 0.85
    assert soft[76:79].max() < soft[85:94].min() - 0.02


@pytest.mark.parametrize("name", sorted(set(LAMPS) - {"soft"}))
@pytest.mark.parametrize("height", [12, 36])
def test_a_shadow_is_whole_from_where_it_meets_the_product(name: str, height: int) -> None:
    alpha = np.zeros((120, 120), np.float32)
    alpha[80 - height : 80, COLUMNS] = 1.0
    beside = floor_light(LAMPS[name], alpha)[75, 77 : 77 + height // 2]
    # A lamp as wide as a window dissolves the shadow of what is low before half its height.
    wide = name != "sun" and height == 12
    assert beside[: height // 4 if wide else height // 2].max() < 0.7
    assert np.diff(beside).min() > -0.05  # nowhere darker further away


def test_before_what_stands_further_back_there_is_light() -> None:
    """The lower edge of what is turned rises to one side: there it stands further back."""
    turned = np.zeros((120, 120), np.float32)
    for column in range(45, 76):
        turned[44 : 80 - (column - 45) // 5, column] = 1.0
    light = floor_light(LAMPS["sun"], turned)
    assert light[75, 77:86].max() < 0.65
    assert light[80, 68:76].min() > 0.85  # before it, nothing


def test_a_handle_does_not_touch_the_floor_and_the_foot_does() -> None:
    alpha = box()
    alpha[52:60, 76:95] = 1.0
    lowest, touch = touching(alpha > 0.5, CAMERA, DEPTH)
    assert (lowest[COLUMNS] == 79).all()
    assert (touch[COLUMNS] == 1).all()
    assert lowest[80] == 59
    assert touch[80] == touch[10] == 0


def test_a_wall_behind_is_in_the_shadow_too_and_a_far_one_is_not() -> None:
    def on_wall(depth: float) -> np.ndarray:
        x, y = CAMERA.wall(depth)
        blocker = Blocker(box(), CAMERA, DEPTH)
        return lit((x, y, 0 * x + np.float32(depth)), True, blocker, LAMPS["side"])

    near, far = on_wall(DEPTH + 1), on_wall(600.0)
    assert near[50:90, 78:110].min() < 0.7
    assert far[:60].min() > 0.95


def test_a_body_is_round_and_its_shadow_has_no_corners() -> None:
    # Low and from the side: a slab's corners would be seen.
    low = replace(LAMPS["sun"], toward=(-0.7224, 0.6422, -0.2569), spread=0.022, ambient=0.36)
    light = floor_light(low)
    dark = light < 0.7
    widths = dark[64:84].sum(axis=1)
    widths = widths[widths > 0]
    assert widths[0] < 0.41 * widths.max()  # a slab's far edge is .44 as wide as its middle
    assert light[79, 77] < 0.65  # blunter than an ellipse, beside whose end it is light: .72
    assert light[80, 79:82].min() > 0.8  # and its near corner is dark beside the front, at .73


@given(st.floats(0.0, 30.0), st.floats(-20, 20), st.floats(-10, 40))
def test_what_is_hidden_is_a_share(y: float, x: float, z: float) -> None:
    point = tuple(np.full((1, 1), v, np.float32) for v in (x, y, z))
    blocker = Blocker(box(), CAMERA, DEPTH)
    hidden = blocker.hides(point, LAMPS["sun"].toward, (0.1, 0.5, 0.9))
    assert 0.0 <= float(hidden[0, 0]) <= 1.0
    nothing = Blocker(0 * box(), CAMERA, DEPTH).hides(point, LAMPS["sun"].toward, (0.1, 0.9))
    assert float(nothing[0, 0]) == 0.0


# Contact


def test_contact_is_darkest_at_the_base_and_nothing_far_away() -> None:
    factor = contact(box(), CAMERA, DEPTH)
    assert factor.shape == (120, 120)
    assert factor.dtype == np.float32
    assert 0 <= factor.min() < 0.5
    row, column = np.unravel_index(factor.argmin(), factor.shape)
    assert abs(int(row) - 80) <= 2  # half of the line is behind the product
    assert factor[80, 50:70].max() < 0.65
    assert 45 <= column <= 75
    assert factor[:60].min() > 0.99
    assert factor[95:].min() > 0.99
    assert factor[:, :30].min() > 0.99
    assert factor.max() <= 1.0


def test_what_is_held_above_the_floor_does_not_touch_it() -> None:
    """A handle far up casts no contact; feet of unlike length on one floor all do."""
    alpha = box()
    alpha[52:60, 76:95] = 1.0  # a handle
    factor = contact(alpha, CAMERA, DEPTH)
    assert factor[56:70, 82:95].min() > 0.99
    alpha = box()
    alpha[77:80, 45:60] = 0.0  # a foot that stands a little further back
    factor = contact(alpha, CAMERA, DEPTH)
    assert factor[76:79, 50].min() < 0.7
    assert factor[79:82, 70].min() < 0.7


def test_nothing_touches_nothing() -> None:
    empty = np.zeros((40, 40), np.float32)
    assert (contact(empty, Camera(40, 40, 20, 30, 2.0, 12.0), 3.0) == 1).all()


def test_leaves_fade_so_slowly_toward_a_product_that_they_do_not_draw_its_outline() -> None:
    mask = np.zeros((200, 200), np.float32)
    mask[80:120, 90:110] = 1.0
    clear = far_from(mask)
    assert clear[mask > 0].min() > 0.97
    assert clear[:8, :8].max() < 0.05
    step = np.hypot(*np.gradient(clear)).max()
    assert step < 0.5 * np.hypot(*np.gradient(clear_around(mask))).max()
    assert far_from(0 * mask).max() == 0
