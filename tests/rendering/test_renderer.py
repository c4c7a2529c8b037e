"""What the renderer does beyond what every source must do: candidates, the fallback, the judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from persona_img.domain.style import Style
from persona_img.errors import InvalidInput, RenderRejected
from persona_img.imaging.colour import lab_of
from persona_img.imaging.frame import Frame
from persona_img.imaging.photo import Photo, load_photo
from persona_img.rendering.base import BackdropSource, RenderSettings
from persona_img.rendering.framing import Layout
from persona_img.rendering.proof.adherence import StyleJudge
from persona_img.rendering.proof.gate import Rule
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.plain import PlainBackdrops
from persona_img.rendering.sources.tiles import LibraryBackdrops
from pictures import disc_cut_out, encoded

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


def test_a_cut_outs_edge_is_its_own_and_what_it_hides_is_never_seen() -> None:
    """Straight alpha holds the product's colour; a photograph with a mask holds a mixture."""
    hidden = 0, (255, 0, 255), 255
    photos = [load_photo(encoded(Image.fromarray(disc_cut_out(h)[0]))) for h in hidden]
    _, colours, share = disc_cut_out()
    even = RenderSettings(rules=(), texture=0, colour_pull=0)
    renderer = BackdropRenderer(Blank(), even)
    variants = [renderer.render(photo, STYLE, seed=1) for photo in photos]
    assert len({v.digest for v in variants}) == 1
    frame = Frame(*variants[0].certificate.size, *variants[0].certificate.offset)
    product = frame.place(np.round(colours).astype(np.uint8), 0)
    alpha = variants[0].alpha[..., None].astype(np.float32) / 255
    edge = (alpha[..., 0] > 0.2) & (alpha[..., 0] < 0.8)
    # What is not product is the grey plate, or the plate in the contact shadow.
    plate = ((variants[0].pixels - alpha * product) / np.maximum(1 - alpha, 1e-3))[edge]
    assert plate.max() < 127.5 + 3
    assert plate.min() > 50
    # The same product photographed on white: that edge is unmixed.
    white = colours * share[..., None] + 255 * (1 - share[..., None])
    photo = Photo.of(np.round(white).astype(np.uint8), np.round(255 * share).astype(np.uint8))
    made = renderer.render(photo, STYLE, seed=1)
    assert made.certificate.offset == variants[0].certificate.offset
    assert np.abs(made.pixels[edge].astype(int) - variants[0].pixels[edge]).mean() < 12


def test_a_layout_gives_the_format_and_a_measured_room_for_text(photo: Photo) -> None:
    renderer = BackdropRenderer(PlainBackdrops())
    wide = renderer.laid_out(Layout("16:9", "left"))
    assert wide.backdrops is renderer.backdrops
    assert wide.fingerprint() != renderer.fingerprint()
    variant = wide.render(photo, STYLE, seed=3)
    width, height = variant.certificate.size
    assert width / height == pytest.approx(16 / 9, abs=0.01)
    assert variant.certificate.text is not None
    left, top, box_width, box_height = variant.certificate.text["box"]
    assert not (variant.alpha[top : top + box_height, left : left + box_width] >= 16).any()
    assert variant.gate.scores["text_contrast"] == variant.certificate.text["contrast"] >= 4.5
    assert variant.certificate.recipe["settings"] == {"format": "16:9", "text": "left"}
    assert "settings" not in renderer.render(photo, STYLE, seed=3).certificate.recipe


@pytest.mark.parametrize("source", [PlainBackdrops(), LibraryBackdrops(128)])
def test_a_colour_by_number_is_met(photo: Photo, source: BackdropSource) -> None:
    style = Style.of({"surface": "plaster", "colour": "#2e6f8e", "light": "soft"})
    assert source.colour(style.values) == pytest.approx(lab_of("#2e6f8e"))
    variant = BackdropRenderer(source, judge=StyleJudge()).render(photo, style, seed=3)
    corner = variant.pixels[:40, :40].reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(corner, (0x2E, 0x6F, 0x8E), atol=14)


@pytest.mark.parametrize("name", ["texture", "colour_pull", "relight", "light_wrap"])
def test_shares_lie_between_nothing_and_all(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name}=1.5: give a share from 0 to 1"):
        RenderSettings(**{name: 1.5})


class OffColour(PlainBackdrops):
    """Paints everything a good deal too light, as a network does with a colour it never saw."""

    name = "off-colour"

    def plates(
        self,
        product: np.ndarray,
        mask: np.ndarray,
        styles: Sequence[Mapping[str, str]],
        seeds: Sequence[int],
        starts: Sequence[np.ndarray | None] | None = None,
    ) -> list[np.ndarray]:
        made = super().plates(product, mask, styles, seeds, starts)
        return [np.clip(plate * 1.5, 0, 1) for plate in made]


def test_a_colour_by_number_is_owed_exactly_however_far_the_source_is_off(photo: Photo) -> None:
    style = Style.of({"colour": "#2e6f8e", "light": "soft"})
    variant = BackdropRenderer(OffColour()).render(photo, style, seed=3)
    assert variant.gate.scores["colour_error"] < 1.0
