from __future__ import annotations

import numpy as np
import pytest

from contracts.renderer import BackdropContract, canvas
from persona_img.assets import ASSETS
from persona_img.domain.style import Style, StyleSpace
from persona_img.errors import UnknownStyle
from persona_img.imaging.colour import to_lab
from persona_img.imaging.light import LIGHTS
from persona_img.imaging.photo import Photo
from persona_img.rendering.base import BackdropSource
from persona_img.rendering.proof.gate import RULES
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.plain import PALETTES, PAPER, PlainBackdrops
from persona_img.scenery.materials import materials_of
from persona_img.scenery.scenes import PLAINEST, fits


class TestPlain(BackdropContract):
    rules = RULES

    def make(self) -> BackdropSource:
        return PlainBackdrops()

    def styles(self) -> list[Style]:
        return [
            Style.of({"surface": "plaster", "light": "soft", "framing": "centred"}),
            Style.of({"surface": "linen", "palette": "cool", "light": "sun", "framing": "airy"}),
            Style.of({"surface": "concrete", "light": "window", "framing": "centred"}),
        ]


def test_it_paints_every_surface_palette_and_light_of_the_shipped_space() -> None:
    space = StyleSpace.load(ASSETS / "styles.toml").attributes
    assert set(space["surface"]) <= set(materials_of(None).surfaces)
    assert set(space["palette"]) <= set(PALETTES)
    assert set(space["light"]) <= set(LIGHTS)


@pytest.mark.parametrize("palette", sorted(PALETTES))
def test_the_paper_has_the_colour_asked_for(palette: str) -> None:
    source, style = PlainBackdrops(), {"surface": "linen", "palette": palette, "light": "side"}
    product, mask = canvas(240, 200)
    plate = source.plates(product, mask, [style], [3])[0]
    # The light falls off from the lit to the far side; below, in the middle, it is as asked for.
    got = to_lab(plate)[205:225, 85:115].reshape(-1, 3).mean(axis=0)
    assert np.linalg.norm(got - source.colour(style)) < 1.5


def test_without_a_surface_it_is_white_paper() -> None:
    assert PlainBackdrops().colour({}) == PAPER


def test_the_product_throws_a_shadow_away_from_the_light() -> None:
    product, mask = canvas(240, 240)
    plate = PlainBackdrops().plates(product, mask, [{"light": "side"}], [1])[0].mean(axis=2)
    assert plate[90, 125:135].mean() < plate[90, 45:55].mean() - 0.05


def test_every_shipped_style_passes_the_gate_on_a_clean_photo(photo: Photo) -> None:
    space = StyleSpace.load(ASSETS / "styles.toml").styles()[1:]
    fitting = [s for s in space if fits(s.values.get("scene", PLAINEST), "lying")]
    styles = fitting[:: max(1, len(fitting) // 24)]
    made = list(BackdropRenderer(PlainBackdrops()).render_many(photo, styles, [1] * len(styles)))
    assert len(made) == len(styles)


def test_the_sides_follow_the_canvas_and_are_bounded() -> None:
    assert PlainBackdrops(side=256).size(4000, 3000) == (256, 192)
    assert PlainBackdrops(side=256).size(100, 80) == (100, 80)


def test_another_size_is_another_fingerprint() -> None:
    assert PlainBackdrops(side=256).fingerprint() != PlainBackdrops().fingerprint()


def test_an_unknown_surface_names_the_known_ones() -> None:
    with pytest.raises(UnknownStyle, match="linen"):
        PlainBackdrops().colour({"surface": "velvet"})
