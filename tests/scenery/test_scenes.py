from __future__ import annotations

import pytest

from persona_img.domain.pose import POSES
from persona_img.errors import UnknownStyle
from persona_img.scenery.scenes import (
    APART,
    LIES,
    PLAINEST,
    SCENES,
    STANDS,
    fits,
    scene_of,
    tells,
)
from persona_img.scenery.views import kinds


def test_each_scene_is_where_its_products_do_not_fall() -> None:
    assert {name for name in SCENES if fits(name, "standing")} == {
        "tabletop", "podium", "shelf", "wall-floor", "room", "outdoor",
    }  # fmt: skip
    assert [name for name in SCENES if fits(name, "lying")] == ["flat-lay"]
    for pose in POSES:
        assert any(fits(name, pose) for name in SCENES)
    assert not fits("tabletop", "hanging")
    assert fits("wall-floor", "hanging")
    assert not fits("shelf", "worn")


def test_scenes_are_made_of_what_there_is() -> None:
    for name, scene in SCENES.items():
        assert scene.name == name
        assert set(scene.poses) <= set(POSES)
        assert scene.far in (None, "wall", *kinds())
        assert 0 <= scene.blur < 0.05
    assert scene_of(PLAINEST).table == "flat"


def test_an_unknown_scene_names_the_known_ones() -> None:
    with pytest.raises(UnknownStyle, match=r"scene=beach: choose from flat-lay, tabletop"):
        scene_of("beach")
    with pytest.raises(UnknownStyle, match="beach"):
        fits("beach", "lying")


def test_what_can_be_seen_of_a_style_depends_on_the_scene() -> None:
    assert tells("tabletop", STANDS) == ("surface", "palette", "light", "scene")
    assert tells("shelf", STANDS) == ("light", "scene")  # its board is a strip
    assert tells("wall-floor", LIES) == ("surface", "palette", "light")
    assert tells("outdoor", APART) == ("scene",)
