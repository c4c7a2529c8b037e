"""Which styles a photo is rendered in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img import wiring
from persona_img.domain.pose import POSES
from persona_img.domain.style import StyleSpace
from persona_img.errors import InvalidInput, UnknownStyle
from persona_img.rendering.choice import asked_for, chosen_for
from persona_img.scenery.scenes import fits
from persona_img.settings import Settings

ALL = wiring.render_space(Settings())
SHOP = wiring.style_space(Settings())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.sampled_from(POSES), st.integers(0, 2**31))
def test_they_fit_differ_and_are_of_the_space(count: int, pose: str, seed: int) -> None:
    styles = chosen_for(SHOP, count, pose, [seed])
    assert len(set(styles)) == len(styles) == count
    for style in styles:
        assert fits(style.values["scene"], pose)
        assert SHOP.check(style) == style


def test_the_first_share_as_little_as_can_be() -> None:
    styles = chosen_for(ALL, 4, "standing", [7])
    for name in ("scene", "surface", "palette", "light"):
        assert len({style.values[name] for style in styles}) >= 3


def test_photos_get_different_ones_and_the_same_again() -> None:
    one, other = (chosen_for(SHOP, 4, "lying", [7, photo]) for photo in (1, 2))
    assert one != other
    assert one == chosen_for(SHOP, 4, "lying", [7, 1])


def test_no_season_unless_it_is_asked_for() -> None:
    assert all("season" not in style.values for style in chosen_for(ALL, 12, "standing", [1]))
    asked = asked_for(ALL, "surface=oak,season=autumn", "standing")
    assert asked.values["season"] == "autumn"


def test_a_scene_left_out_is_one_that_fits() -> None:
    assert asked_for(ALL, "surface=oak", "lying").values["scene"] == "flat-lay"
    assert asked_for(ALL, "surface=oak", "standing").values["scene"] == "tabletop"
    assert asked_for(ALL, "surface=oak,scene=flat-lay", "standing").values["scene"] == "flat-lay"


def test_where_nothing_fits_there_are_none() -> None:
    space = StyleSpace({"scene": ("flat-lay",), "surface": ("oak", "linen")})
    assert chosen_for(space, 3, "standing", [1]) == []


def test_the_photo_itself_is_no_style_to_render() -> None:
    with pytest.raises(InvalidInput, match="the photo itself"):
        asked_for(ALL, "original", "lying")
    with pytest.raises(UnknownStyle, match="surface='gold'"):
        asked_for(ALL, "surface=gold", "lying")


def test_nobody_who_names_no_style_gets_a_table_of_sand() -> None:
    space = wiring.fitting_space(Settings())
    likely = chosen_for(space, 60, "standing", [3])
    assert len(likely) == 60
    seen = {(style.values["surface"], style.values["scene"]) for style in likely}
    assert not seen & {
        ("sand", "room"),
        ("grass", "shelf"),
        ("jersey", "podium"),
        ("brick", "tabletop"),
    }
    assert {surface for surface, _ in seen} >= {"oak", "marble", "concrete"}
    assert asked_for(ALL, "surface=sand,scene=room", "standing").values["scene"] == "room"
