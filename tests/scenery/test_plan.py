from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.domain.pose import POSES
from persona_img.errors import UnknownStyle
from persona_img.imaging.light import LIGHTS, Light
from persona_img.scenery.materials import materials_of
from persona_img.scenery.plan import Plan
from persona_img.scenery.scenes import APART, LIES, SCENES, STANDS, fits
from persona_img.scenery.seasons import SEASONS
from persona_img.scenery.shade import LAMPS
from persona_img.scenery.subject import Taken
from sets import plan, subject

BOX = subject()


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 100), st.floats(-40, 40), st.floats(-40, 40))
def test_the_wall_is_pale_has_the_tables_hue_and_is_never_as_light(
    lightness: float, a: float, b: float
) -> None:
    asked = (lightness, a, b)
    made = Plan.of(BOX, {"scene": "tabletop"}, materials_of(None), asked, None, 1)
    assert abs(made.wall[0] - lightness) >= 8
    assert made.wall[0] >= 70
    # Under the warm white that every wall has it is the table's hue, fainter.
    grey = Plan.of(BOX, {"scene": "tabletop"}, materials_of(None), (lightness, 0, 0), None, 1)
    hue = made.wall[1] - grey.wall[1], made.wall[2] - grey.wall[2]
    assert np.hypot(*hue) <= 0.5 * np.hypot(a, b) + 1e-9
    assert hue[0] * a + hue[1] * b >= 0


@pytest.mark.parametrize(
    ("attribute", "known"),
    [("scene", SCENES), ("light", LIGHTS), ("season", SEASONS)],
)
def test_a_name_that_there_is_not_is_refused_with_those_that_there_are(
    attribute: str, known: dict[str, object]
) -> None:
    style = {"scene": "tabletop", "light": "soft"} | {attribute: "velvet-dream"}
    with pytest.raises(UnknownStyle, match="velvet-dream") as refused:
        Plan.of(subject(), style, materials_of(None), (90.0, 0.0, 0.0), "marble", 1)
    assert all(name in str(refused.value) for name in known)


def test_an_unknown_surface_is_refused() -> None:
    with pytest.raises(UnknownStyle, match="velvet"):
        Plan.of(subject(), {}, materials_of(None), (90.0, 0.0, 0.0), "velvet", 1)


def over(light: Light) -> Light:
    """The light on a box of 24 cm, half as long as 128 pixels are wide, that is cloth."""
    return light.over(1.6 * (64 / 24) / 128)


def test_a_style_that_says_nothing_lies_in_soft_light() -> None:
    made = Plan.of(subject("lying"), {}, materials_of(None), (90.0, 0.0, 0.0), None, 1)
    assert made.scene.name == "flat-lay"
    assert made.light == over(LIGHTS["soft"])
    assert made.season is None
    assert made.ground() is made.behind() is None  # paper
    assert plan(season="none").season is None


def test_the_light_comes_from_where_it_came_in_the_photograph() -> None:
    for side in (-1.0, 0.0):
        made = plan(light="side", taken=Taken(side))
        assert (made.lamp, made.light) == (LAMPS["side"], over(LIGHTS["side"]))
    turned = plan(light="side", taken=Taken(1.0))
    assert turned.lamp == LAMPS["side"].mirrored()
    assert turned.light == over(LIGHTS["side"]).mirrored()


def test_a_season_is_seen_outside_too() -> None:
    assert plan("outdoor").view == "outdoor"
    assert plan("room", season="festive").view == "festive"
    assert plan("tabletop", season="festive").view is None
    assert plan("outdoor", season="winter").season is SEASONS["winter"]


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("scene", sorted(SCENES))
def test_what_its_shadow_falls_on_follows_from_scene_and_pose(scene: str, pose: str) -> None:
    made = plan(scene, pose=pose)
    assert made.far_only == (made.rests == APART)
    assert made.flat == (made.rests != STANDS)
    if fits(scene, pose):
        expected = STANDS if pose == "standing" else APART if scene in ("room", "outdoor") else LIES
        assert made.rests == expected


def test_the_gloss_is_the_surfaces() -> None:
    assert plan(surface="marble").gloss == materials_of(None).surface("marble").gloss > 0
    assert plan(surface=None).gloss == 0.0


def test_chance_is_of_the_seed_and_of_each_part() -> None:
    draws = {
        (seed, part): plan(seed=seed).chance(part).random() for seed in (1, 2) for part in (1, 2)
    }
    assert len(set(draws.values())) == 4
    assert plan(seed=1).chance(2).random() == draws[1, 2]


def test_what_a_flat_lay_shows_a_little_more_of_than_a_tile_is_not_sewn_yet() -> None:
    known = materials_of(None).surface("sand")
    made = plan("flat-lay", "sand", pose="lying")
    seen = max(made.subject.alpha.shape) / made.subject.per_cm
    for share, pieces in ((0.9, 1), (0.5, 2)):
        sand = replace(known, tiles=(replace(known.tiles[0], cm=share * seen),))
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(materials_of(None).surfaces, "sand", sand)
            ground = made.ground()
        assert ground is not None
        assert ground.cm == pytest.approx(pieces * share * seen)


def test_ground_and_wall_are_laid_at_the_products_scale() -> None:
    made = plan(surface="oak")
    ground, wall = made.ground(), plan("shelf", surface="oak").behind()
    assert ground is not None
    assert wall is not None
    assert made.behind() is None  # so far out of focus a wall is even
    assert ground.cm in {tile.cm for tile in materials_of(None).surface("oak").tiles}
    # As many pixels a centimetre as the canvas has, and less than four times as many.
    most = 4 * made.subject.per_cm
    assert made.subject.per_cm <= ground.per_cm * 2 < 2 * most
    # A wall is laid upright: not turned, whatever the chance.
    again = plan(surface="oak").ground()
    assert again is not None
    np.testing.assert_array_equal(again.levels[0], ground.levels[0])
