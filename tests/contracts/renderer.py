"""What every source of backdrops, and a renderer over it, must do; sources' tests inherit it."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import InvalidInput, LowMaskConfidence, RenderRejected, UnknownStyle
from persona_img.imaging.photo import Photo
from persona_img.rendering.base import BackdropSource, Renderer, RenderSettings
from persona_img.rendering.proof.gate import Rule
from persona_img.rendering.renderer import BackdropRenderer


def canvas(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A red box on mid-grey and its silhouette."""
    mask = np.zeros((height, width), np.float32)
    mask[height // 4 : height // 2, width // 4 : width // 2] = 1
    product = np.full((height, width, 3), 127, np.uint8)
    product[mask > 0] = (200, 30, 30)
    return product, mask


class BackdropContract:
    """Subclasses say how to make a source, and which rules its variants can be held to."""

    rules: tuple[Rule, ...]

    def make(self) -> BackdropSource:
        raise AssertionError("say how to make the source")

    def styles(self) -> list[Style]:
        """Three styles it can paint, of two framings."""
        raise AssertionError("say which styles it paints")

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls) -> BackdropSource:
        return cls().make()

    @pytest.fixture(scope="class")
    @classmethod
    def renderer(cls, source: BackdropSource) -> BackdropRenderer:
        return BackdropRenderer(source, RenderSettings(rules=cls.rules, tries=2))

    def test_it_keeps_the_ports(self, source: BackdropSource, renderer: BackdropRenderer) -> None:
        assert isinstance(source, BackdropSource)
        assert isinstance(renderer, Renderer)
        assert source.name

    @pytest.mark.parametrize("shape", [(533, 400), (400, 533), (300, 300), (800, 400)])
    def test_plates_are_complete_pictures_of_the_size_it_says(
        self, source: BackdropSource, shape: tuple[int, int]
    ) -> None:
        size = source.size(*shape)
        values = [s.values for s in self.styles()]
        plates = source.plates(*canvas(*size), values, [1, 2, 3])
        assert len(plates) == 3
        for plate in plates:
            assert plate.shape == (*size, 3)
            assert plate.dtype == np.float32
            assert np.isfinite(plate).all()
            assert plate.min() >= 0
            assert plate.max() <= 1

    def test_a_plate_depends_on_its_own_seed_not_on_its_neighbours(
        self, source: BackdropSource
    ) -> None:
        drawn = canvas(*source.size(300, 300))
        first, second, _ = (s.values for s in self.styles())
        together = source.plates(*drawn, [first, second, first], [5, 6, 7])
        alone = source.plates(*drawn, [second], [6])
        assert (together[1] == alone[0]).all()
        assert (together[0] != together[2]).any()
        assert source.plates(*drawn, [], []) == []

    def test_an_unknown_value_is_an_error(self, source: BackdropSource) -> None:
        for name in ("surface", "palette", "light"):
            values = dict(self.styles()[0].values) | {name: "velvet-dream"}
            with pytest.raises(UnknownStyle, match="velvet-dream"):
                source.plates(*canvas(*source.size(300, 300)), [values], [1])

    def test_fingerprints_are_hex_and_lasting(self, source: BackdropSource) -> None:
        assert source.fingerprint() == self.make().fingerprint()
        int(source.fingerprint(), 16)
        assert len(source.fingerprint()) == 64

    def test_the_product_survives_in_every_style(
        self, renderer: BackdropRenderer, photo: Photo
    ) -> None:
        made = list(renderer.render_many(photo, self.styles(), [1, 2, 3]))
        assert [v.style for v in made] == self.styles()
        for variant in made:
            certificate = variant.certificate
            assert certificate.product_unchanged
            assert certificate.core_pixels > 1000
            dx, dy = certificate.offset
            ys, xs = np.nonzero(variant.mask.alpha == 255)
            assert (variant.pixels[ys + dy, xs + dx] == photo.pixels[ys, xs]).all()
            assert set(variant.seconds) == {
                "mask", "set", "plate", "enlarge", "compose", "gate", "encode",
            }  # fmt: skip
            assert variant.gate.passed

    def test_the_file_shows_the_pixels_and_tells_its_recipe(
        self, renderer: BackdropRenderer, photo: Photo
    ) -> None:
        variant = renderer.render(photo, self.styles()[0], seed=9)
        assert variant.digest == hashlib.sha256(variant.png).hexdigest()
        with Image.open(io.BytesIO(variant.png)) as image:
            assert (np.asarray(image) == variant.pixels).all()
            assert json.loads(image.info["persona-img"]) == variant.certificate.recipe
        recipe = variant.certificate.recipe
        assert (recipe["seed"], recipe["photo"]) == (9, photo.digest)
        assert recipe["renderer"] == renderer.fingerprint()

    def test_same_inputs_same_bytes_alone_or_among_others(
        self, renderer: BackdropRenderer, photo: Photo
    ) -> None:
        styles = self.styles()
        many = list(renderer.render_many(photo, styles, [1, 2, 3]))
        fresh = BackdropRenderer(self.make(), renderer.settings)
        assert fresh.render(photo, styles[1], seed=2).png == many[1].png
        assert (fresh.render(photo, styles[1], seed=3).pixels != many[1].pixels).any()

    def test_the_original_and_uneven_lists_are_errors(
        self, renderer: BackdropRenderer, photo: Photo
    ) -> None:
        with pytest.raises(UnknownStyle, match="original"):
            renderer.render(photo, ORIGINAL, seed=1)
        with pytest.raises(InvalidInput, match="one seed each"):
            list(renderer.render_many(photo, self.styles(), [1]))
        assert list(renderer.render_many(photo, [], [])) == []

    def test_a_photo_without_a_visible_product_is_refused(self, renderer: BackdropRenderer) -> None:
        wall = np.random.default_rng(0).integers(120, 130, (100, 100, 3)).astype(np.uint8)
        with pytest.raises(LowMaskConfidence, match="supply a mask"):
            renderer.render(Photo.of(wall), self.styles()[0], seed=1)

    def test_a_supplied_mask_is_used_as_it_is(
        self, renderer: BackdropRenderer, photo: Photo
    ) -> None:
        alpha = np.zeros(photo.pixels.shape[:2], np.uint8)
        alpha[70:110, 55:100] = 255
        variant = renderer.render(photo.with_alpha(alpha), self.styles()[0], seed=1)
        assert variant.mask.source == "supplied"
        assert variant.certificate.core_pixels == 40 * 45
        assert variant.certificate.product_unchanged

    def test_rejected_styles_are_told_and_left_out(
        self, source: BackdropSource, photo: Photo
    ) -> None:
        strict = RenderSettings(rules=(Rule("plate_spread", "too even", least=1e9),), tries=2)
        renderer = BackdropRenderer(source, strict)
        told: list[tuple[Style, RenderRejected]] = []
        made = renderer.render_many(
            photo, self.styles(), [1, 2, 3], on_rejected=lambda s, e: told.append((s, e))
        )
        assert list(made) == []
        assert [s for s, _ in told] == self.styles()
        assert "no candidate of 2" in str(told[0][1])
        with pytest.raises(RenderRejected, match="too even"):
            renderer.render(photo, self.styles()[0], seed=1)
