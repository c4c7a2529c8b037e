from __future__ import annotations

import cv2
import numpy as np
import pytest

from contracts.renderer import canvas
from persona_img.errors import UnknownStyle
from persona_img.imaging.colour import from_lab, mean_lab, to_lab
from persona_img.imaging.light import LIGHTS, apply_light, illumination
from persona_img.rendering.tone import Lighting, light_of, open_area

ASKED = (80.0, 2.0, 8.0)


def lit_sheet(lab: tuple[float, float, float], light: str) -> tuple[np.ndarray, np.ndarray]:
    _, mask = canvas(256, 224)
    sheet = np.empty((256, 224, 3), np.float32)
    sheet[:] = lab
    return apply_light(from_lab(sheet), illumination(mask, LIGHTS[light])), mask


@pytest.mark.parametrize("light", sorted(LIGHTS))
def test_a_sheet_as_asked_is_as_expected_and_stays(light: str) -> None:
    plate, mask = lit_sheet(ASKED, light)
    got = mean_lab(plate, open_area(mask, LIGHTS[light]))
    np.testing.assert_allclose(got, Lighting(mask, LIGHTS[light]).expected(ASKED), atol=1e-3)
    np.testing.assert_allclose(
        Lighting(mask, LIGHTS[light]).pulled(plate, ASKED, 1.0), plate, atol=4e-3
    )


def test_a_tinted_sheet_is_pulled_by_the_share_and_its_shadow_stays() -> None:
    light = LIGHTS["side"]
    plate, mask = lit_sheet((80.0, 8.0, 2.0), "side")
    area = open_area(mask, light)
    wanted = Lighting(mask, light).expected(ASKED)
    errors = []
    for share in (0.0, 0.5, 1.0):
        made = Lighting(mask, light).pulled(plate, ASKED, share)
        errors.append(float(np.linalg.norm(mean_lab(made, area) - wanted)))
        depth = to_lab(made)[..., 0].max() - to_lab(made)[..., 0].min()
        assert depth == pytest.approx(np.ptp(to_lab(plate)[..., 0]), abs=2.0)
    assert errors[0] > 7
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.2)
    assert errors[2] < 1.0


def test_a_wrong_colour_is_not_tinted_away() -> None:
    light = LIGHTS["soft"]
    plate, mask = lit_sheet((40.0, 40.0, -30.0), "soft")
    made = Lighting(mask, light).pulled(plate, ASKED, 1.0)
    left = np.linalg.norm(
        mean_lab(made, open_area(mask, light)) - Lighting(mask, light).expected(ASKED)
    )
    assert left > 30


def test_the_open_area_is_off_the_product_and_its_shadow() -> None:
    _, mask = canvas(256, 224)
    area = open_area(mask, LIGHTS["sun"])
    near = cv2.dilate(mask, np.ones((21, 21), np.uint8))
    assert area.any()
    assert not (area * near).any()
    assert area[100, 30] == 0 or area[140, 140] == 0
    filled = np.ones((64, 64), np.float32)
    filled[:3] = 0
    assert (open_area(filled, LIGHTS["soft"]) == (filled < 0.05)).all()


def test_shading_is_the_lights_factor_and_unknown_through_a_window() -> None:
    _, mask = canvas(256, 224)
    assert Lighting(mask, LIGHTS["window"]).shading is None
    factor = Lighting(mask, LIGHTS["soft"]).shading
    assert factor is not None
    assert factor[90, 80] < factor[10, 200]


def test_an_unknown_light_names_the_known_ones() -> None:
    with pytest.raises(UnknownStyle, match="soft, side, sun, window"):
        light_of("candle")
