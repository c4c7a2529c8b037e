from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from persona_img.errors import UnknownStyle
from persona_img.imaging.colour import mean_lab, to_lab
from persona_img.imaging.light import LIGHTS, apply_light
from persona_img.rendering.tone import FARTHEST_PULL, MOST_PULL, light_of, pulled
from persona_img.scenery.build import SceneSet
from persona_img.scenery.layer import paper
from sets import SIZE, plan

ASKED = (80.0, 2.0, 8.0)


def lit_paper(light: str, scene: str = "flat-lay") -> tuple[SceneSet, np.ndarray]:
    """A set of paper in the colour asked for, and how it looks."""
    pose = "lying" if scene == "flat-lay" else "standing"
    built = SceneSet(replace(plan(scene, None, light, pose=pose), colour=ASKED))
    return built, built.draw(*SIZE, even=True).srgb


def tinted(plate: np.ndarray, lab: tuple[float, float, float]) -> np.ndarray:
    """The same plate with factors on its light that give paper another colour."""
    factor = paper(1, 1, lab, None) / paper(1, 1, ASKED, None)
    return apply_light(plate, factor)


@pytest.mark.parametrize("scene", ["flat-lay", "tabletop"])
@pytest.mark.parametrize("light", sorted(LIGHTS))
def test_a_set_as_asked_is_as_expected_and_stays(light: str, scene: str) -> None:
    built, plate = lit_paper(light, scene)
    area = built.area(*SIZE)
    np.testing.assert_allclose(mean_lab(plate, area), built.expected, atol=0.05)
    np.testing.assert_allclose(pulled(plate, built.expected, area, 1.0), plate, atol=4e-3)


def test_a_tinted_plate_is_pulled_by_the_share_and_its_shadow_stays() -> None:
    built, plate = lit_paper("side")
    area, off = built.area(*SIZE), tinted(plate, (80.0, 8.0, 2.0))
    errors = []
    for share in (0.0, 0.5, 1.0):
        made = pulled(off, built.expected, area, share)
        errors.append(float(np.linalg.norm(mean_lab(made, area) - built.expected)))
        depth = to_lab(made)[..., 0].max() - to_lab(made)[..., 0].min()
        assert depth == pytest.approx(np.ptp(to_lab(off)[..., 0]), abs=2.0)
    assert errors[0] > 7
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.2)
    assert errors[2] < 1.0


def test_a_wrong_colour_is_not_tinted_away_unless_it_is_owed_exactly() -> None:
    built, plate = lit_paper("soft")
    area, off = built.area(*SIZE), tinted(plate, (86.0, 14.0, -14.0))

    def left(most: np.ndarray) -> float:
        made = pulled(off, built.expected, area, 1.0, most)
        return float(np.linalg.norm(mean_lab(made, area) - built.expected))

    assert left(MOST_PULL) > 9
    assert left(FARTHEST_PULL) < 2


def test_black_takes_no_tint() -> None:
    plate = np.zeros((20, 20, 3), np.float32)
    plate[:, 10:] = 0.7
    area = np.zeros((20, 20), np.float32)
    area[:, 12:] = 1
    made = pulled(plate, np.array([70.0, 10.0, 10.0], np.float32), area, 1.0)
    assert made[:, :10].max() < 0.01
    assert made[5, 15, 0] > made[5, 15, 2] + 0.05


def test_where_nothing_is_open_the_plate_stays() -> None:
    _, plate = lit_paper("soft")
    nowhere = np.zeros(SIZE, np.float32)
    made = pulled(plate, np.array([10.0, 0.0, 0.0], np.float32), nowhere, 1.0)
    np.testing.assert_allclose(made, plate, atol=4e-3)


def test_an_unknown_light_names_the_known_ones() -> None:
    with pytest.raises(UnknownStyle, match="soft, side, sun, window"):
        light_of("candle")
