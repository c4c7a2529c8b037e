"""What the renderer does beyond what every source must do: candidates, the fallback, the judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from persona_img.domain.style import Style
from persona_img.errors import InvalidInput, RenderRejected, UnknownStyle
from persona_img.imaging.colour import lab_of
from persona_img.imaging.frame import Frame
from persona_img.imaging.photo import About, Photo, load_photo
from persona_img.rendering.base import BackdropSource, RenderSettings, Variant
from persona_img.rendering.framing import Layout
from persona_img.rendering.proof.adherence import StyleJudge
from persona_img.rendering.proof.gate import Rule
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.plain import PlainBackdrops
from persona_img.rendering.sources.tiles import LibraryBackdrops
from persona_img.scenery.adding import add_material
from persona_img.scenery.scenes import SCENES, fits
from persona_img.scenery.subject import USUAL_CM
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


class Grey(Blank):
    """The same, of no material: its plate is all that is seen."""

    def material(self, style: Mapping[str, str]) -> str | None:
        return None


def test_where_no_candidate_passes_the_fallback_paints(photo: Photo) -> None:
    blank = Blank()
    renderer = BackdropRenderer(blank, RenderSettings(tries=2), fallback=LibraryBackdrops(128))
    variant = renderer.render(photo, STYLE, seed=3)
    assert blank.asked == 2
    assert variant.gate.passed
    assert variant.certificate.recipe["backdrops"] == "library"
    assert variant.certificate.recipe["checkpoint"] == LibraryBackdrops(128).fingerprint()
    alone = BackdropRenderer(LibraryBackdrops(128), RenderSettings(tries=2))
    assert (variant.pixels == alone.render(photo, STYLE, seed=3).pixels).all()


def test_without_a_fallback_or_where_it_does_not_help_the_style_is_rejected(photo: Photo) -> None:
    settings = RenderSettings(tries=2)
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

    style = Style.of({"surface": "velvet", "palette": "sage", "light": "soft"})
    settings = RenderSettings(tries=1)
    renderer = BackdropRenderer(Anything(), settings, fallback=LibraryBackdrops(128))
    with pytest.raises(RenderRejected, match="no candidate of 1"):
        renderer.render(photo, style, seed=1)


def test_of_several_candidates_the_one_that_shows_its_style_best_is_kept(photo: Photo) -> None:
    gained = 0
    for seed in range(11, 15):
        found = []
        for candidates in (1, 2, 5):
            settings = RenderSettings(candidates=candidates, rules=())
            renderer = BackdropRenderer(LibraryBackdrops(128), settings, judge=StyleJudge())
            variant = renderer.render(photo, WOOD, seed=seed)
            found.append((variant.gate.scores["adherence"], variant.certificate.recipe["attempt"]))
        assert found[0][1] == 0
        assert found == sorted(found, key=lambda one: one[0])
        gained += found[-1][0] > found[0][0]
    assert gained >= 2


class Prefers:
    """A judge of pictures that knows what it likes, and keeps what it was asked about."""

    def __init__(self, sign: float, name: str = "") -> None:
        self.sign, self.name = sign, name
        self.asked: list[tuple[Style, float]] = []

    def reward(self, style: Style, picture: np.ndarray, alpha: np.ndarray) -> float:
        assert alpha.shape == picture.shape[:2]
        self.asked.append((style, float(picture[alpha == 0].mean())))
        return self.sign * self.asked[-1][1]

    def fingerprint(self) -> str:
        return f"prefers {self.sign} {self.name}"


def test_of_several_candidates_a_chooser_keeps_the_one_it_prefers(photo: Photo) -> None:
    settings = RenderSettings(candidates=4, rules=())
    kept = []
    for sign in (1.0, -1.0):
        chooser = Prefers(sign)
        renderer = BackdropRenderer(
            LibraryBackdrops(128), settings, judge=StyleJudge(), chooser=chooser
        )
        variant = renderer.render(photo, WOOD, seed=11)
        seen = [value for _, value in chooser.asked]
        assert len(set(seen)) == 4
        assert {style for style, _ in chooser.asked} == {WOOD}
        best = seen.index(max(seen, key=lambda value: sign * value))
        recipe = variant.certificate.recipe
        assert recipe["attempt"] == best
        assert recipe["chooser"] == chooser.fingerprint()
        assert variant.certificate.product_unchanged
        kept.append(best)
    assert kept[0] != kept[1]


class Recording(StyleJudge):
    """The gate's judge, and what it said of each candidate in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[float] = []

    def adherence(
        self, picture: np.ndarray, alpha: np.ndarray, style: Mapping[str, str]
    ) -> float | None:
        found = super().adherence(picture, alpha, style)
        self.said.append(0.0 if found is None else found)
        return found


def test_a_chooser_is_asked_only_about_what_passed_the_gate(photo: Photo) -> None:
    """Let all pass but the one that it would have kept: it keeps another, unasked about that."""
    source, judge, eager = LibraryBackdrops(128), Recording(), Prefers(1.0)
    settings = RenderSettings(candidates=4, rules=())
    BackdropRenderer(source, settings, judge=judge, chooser=eager).render(photo, WOOD, seed=11)
    every = [value for _, value in eager.asked]
    best = every.index(max(every))
    low, said = min(judge.said), judge.said[best]
    # A rule that only this one breaks: it shows its style either worst of all or not so.
    rule = (
        Rule("adherence", "shows it so", least=low + 1e-9)
        if said == low
        else Rule("adherence", "shows it so", most=said - 1e-9)
    )
    passing = [
        v for v, one in zip(every, judge.said, strict=True) if rule.passes({"adherence": one})
    ]
    assert 0 < len(passing) < 4
    chooser = Prefers(1.0)
    strict = replace(settings, rules=(rule,))
    variant = BackdropRenderer(source, strict, judge=StyleJudge(), chooser=chooser).render(
        photo, WOOD, seed=11
    )
    assert [value for _, value in chooser.asked] == passing
    assert variant.certificate.recipe["attempt"] == every.index(max(passing)) != best


def test_without_a_chooser_recipe_and_fingerprint_are_as_ever(photo: Photo) -> None:
    source = LibraryBackdrops(128)
    plain = BackdropRenderer(source, RenderSettings(candidates=2))
    assert "chooser" not in plain.render(photo, STYLE, seed=3).certificate.recipe
    prints = {
        BackdropRenderer(source, RenderSettings(candidates=2), chooser=chooser).fingerprint()
        for chooser in (None, Prefers(1.0), Prefers(1.0, "another"))
    }
    assert len(prints) == 3
    assert plain.fingerprint() in prints
    chosen = BackdropRenderer(source, chooser=Prefers(1.0))
    assert chosen.laid_out(Layout("4:5")).chooser is chosen.chooser


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
    cut_out = replace(load_photo(tmp_path / "cut-out.png"), about=About("lying"))
    renderer = BackdropRenderer(LibraryBackdrops(128))
    variant = renderer.render(cut_out, STYLE, seed=1)
    assert "rim" not in variant.gate.scores
    drawn = BackdropRenderer(LibraryBackdrops(128), RenderSettings(rules=()))
    masked = replace(photo.with_alpha(alpha), about=About("lying"))
    assert "rim" in drawn.render(masked, STYLE, seed=1).gate.scores


def test_a_cut_outs_edge_is_its_own_and_what_it_hides_is_never_seen() -> None:
    """Straight alpha holds the product's colour; a photograph with a mask holds a mixture."""
    hidden = 0, (255, 0, 255), 255
    photos = [load_photo(encoded(Image.fromarray(disc_cut_out(h)[0]))) for h in hidden]
    _, colours, share = disc_cut_out()
    even = RenderSettings(rules=(), colour_pull=0)
    renderer = BackdropRenderer(Grey(), even)
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


@pytest.mark.parametrize("name", ["painted", "colour_pull", "relight", "light_wrap"])
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


# Scenes


def a_thing(pose: str | None = "standing", size_cm: float | None = 24.0) -> Photo:
    """A patterned box that stands, on a light ground."""
    yy, xx = np.mgrid[0:240, 0:200]
    rng = np.random.default_rng(3)
    box = (yy > 90) & (yy < 200) & (xx > 65) & (xx < 135)
    pixels = np.where(box[..., None], np.array([150, 40, 60]), np.array([222, 218, 212]))
    noise = rng.normal(0, 6, (240, 200, 1)) * np.where(box[..., None], 3, 1)
    made = Photo.of(np.clip(pixels + noise, 0, 255).astype(np.uint8), np.uint8(255) * box)
    return replace(made, about=About(pose, size_cm))


def styled(scene: str, **more: str) -> Style:
    return Style.of({"surface": "linen", "light": "side", "scene": scene, **more})


@pytest.fixture(scope="module")
def free() -> BackdropRenderer:
    """A renderer that refuses nothing but what does not fit."""
    return BackdropRenderer(LibraryBackdrops(160), RenderSettings(rules=()))


@pytest.mark.parametrize("scene", sorted(name for name in SCENES if fits(name, "standing")))
def test_what_stands_is_shown_in_its_scene_and_every_pixel_of_it_is_the_photographs(
    free: BackdropRenderer, scene: str
) -> None:
    photo = a_thing()
    variant = free.render(photo, styled(scene), seed=2)
    assert photo.alpha is not None
    ys, xs = np.nonzero(photo.alpha == 255)
    dx, dy = variant.certificate.offset
    np.testing.assert_array_equal(variant.pixels[ys + dy, xs + dx], photo.pixels[ys, xs])
    assert variant.certificate.product_unchanged
    assert variant.certificate.recipe["rests"] == "stands"
    assert variant.certificate.recipe["stands"]["pose"] == "standing"
    again = BackdropRenderer(LibraryBackdrops(160), free.settings)
    assert again.render(photo, styled(scene), seed=2).png == variant.png
    assert free.render(photo, styled(scene), seed=3).png != variant.png


@pytest.mark.parametrize(
    ("pose", "scene"), [("lying", "tabletop"), (None, "podium"), ("standing", "flat-lay")]
)
def test_a_scene_from_a_wrong_viewpoint_is_refused_with_those_that_fit(
    free: BackdropRenderer, pose: str | None, scene: str
) -> None:
    told: list[str] = []
    made = free.render_many(
        a_thing(pose),
        [styled(scene), styled("flat-lay" if pose != "standing" else "shelf")],
        [1, 1],
        on_rejected=lambda style, error: told.append(str(error)),
    )
    assert len(list(made)) == 1
    assert f"wrong viewpoint: a {pose or 'lying'} product does not fit scene={scene}" in told[0]
    fitting = told[0].split("choose from ")[1]
    assert all(
        (name in fitting.split(",")[0] or f" {name}" in fitting) == fits(name, pose or "lying")
        for name in SCENES
    )


def test_an_unknown_scene_is_an_error_before_anything_is_rendered(free: BackdropRenderer) -> None:
    with pytest.raises(UnknownStyle, match="scene=beach"):
        free.render(a_thing(), styled("beach"), seed=1)


def test_a_material_is_shown_at_the_scale_of_the_product(
    free: BackdropRenderer, tmp_path: Path
) -> None:
    """Stripes of five centimetres, beside a box of 110 pixels that is told to be as tall."""
    across = np.where(np.arange(512) % 64 < 32, 90, 200)
    stripes = np.broadcast_to(across[None, :, None], (512, 512, 3)).astype(np.uint8)
    Image.fromarray(stripes).save(tmp_path / "stripes.jpg", quality=97)
    table = '[surface.stripes]\nlab = [60, 0, 0]\nrepeat = "tile"\n[[surface.stripes.tile]]\n'
    (tmp_path / "materials.toml").write_text(table + 'file = "stripes.jpg"\ncm = 40\nturn = false')
    settings = RenderSettings(rules=(), materials=tmp_path)
    own = BackdropRenderer(LibraryBackdrops(160, tmp_path), settings)
    assert own.fingerprint() != free.fingerprint()
    for cm in (25.0, 50.0):
        style = Style.of({"surface": "stripes", "light": "soft"})
        made = own.render(a_thing("lying", cm), style, seed=2).pixels
        line = made[-20:].mean(axis=(0, 2))
        ups = np.flatnonzero(np.diff((line > line.mean()).astype(int)) == 1)
        assert np.diff(ups).mean() == pytest.approx(5 * 110 / cm, rel=0.06)
    untold = free.render(a_thing(size_cm=None), styled("tabletop"), seed=2)
    assert untold.certificate.recipe["stands"]["cm"] == USUAL_CM["standing"]


def test_a_photograph_lit_from_the_right_gets_a_set_lit_from_there(free: BackdropRenderer) -> None:
    photo = a_thing()
    assert photo.alpha is not None
    across = np.linspace(0.75, 1.1, 200)[None, :, None]
    turned = np.where(photo.alpha[..., None] > 0, photo.pixels, photo.pixels * across)
    pixels = np.clip(turned, 0, 255).astype(np.uint8)
    lit = replace(Photo.of(pixels, photo.alpha), about=photo.about)
    usual, right = (free.render(p, styled("tabletop"), seed=2) for p in (photo, lit))
    assert right.certificate.recipe["stands"]["side"] == 1.0
    assert usual.certificate.recipe["stands"]["side"] == 0.0

    def leaning(variant: Variant) -> float:
        base = np.nonzero((variant.alpha > 0).any(axis=1))[0].max()
        beside = variant.pixels[base - 12 : base + 1].mean(axis=(0, 2))
        columns = np.nonzero((variant.alpha > 0).any(axis=0))[0]
        left = beside[columns[0] - 25 : columns[0] - 5].mean()
        return float(left - beside[columns[-1] + 5 : columns[-1] + 25].mean())

    assert leaning(usual) > 5
    assert leaning(right) < -5


def test_a_brands_colour_is_shown_as_it_is_in_no_photographs_light() -> None:
    photo = a_thing()
    dim = replace(Photo.of((photo.pixels * 0.5).astype(np.uint8), photo.alpha), about=photo.about)
    style = Style.of(
        {"surface": "plaster", "colour": "#2e6f8e", "light": "soft", "scene": "tabletop"}
    )
    renderer = BackdropRenderer(LibraryBackdrops(160))
    bright, dark = (renderer.render(p, style, seed=3) for p in (photo, dim))
    assert dark.certificate.recipe["stands"]["exposure"] < 0.9
    corner = np.s_[-30:, :30]
    shown = [v.pixels[corner].mean(axis=(0, 1)) for v in (bright, dark)]
    np.testing.assert_allclose(shown[0], shown[1], atol=0.2)
    # Without a colour of its own the set is as dark as the photograph.
    plain = Style.of({k: v for k, v in style.values.items() if k != "colour"})
    usual, dim_set = (renderer.render(p, plain, seed=3).pixels[corner].mean() for p in (photo, dim))
    assert dim_set < usual - 10


def test_a_painters_plate_with_its_own_shadow_gets_no_second_one() -> None:
    class Shadowed(Grey):
        casts_shadows = True

    settings = RenderSettings(rules=(), colour_pull=0)
    style = Style.of({"surface": "linen", "light": "soft"})
    photo = a_thing("lying")
    once = BackdropRenderer(Shadowed(), settings).render(photo, style, seed=1)
    twice = BackdropRenderer(Grey(), settings).render(photo, style, seed=1)
    beside = (cv2.dilate(once.alpha, np.ones((5, 5), np.uint8)) > 0) & (once.alpha == 0)
    assert once.pixels[beside].mean() > twice.pixels[beside].mean() + 4


@pytest.mark.parametrize("painted", [0.0, 1.0])
def test_what_a_painter_changes_is_light_and_the_detail_stays_the_materials(painted: float) -> None:
    class Brighter(LibraryBackdrops):
        def plates(
            self,
            product: np.ndarray,
            mask: np.ndarray,
            styles: Sequence[Mapping[str, str]],
            seeds: Sequence[int],
            starts: Sequence[np.ndarray | None] | None = None,
        ) -> list[np.ndarray]:
            assert starts is not None
            return [np.clip(start * 1.1, 0, 1) for start in starts if start is not None]

    settings = RenderSettings(rules=(), colour_pull=0, painted=painted)
    photo, style = a_thing(), styled("tabletop", surface="concrete")
    set_alone = BackdropRenderer(LibraryBackdrops(160), settings).render(photo, style, seed=1)
    made = BackdropRenderer(Brighter(160), settings).render(photo, style, seed=1)
    foot = np.s_[-40:, :60]
    before, after = (v.pixels[foot].astype(float).mean(axis=2) for v in (set_alone, made))
    assert after.mean() / before.mean() == pytest.approx(1.1 if painted else 1.0, abs=0.02)
    fine = [x - cv2.GaussianBlur(x, (0, 0), 2) for x in (before, after)]
    assert np.corrcoef(fine[0].ravel(), fine[1].ravel())[0, 1] > 0.97


def test_of_a_material_the_judge_was_not_taught_it_says_nothing(
    photo: Photo, tmp_path: Path
) -> None:
    grain = np.random.default_rng(1).integers(90, 160, (300, 300, 1), dtype=np.uint8)
    Image.fromarray(np.repeat(grain, 3, axis=2)).save(tmp_path / "counter.png")
    own = tmp_path / "own"
    add_material(own, tmp_path / "counter.png", "our-counter", 80)
    source = LibraryBackdrops(128, materials=own)
    settings = RenderSettings(rules=(), materials=own)
    renderer = BackdropRenderer(source, settings, judge=StyleJudge())
    known, other = (
        renderer.render(photo, Style.of({"surface": s, "light": "soft"}), seed=1)
        for s in ("linen", "our-counter")
    )
    assert "adherence" in known.gate.scores
    assert "adherence" not in other.gate.scores
