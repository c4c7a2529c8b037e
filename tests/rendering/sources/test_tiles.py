from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts.renderer import BackdropContract, canvas
from persona_img.assets import ASSETS
from persona_img.domain.style import Style, StyleSpace
from persona_img.errors import InvalidInput, RenderRejected, UnknownStyle
from persona_img.imaging.colour import lab_of, to_lab
from persona_img.imaging.photo import Photo
from persona_img.rendering.base import BackdropSource
from persona_img.rendering.proof.gate import RULES
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.tiles import LibraryBackdrops
from persona_img.scenery.materials import materials_of, palettes
from persona_img.scenery.scenes import PLAINEST, fits

SPACE = StyleSpace.load(ASSETS / "styles.toml")


class TestLibrary(BackdropContract):
    rules = RULES

    def make(self) -> BackdropSource:
        return LibraryBackdrops(side=160)

    def styles(self) -> list[Style]:
        return [
            Style.of({"surface": "plaster", "light": "soft", "framing": "centred"}),
            Style.of({"surface": "linen", "palette": "cool", "light": "sun", "framing": "airy"}),
            Style.of({"surface": "concrete", "light": "side", "framing": "centred"}),
        ]


def test_it_asks_for_the_colour_of_every_surface_in_every_palette() -> None:
    source = LibraryBackdrops()
    for name, one in materials_of(None).surfaces.items():
        for palette, offset in palettes().items():
            style = {"surface": name, "palette": palette}
            assert source.colour(style) == one.colour(offset)
            assert source.material(style) == name
    assert source.colour({"surface": "linen", "colour": "#2e6f8e"}) == lab_of("#2e6f8e")


@pytest.mark.parametrize("surface", ["marble", "oak", "linen", "concrete", "plaster", "slate"])
def test_a_plate_has_the_colour_asked_for(surface: str) -> None:
    source = LibraryBackdrops(256)
    style = {"surface": surface, "palette": "warm", "light": "soft"}
    product, mask = canvas(256, 200)
    errors = []
    for seed in range(3):
        plate = source.plates(product, mask, [style], [seed])[0]
        mean = to_lab(plate)[170:].reshape(-1, 3).mean(axis=0)
        errors.append(np.linalg.norm(mean - source.colour(style)))
    assert np.mean(errors) < 4.0


def test_a_start_is_the_set_and_is_given_back_as_it_is() -> None:
    product, mask = canvas(120, 100)
    begin = np.full((120, 100, 3), 0.3, np.float32)
    style = {"surface": "linen", "light": "soft", "scene": "tabletop"}
    made = LibraryBackdrops(160).plates(product, mask, [style, style], [1, 2], [begin, None])
    assert made[0] is begin
    assert made[1].shape == begin.shape
    # Alone it is a flat lay, whatever the scene: a plate knows no camera.
    flat = {name: value for name, value in style.items() if name != "scene"}
    np.testing.assert_array_equal(
        made[1], LibraryBackdrops(160).plates(product, mask, [flat], [2])[0]
    )


@pytest.mark.slow
def test_nearly_every_shipped_style_passes_the_gate_on_a_clean_photo(photo: Photo) -> None:
    fitting = [s for s in SPACE.styles()[1:] if fits(s.values.get("scene", PLAINEST), "lying")]
    styles = fitting[:: max(1, len(fitting) // 24)]
    told: list[tuple[Style, RenderRejected]] = []
    made = BackdropRenderer(LibraryBackdrops()).render_many(
        photo,
        styles,
        [1] * len(styles),
        on_rejected=lambda style, error: told.append((style, error)),
    )
    assert len(list(made)) >= 0.85 * len(styles), told


def test_sizes_follow_the_canvas_and_are_bounded() -> None:
    assert LibraryBackdrops(side=256).size(4000, 3000) == (256, 192)
    assert LibraryBackdrops(side=256).size(100, 80) == (100, 80)


def test_a_style_must_name_a_surface_and_a_side_must_be_a_picture(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="names no surface"):
        LibraryBackdrops().colour({"palette": "warm"})
    with pytest.raises(UnknownStyle, match="linen"):
        LibraryBackdrops().colour({"surface": "velvet"})
    with pytest.raises(UnknownStyle, match="blush"):
        LibraryBackdrops().colour({"surface": "linen", "palette": "neon"})
    with pytest.raises(InvalidInput, match="64"):
        LibraryBackdrops(side=10)
    with pytest.raises(InvalidInput, match=r"materials\.toml"):
        LibraryBackdrops(materials=tmp_path)
