"""What the renderer does beyond what every source must do: candidates, the fallback, the judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from persona_img.domain.style import Style
from persona_img.errors import RenderRejected
from persona_img.imaging.photo import Photo, load_photo
from persona_img.rendering.adherence import StyleJudge
from persona_img.rendering.base import RenderSettings
from persona_img.rendering.gate import Rule
from persona_img.rendering.plain import PlainBackdrops
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.tiles import LibraryBackdrops

STYLE = Style.of({"surface": "linen", "palette": "sage", "light": "side", "framing": "centred"})
WOOD = Style.of({"surface": "light-wood", "palette": "neutral", "light": "side"})


class Blank(LibraryBackdrops):
    """Paints nothing at all, so that no candidate passes."""

    name = "blank"

    def __init__(self) -> None:
        super().__init__(side=128)
        self.asked = 0

    def plates(
        self,
        product: np.ndarray,
        mask: np.ndarray,
        styles: Sequence[Mapping[str, str]],
        seeds: Sequence[int],
        starts: Sequence[np.ndarray | None] | None = None,
    ) -> list[np.ndarray]:
        self.asked += 1
        return [np.full((*mask.shape, 3), 0.5, np.float32) for _ in styles]


def test_where_no_candidate_passes_the_fallback_paints(photo: Photo) -> None:
    blank = Blank()
    renderer = BackdropRenderer(
        blank, RenderSettings(tries=2, texture=0), fallback=LibraryBackdrops(128)
    )
    variant = renderer.render(photo, STYLE, seed=3)
    assert blank.asked == 2
    assert variant.gate.passed
    assert variant.certificate.recipe["backdrops"] == "library"
    assert variant.certificate.recipe["checkpoint"] == LibraryBackdrops(128).fingerprint()
    alone = BackdropRenderer(LibraryBackdrops(128), RenderSettings(tries=2, texture=0))
    assert (variant.pixels == alone.render(photo, STYLE, seed=3).pixels).all()


def test_without_a_fallback_or_where_it_does_not_help_the_style_is_rejected(photo: Photo) -> None:
    settings = RenderSettings(tries=2, texture=0)
    with pytest.raises(RenderRejected, match="no candidate of 2"):
        BackdropRenderer(Blank(), settings).render(photo, STYLE, seed=3)
    with pytest.raises(RenderRejected, match="no candidate of 3"):
        BackdropRenderer(Blank(), settings, fallback=Blank()).render(photo, STYLE, seed=3)
    strict = RenderSettings(rules=(Rule("product_share", "too small", least=0.9, photo=True),))
    hopeless = BackdropRenderer(Blank(), strict, fallback=LibraryBackdrops(128))
    with pytest.raises(RenderRejected, match="no candidate of 1"):
        hopeless.render(photo, STYLE, seed=3)


def test_a_fallback_that_does_not_know_the_style_rejects_it_too(photo: Photo) -> None:
    class Anything(Blank):
        def colour(self, style: Mapping[str, str]) -> tuple[float, float, float]:
            return 60.0, 0.0, 0.0

        def material(self, style: Mapping[str, str]) -> str | None:
            return None

    style = Style.of({"surface": "grass", "palette": "sage", "light": "soft"})
    settings = RenderSettings(tries=1)
    renderer = BackdropRenderer(Anything(), settings, fallback=LibraryBackdrops(128))
    with pytest.raises(RenderRejected, match="no candidate of 1"):
        renderer.render(photo, style, seed=1)


def test_of_several_candidates_the_one_that_shows_its_style_best_is_kept(photo: Photo) -> None:
    found = []
    for candidates in (1, 2, 3, 5):
        settings = RenderSettings(candidates=candidates, rules=())
        renderer = BackdropRenderer(LibraryBackdrops(128), settings, judge=StyleJudge())
        variant = renderer.render(photo, WOOD, seed=11)
        found.append((variant.gate.scores["adherence"], variant.certificate.recipe["attempt"]))
    assert found[0][1] == 0
    assert found == sorted(found, key=lambda one: one[0])
    assert found[-1][0] > found[0][0]


def test_the_fingerprint_names_judge_and_fallback() -> None:
    source = LibraryBackdrops(128)
    prints = {
        BackdropRenderer(source).fingerprint(),
        BackdropRenderer(source, judge=StyleJudge()).fingerprint(),
        BackdropRenderer(source, fallback=PlainBackdrops()).fingerprint(),
        BackdropRenderer(source, RenderSettings(candidates=2)).fingerprint(),
    }
    assert len(prints) == 4


def test_a_cut_out_has_no_old_backdrop_that_could_be_left(photo: Photo, tmp_path: Path) -> None:
    alpha = np.zeros(photo.pixels.shape[:2], np.uint8)
    alpha[50:110, 50:110] = 255
    transparent = Image.fromarray(np.dstack([photo.pixels, alpha]))
    transparent.save(tmp_path / "cut-out.png")
    renderer = BackdropRenderer(LibraryBackdrops(128))
    variant = renderer.render(load_photo(tmp_path / "cut-out.png"), STYLE, seed=1)
    assert "rim" not in variant.gate.scores
    drawn = BackdropRenderer(LibraryBackdrops(128), RenderSettings(rules=()))
    assert "rim" in drawn.render(photo.with_alpha(alpha), STYLE, seed=1).gate.scores
