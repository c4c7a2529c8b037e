from __future__ import annotations

import numpy as np
import pytest

from persona_img.errors import UnknownStyle
from persona_img.generator.learning.corpus import CorpusSettings
from persona_img.generator.learning.made_plates import made_plan, make_plate
from persona_img.scenery.materials import Materials, materials_of
from persona_img.scenery.scenes import SCENES

STYLE = {"surface": "linen", "light": "soft"}


@pytest.fixture(scope="module")
def materials(corpus_settings: CorpusSettings) -> Materials:
    return materials_of(corpus_settings.materials)


def product() -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((96, 96), np.float32)
    mask[30:66, 30:66] = 1
    return np.full((96, 96, 3), 200, np.uint8), mask


@pytest.mark.parametrize("scene", SCENES)
def test_a_made_plate_is_of_the_scene_that_was_asked(materials: Materials, scene: str) -> None:
    style = STYLE | {"scene": scene}
    plate = make_plate(style, (0, 0), product(), materials, np.random.default_rng(1), cm=20)
    assert plate.rgb.shape == (96, 96, 3)
    assert plate.rgb.std() > 1
    assert (plate.scene, plate.surface, plate.light) == (scene, "linen", "soft")
    assert (plate.known == 1).all()
    flat = make_plate(STYLE, (0, 0), product(), materials, np.random.default_rng(1), cm=20)
    assert (flat.scene == scene) == bool((flat.rgb == plate.rgb).all())


def test_its_colour_is_near_the_one_that_is_named(materials: Materials) -> None:
    colours = [
        made_plan(
            STYLE, (-8.0, 7.0), product()[1], materials, np.random.default_rng(i), cm=20
        ).colour
        for i in range(60)
    ]
    wanted = materials.surface("linen").colour((-8.0, 7.0))
    assert np.abs(np.mean(colours, axis=0) - wanted).max() < 1.5
    assert 1.5 < np.std(colours, axis=0)[0] < 4.5


def test_light_comes_from_either_side_and_is_never_twice_the_same(materials: Materials) -> None:
    plans = [
        made_plan(STYLE | {"light": "sun"}, (0, 0), product()[1], materials,
                  np.random.default_rng(i), cm=20)
        for i in range(24)
    ]  # fmt: skip
    sides = [np.sign(p.light.shadow_offset[0]) for p in plans]
    assert {-1.0, 1.0} == set(sides)
    assert all(np.sign(-p.lamp.toward[0]) == side for p, side in zip(plans, sides, strict=True))
    assert len({p.light.shadow_strength for p in plans}) == len(plans)
    assert len({p.lamp.ambient for p in plans}) == len(plans)
    assert len({p.subject.taken.exposure for p in plans}) == len(plans)


def test_the_same_light_falls_on_another_surface(materials: Materials) -> None:
    one, other = (
        made_plan(STYLE | {"surface": name}, (0, 0), product()[1], materials,
                  np.random.default_rng(5), cm=20)
        for name in ("linen", "dark-wood")
    )  # fmt: skip
    assert (one.light, one.lamp, one.subject.taken) == (
        other.light,
        other.lamp,
        other.subject.taken,
    )
    assert one.colour != other.colour


def test_same_seed_same_plate(materials: Materials) -> None:
    a, b, c = (
        make_plate(STYLE | {"scene": "room", "season": "summer"}, (0, 0), product(), materials,
                   np.random.default_rng(seed), cm=20).rgb
        for seed in (9, 9, 10)
    )  # fmt: skip
    assert (a == b).all()
    assert (a != c).any()


@pytest.mark.parametrize("wrong", [{"scene": "moon"}, {"surface": "gold"}, {"season": "monsoon"}])
def test_what_there_is_not_is_refused(materials: Materials, wrong: dict[str, str]) -> None:
    with pytest.raises(UnknownStyle):
        make_plate(STYLE | wrong, (0, 0), product(), materials, np.random.default_rng(1), cm=20)
