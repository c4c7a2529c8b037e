from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from contracts.renderer import BackdropContract, canvas
from persona_img.assets import ASSETS
from persona_img.domain.style import Style, StyleSpace
from persona_img.errors import InvalidInput, UnknownStyle
from persona_img.imaging.colour import mean_lab, to_lab
from persona_img.imaging.light import LIGHTS
from persona_img.imaging.photo import Photo
from persona_img.rendering.base import BackdropSource
from persona_img.rendering.proof.gate import RULES
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.material import tiles_of
from persona_img.rendering.sources.plain import PlainBackdrops
from persona_img.rendering.sources.tiles import (
    GaussianBackdrops,
    LibraryBackdrops,
    Over,
    materials,
    palettes,
)
from persona_img.rendering.tone import Lighting, open_area

SPACE = StyleSpace.load(ASSETS / "styles.toml")


class TestLibrary(BackdropContract):
    rules = RULES

    def make(self) -> BackdropSource:
        return LibraryBackdrops(side=384)

    def styles(self) -> list[Style]:
        return [
            Style.of({"surface": "plaster", "light": "soft", "framing": "centred"}),
            Style.of({"surface": "linen", "palette": "cool", "light": "sun", "framing": "airy"}),
            Style.of({"surface": "concrete", "light": "side", "framing": "centred"}),
        ]


class TestGaussian(TestLibrary):
    def make(self) -> BackdropSource:
        return GaussianBackdrops(side=384)


class TestOver(TestLibrary):
    def make(self) -> BackdropSource:
        return Over(LibraryBackdrops(side=384), GaussianBackdrops())


def test_materials_and_palettes_are_those_the_checkpoint_was_taught() -> None:
    path = ASSETS / "checkpoint" / "style_encoder" / "config.json"
    taught = json.loads(path.read_text(encoding="utf-8"))
    assert taught["surfaces"] == {n: [*m.lab, m.dye] for n, m in materials().items()}
    assert taught["palettes"] == {n: list(offset) for n, offset in palettes().items()}
    assert all(tiles_of(surface) for surface in materials())


@pytest.mark.parametrize("source", [LibraryBackdrops(256), GaussianBackdrops(256)])
@pytest.mark.parametrize("surface", sorted(materials()))
def test_a_plate_has_the_colour_asked_for(source: LibraryBackdrops, surface: str) -> None:
    style = {"surface": surface, "palette": "warm", "light": "soft"}
    product, mask = canvas(256, 200)
    light, errors = LIGHTS["soft"], []
    for seed in range(4):
        plate = source.plates(product, mask, [style], [seed])[0]
        got = mean_lab(plate, open_area(mask, light))
        errors.append(np.linalg.norm(got - Lighting(mask, light).expected(source.colour(style))))
    assert np.mean(errors) < 4.0


def test_a_gaussian_plate_keeps_the_tiles_contrast_but_not_its_places() -> None:
    product, mask = canvas(320, 320)
    style = {"surface": "linen", "light": "soft"}
    plates = [
        source.plates(product, np.zeros_like(mask), [style], [5])[0]
        for source in (LibraryBackdrops(), GaussianBackdrops())
    ]
    grey = [to_lab(p)[..., 0] for p in plates]
    real, noise = (g - cv2.GaussianBlur(g, (0, 0), 24) for g in grey)  # both have the same light
    assert noise.std() == pytest.approx(real.std(), rel=0.3)
    assert abs(float(np.corrcoef(real.ravel(), noise.ravel())[0, 1])) < 0.2


def test_what_is_begun_with_is_the_grounds_plate() -> None:
    drawn = canvas(200, 200)
    style, ground = {"surface": "linen", "light": "sun"}, GaussianBackdrops()
    over = Over(LibraryBackdrops(), ground)
    begun = np.zeros((200, 200, 3), np.float32)
    made = over.plates(*drawn, [style], [3], [None])[0]
    assert (made == ground.plates(*drawn, [style], [3])[0]).all()
    assert (over.plates(*drawn, [style], [3], [begun])[0] == begun).all()
    plain = Over(PlainBackdrops(), ground)
    assert plain.name == "plain-over-gaussian"
    assert plain.fingerprint() != over.fingerprint()


@pytest.mark.slow
def test_nearly_every_shipped_style_passes_the_gate_on_a_clean_photo(photo: Photo) -> None:
    styles = SPACE.styles()[1::11]
    told: list[Style] = []
    made = BackdropRenderer(LibraryBackdrops()).render_many(
        photo, styles, [1] * len(styles), on_rejected=lambda style, error: told.append(style)
    )
    assert len(list(made)) >= 0.85 * len(styles), told


def test_a_style_must_name_a_surface_and_a_side_must_be_a_picture() -> None:
    with pytest.raises(InvalidInput, match="name one"):
        LibraryBackdrops().colour({"palette": "warm"})
    with pytest.raises(UnknownStyle, match="linen"):
        LibraryBackdrops().colour({"surface": "velvet"})
    with pytest.raises(InvalidInput, match="64"):
        LibraryBackdrops(side=10)
