"""A reference picture in the words of a style."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from persona_img.assets import ASSETS
from persona_img.domain.style import Style
from persona_img.errors import InvalidInput
from persona_img.imaging.colour import difference, lab_of
from persona_img.imaging.photo import About, load_photo
from persona_img.rendering.base import Variant
from persona_img.rendering.look import ReferenceLook, look_of
from persona_img.rendering.proof.adherence import StyleJudge
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.tiles import LibraryBackdrops


def shown(photo: str, pose: str, style: str) -> Variant:
    picture = replace(load_photo(ASSETS / "catalog" / "photos" / photo), about=About(pose))
    return BackdropRenderer(LibraryBackdrops()).render(picture, Style.read(style), seed=3)


@pytest.fixture(scope="module")
def walnut() -> Variant:
    return shown("bottle-01.webp", "standing", "scene=podium,surface=walnut,light=side")


LOOKS = (
    ("dress-03.jpg", "lying", {"scene": "flat-lay", "surface": "walnut", "light": "sun"}),
    ("knitwear-02.jpg", "lying", {"scene": "flat-lay", "surface": "plaster", "light": "window"}),
    ("mug-01.webp", "standing", {"scene": "room", "surface": "marble", "light": "soft"}),
    ("cap-01.webp", "standing", {"scene": "podium", "surface": "concrete", "light": "side"}),
)


def test_it_mostly_names_what_a_variant_was_asked_for() -> None:
    right = 0
    for photo, pose, asked in LOOKS:
        made = shown(photo, pose, Style.of(asked | {"framing": "airy"}).key)
        look = look_of(made.pixels, made.alpha, StyleJudge())
        found = {"scene": look.scene, "surface": look.surface, "light": look.light}
        right += sum(found[name] == value for name, value in asked.items())
    assert right >= 9  # of 12; by chance it would be about three


def test_a_scene_that_does_not_fit_is_left_out(walnut: Variant) -> None:
    look = look_of(walnut.pixels, walnut.alpha, StyleJudge())
    assert look.scene == "podium"
    assert look.values("standing")["scene"] == "podium"
    assert "scene" not in look.values("lying")  # it would slide off


def test_its_colours_are_the_backdrops_and_not_the_products(walnut: Variant) -> None:
    look = look_of(walnut.pixels, walnut.alpha, StyleJudge())
    assert 3 <= len(look.colours) <= 5
    shares = [share for _, share in look.colours]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1.0 + 1e-6
    yellow = np.array(lab_of("#f4d000"), np.float32)  # of the bottle's cap
    for name, _ in look.colours:
        assert difference(np.array([[lab_of(name)]], np.float32), yellow)[0, 0] > 25


def test_light_from_a_side_is_seen() -> None:
    ramp = np.linspace(230, 90, 200)[None].repeat(160, axis=0)
    rng = np.random.default_rng(1)
    picture = np.clip(ramp + rng.normal(0, 2, ramp.shape), 0, 255)
    picture = np.repeat(picture[..., None], 3, axis=2).astype(np.uint8)
    alpha = np.zeros((160, 200), np.uint8)
    alpha[60:100, 80:120] = 255
    assert look_of(picture, alpha, StyleJudge()).side == -1.0
    mirrored = np.ascontiguousarray(picture[:, ::-1])
    assert look_of(mirrored, alpha, StyleJudge()).side == 1.0


def test_a_picture_that_is_all_product_has_no_look() -> None:
    with pytest.raises(InvalidInput, match="no pixel"):
        look_of(np.zeros((80, 80, 3), np.uint8), np.full((80, 80), 255, np.uint8), StyleJudge())


def test_softness_goes_from_sun_to_overcast() -> None:
    found: dict[str, ReferenceLook] = {}
    for light in ("sun", "soft"):
        made = shown("cap-01.webp", "standing", f"scene=podium,surface=plaster,light={light}")
        found[light] = look_of(made.pixels, made.alpha, StyleJudge())
    assert 0 <= found["sun"].softness < found["soft"].softness <= 1
