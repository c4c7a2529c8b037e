from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from persona_img.imaging.colour import mean_lab
from persona_img.imaging.light import contact_on
from persona_img.scenery.build import SceneSet, _lost
from persona_img.scenery.scenes import fits
from persona_img.scenery.seasons import SEASONS
from persona_img.scenery.subject import Taken
from sets import BASE, SIZE, plan, silhouette

ALPHA = silhouette()
RED = np.full((*SIZE, 3), (200, 30, 30), np.uint8)


def built(
    scene: str, surface: str | None = "concrete", light: str = "soft", **more: object
) -> SceneSet:
    pose = "standing" if fits(scene, "standing") else "lying"
    return SceneSet(plan(scene, surface, light, **{"pose": pose, **more}))  # type: ignore[arg-type]


@pytest.mark.parametrize("scene", ["flat-lay", "tabletop", "outdoor"])
def test_the_same_plan_is_the_same_bytes_and_another_seed_is_not(scene: str) -> None:
    first, again = built(scene, seed=4), built(scene, seed=4)
    again.draw(40, 32)  # whatever was asked for before
    np.testing.assert_array_equal(first.draw(*SIZE).linear, again.draw(*SIZE).linear)
    assert (built(scene, seed=5).draw(*SIZE).linear != first.draw(*SIZE).linear).any()


@pytest.mark.parametrize("scene", ["flat-lay", "tabletop", "podium", "shelf", "wall-floor", "room"])
def test_a_set_is_the_same_at_every_size(scene: str) -> None:
    made = built(scene)
    small, large = made.draw(*SIZE), made.draw(2 * SIZE[0], 2 * SIZE[1])
    for one, other, most in (
        (small.linear, large.linear, 0.02),
        (small.surface, large.surface, 0.01),
        (small.far, large.far, 0.01),
    ):
        shrunk = cv2.resize(other, SIZE[::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(shrunk - one).mean() < most
    light = made.draw(2 * SIZE[0], 2 * SIZE[1], even=True).linear
    shrunk = cv2.resize(light, SIZE[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk - made.draw(*SIZE, even=True).linear).mean() < 0.008


def test_it_is_drawn_sharp_at_full_size() -> None:
    """A set at three times the size has finer detail than the same enlarged."""
    made = built("flat-lay", "terrazzo")
    full = made.draw(3 * SIZE[0], 3 * SIZE[1]).linear[..., 1]
    small = made.draw(*SIZE).linear[..., 1]
    large = cv2.resize(small, full.shape[::-1], interpolation=cv2.INTER_CUBIC)

    def fine(picture: np.ndarray) -> float:
        return float((picture - cv2.GaussianBlur(picture, (0, 0), 1.0)).std())

    assert fine(full) > 3 * fine(large)


@pytest.mark.parametrize("scene", ["flat-lay", "tabletop", "wall-floor", "outdoor"])
def test_the_open_area_is_surface_without_product_and_shadow(scene: str) -> None:
    made = built(scene, light="sun")
    area = made.area(*SIZE)
    assert area.shape == SIZE
    assert set(np.unique(area)) == {0.0, 1.0}
    near = cv2.dilate(ALPHA, np.ones((5, 5), np.uint8)) > 0
    assert not (area[near] > 0).any()
    layer = made.draw(*SIZE, even=True)
    assert layer.surface[area > 0].min() > 0.85
    light = layer.linear.mean(axis=2)
    usual = float(np.median(light[area > 0]))
    assert light[area > 0].min() > 0.75 * usual
    shadow = (layer.surface > 0.99) & (light < 0.7 * usual) & (ALPHA == 0)
    assert shadow.any()
    assert not area[shadow].any()


def test_where_nothing_is_open_what_the_product_leaves_is_measured() -> None:
    small = built("podium")
    area = small.area(*SIZE)
    assert area.any()
    assert not (area[ALPHA > 128] > 0).any()
    hanging = SceneSet(plan("outdoor", pose="hanging"))  # no surface is seen
    np.testing.assert_array_equal(hanging.area(*SIZE) > 0, ALPHA == 0)


@pytest.mark.parametrize("surface", ["concrete", "oak", "linen", None])
@pytest.mark.parametrize("scene", ["flat-lay", "tabletop", "wall-floor"])
def test_in_soft_light_the_open_surface_has_the_colour_asked_for(
    scene: str, surface: str | None
) -> None:
    made = built(scene, surface)
    most = 1.5 if made.plan.gloss == 0 else 3.0  # what is polished mirrors some white
    assert np.linalg.norm(made.expected - np.array(made.plan.colour)) < most
    seen = mean_lab(made.draw(*SIZE).srgb, made.area(*SIZE))
    assert np.linalg.norm(seen - made.expected) < 1.5


def test_a_dark_warm_photograph_gets_a_darker_warmer_set() -> None:
    usual = built("tabletop").draw(*SIZE).linear
    taken = Taken(exposure=0.8, cast=(1.05, 1.0, 0.95))
    fitted = built("tabletop", taken=taken).draw(*SIZE).linear
    np.testing.assert_allclose(fitted, usual * np.float32([0.84, 0.8, 0.76]), rtol=1e-4)


def test_a_season_tints_the_light_and_throws_its_props_shadow_on_the_near() -> None:
    # Not before a view: a table mirrors that one, which is another in a season.
    plain, summer = built("tabletop").draw(*SIZE), built("tabletop", season="summer").draw(*SIZE)
    assert np.abs(plain.surface - summer.surface).max() == 0
    on_table = plain.surface > 0.99
    change = (summer.linear / plain.linear)[on_table]
    assert change.min() < 0.75
    assert change.max() <= 1.06
    assert np.median(change[:, 0] / change[:, 2]) == pytest.approx(1.05 / 0.93, rel=1e-3)


@pytest.mark.parametrize("season", sorted(SEASONS))
def test_the_product_is_in_a_gap_between_the_props_shadows(season: str) -> None:
    """No shadow can fall on a photograph's product, so none may end at its outline."""
    for seed in range(4):
        made = built("flat-lay", None, season=season, seed=seed)
        plain = built("flat-lay", None, seed=seed).draw(*SIZE, even=True).linear
        change = (made.draw(*SIZE, even=True).linear / plain)[..., 1]
        beside = (cv2.dilate(ALPHA, np.ones((3, 3), np.uint8)) > 0) & (ALPHA == 0)
        assert change[beside].min() > 0.97 * SEASONS[season].tint[1]
        assert change.min() < 0.9


def test_leaves_keep_clear_of_the_shadow_of_what_stands() -> None:
    for seed in range(4):
        made = built("tabletop", None, light="side", season="autumn", seed=seed)
        shade = made._shaded > 0
        assert shade.mean() > 0.01
        assert made._props[shade].min() > 0.97
        assert made._props.min() < 0.9


def test_a_pattern_that_leaves_nothing_on_the_picture_is_not_taken() -> None:
    clear = np.zeros((4, 4), np.float32)
    assert _lost(np.zeros((4, 4), np.float32), clear) == 1.0
    assert _lost(np.ones((4, 4), np.float32), clear) == 0.0
    thin = plan("shelf", None, "window")
    alpha = np.zeros((1600, 3), np.uint8)
    alpha[400:1200, 1] = 255
    narrow = replace(thin, subject=replace(thin.subject, alpha=alpha))
    assert np.isfinite(SceneSet(narrow).draw(800, 2, even=True).linear).all()


def test_indoors_before_far_lights_no_fir_throws_stains_on_the_table() -> None:
    plain = built("tabletop", "concrete", season="festive")
    assert plain._props.min() < 0.9
    made = built("room", None, season="festive")
    layer = made.draw(*SIZE, even=True)
    beside = built("room", None, season="festive")
    beside._props = np.zeros_like(made._props)  # whatever they are
    np.testing.assert_array_equal(layer.linear, beside.draw(*SIZE, even=True).linear)


def test_of_what_is_far_behind_nothing_is_touched() -> None:
    made = SceneSet(plan("outdoor", pose="hanging"))
    assert made.plan.far_only
    layer = made.draw(*SIZE)
    assert layer.far.min() == 1
    assert layer.surface.max() == 0
    assert (made.contact(ALPHA) == 1).all()
    assert not made.in_focus(SIZE).any()


def test_what_lies_touches_its_plane_all_around_as_the_painter_was_taught() -> None:
    made = built("flat-lay", light="side")
    np.testing.assert_array_equal(made.contact(ALPHA), contact_on(ALPHA, made.plan.light))
    assert made.in_focus(SIZE).all()


def test_what_stands_touches_its_table_at_the_base_alone() -> None:
    factor = built("tabletop").contact(ALPHA)
    assert factor.shape == SIZE
    assert factor[BASE, 55:75].max() < 0.7
    assert factor[: BASE - 20].min() > 0.99
    # and at another size as well
    large = built("tabletop").contact(cv2.resize(ALPHA, None, fx=2, fy=2))
    assert large[2 * BASE, 110:150].max() < 0.75


def test_the_table_is_in_focus_beside_the_product_and_not_far_behind() -> None:
    focus = built("tabletop").in_focus(SIZE)
    assert focus.dtype == bool
    assert focus[BASE + 6].all()
    assert not focus[: BASE - 40].any()


def test_only_polished_things_that_are_stood_on_mirror() -> None:
    plate = built("tabletop", "marble").draw(*SIZE).linear
    assert built("tabletop", "paper").mirrored(plate, RED, ALPHA) is plate
    assert built("flat-lay", "marble").mirrored(plate, RED, ALPHA) is plate
    assert (built("tabletop", "marble").mirrored(plate, RED, ALPHA) != plate).any()
