from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from examples import a_photo
from persona_img.imaging.colour import to_lab
from persona_img.imaging.copies import CopyIndex
from persona_img.imaging.frame import Frame
from persona_img.imaging.light import to_srgb
from persona_img.rendering.compose import Placed
from persona_img.rendering.proof.gate import (
    RULES,
    Rule,
    judge,
    picture_scores,
    plate_scores,
    sharpness_scores,
)
from persona_img.rendering.proof.measure import (
    Look,
    compare_product,
    distinct,
    grounding,
    plate_mottle,
    plate_noise,
    plate_spread,
    rim,
    sharpness,
    silhouette_growth,
    standing,
)
from persona_img.scenery.build import SceneSet
from persona_img.scenery.scenes import APART, LIES, STANDS
from sets import SIZE, plan, silhouette

GOOD = {
    "mask_confidence": 1.0, "core_changed": 0.0, "core_outside": 0.0, "product_share": 0.3,
    "rim": 0.0, "silhouette_growth": 0.0, "grounding": 0.3, "distinct": 30.0,
    "adherence": 0.9, "plate_spread": 5.0, "plate_noise": 0.3,
    "plate_mottle": 1.0, "sharpness": 0.9, "colour_error": 2.0, "text_contrast": 9.0, "copy": 0.2,
}  # fmt: skip
BAD = {
    "mask_confidence": 0.49, "core_changed": 1.0, "core_outside": 1.0, "product_share": 0.02,
    "rim": 0.2, "silhouette_growth": 0.1, "grounding": 0.0, "distinct": 0.5,
    "adherence": 1e-4, "plate_spread": 0.0, "plate_noise": 20.0,
    "plate_mottle": 6.0, "sharpness": 0.2, "colour_error": 30.0, "text_contrast": 2.0, "copy": 0.99,
}  # fmt: skip


def test_good_scores_pass_and_every_rule_is_exercised_here() -> None:
    assert judge(GOOD).passed
    assert judge(GOOD).reasons == ()
    assert {rule.score for rule in RULES} == set(GOOD) == set(BAD)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.score)
def test_each_bad_undefined_or_missing_score_is_refused_with_its_reason(rule: Rule) -> None:
    name = rule.score
    for value in (BAD[name], math.nan):
        report = judge(GOOD | {name: value})
        assert not report.passed
        assert len(report.reasons) == 1
        assert name in report.reasons[0]
        assert report.final == rule.photo
    assert judge({k: v for k, v in GOOD.items() if k != name}).passed == rule.optional


@pytest.fixture(scope="module")
def built() -> SceneSet:
    """A set of paper around a box that lies."""
    return SceneSet(plan("flat-lay", None, pose="lying"))


@pytest.fixture(scope="module")
def start(built: SceneSet) -> np.ndarray:
    return built.draw(*SIZE).srgb


def refused(
    built: SceneSet, plate: np.ndarray, start: np.ndarray, training: CopyIndex | None = None
) -> set[str]:
    """Names of the rules that a plate painted from this start breaks."""
    area = built.area(*SIZE)
    found = judge(GOOD | plate_scores(plate, start, built.expected, area, training))
    return {rule.score for rule in RULES if any(rule.score in r for r in found.reasons)}


def test_a_set_as_it_was_drawn_passes(built: SceneSet, start: np.ndarray) -> None:
    assert refused(built, start, start) == set()


@pytest.mark.parametrize(
    ("scene", "surface"),
    [
        ("flat-lay", "brick"),
        ("flat-lay", "gravel"),
        ("flat-lay", "onyx"),
        ("tabletop", "terrazzo"),
        ("podium", "oak"),
        ("shelf", "slate"),
        ("outdoor", "planks"),
    ],
)
def test_a_lively_material_is_neither_noise_nor_blotches(scene: str, surface: str) -> None:
    """Of both what the painter added to its set counts, not what the material has."""
    made = SceneSet(plan(scene, surface, pose="lying" if scene == "flat-lay" else "standing"))
    drawn = made.draw(*SIZE).srgb
    assert refused(made, drawn, drawn) <= {"colour_error"}


def test_a_blank_sheet_noise_and_blotches_do_not(built: SceneSet, start: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    blank = np.broadcast_to(start[:1, :1], start.shape).astype(np.float32)
    assert "plate_spread" in refused(built, blank, start)
    noise = np.clip(start + rng.normal(0, 0.2, start.shape), 0, 1).astype(np.float32)
    assert "plate_noise" in refused(built, noise, start)
    clouds = cv2.GaussianBlur(rng.normal(0, 1, start.shape).astype(np.float32), (0, 0), 10)
    blotched = np.clip(0.9 * start + 0.08 * clouds / clouds.std(), 0, 1).astype(np.float32)
    assert "plate_mottle" in refused(built, blotched, start)


def test_another_colour_does_not_pass(built: SceneSet, start: np.ndarray) -> None:
    other = np.clip(start * np.float32([1.0, 0.75, 0.75]), 0, 1)
    assert "colour_error" in refused(built, other, start)


def test_a_copy_of_a_training_picture_does_not_pass(built: SceneSet, start: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    clouds = cv2.GaussianBlur(rng.normal(0, 1, start.shape[:2]).astype(np.float32), (0, 0), 14)
    plate = np.clip(0.9 * start + 0.05 * (clouds / clouds.std())[..., None], 0, 1)
    plate = plate.astype(np.float32)
    picture = np.round(plate * 255).astype(np.uint8)
    index = CopyIndex.of([picture], [np.ones(plate.shape[:2], np.float32)])
    assert "copy" in refused(built, plate, start, index)
    assert "copy" not in refused(built, plate[:, ::-1].copy(), start, index)


# Sharpness


def photographed(enlarged: float = 1.0) -> tuple[SceneSet, np.ndarray, np.ndarray]:
    """A table of concrete drawn at full size, or enlarged, and a sharp product on it."""
    height, width = 640, 512
    alpha = cv2.resize(silhouette(), (width, height), interpolation=cv2.INTER_NEAREST)
    known = plan("tabletop", "concrete", "side")
    built = SceneSet(replace(known, subject=replace(known.subject, alpha=alpha)))
    small = built.draw(round(height / enlarged), round(width / enlarged)).srgb
    drawn = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    weave = np.random.default_rng(1).normal(0, 14, (height, width, 1))
    weave = cv2.GaussianBlur(weave, (0, 0), 0.7)[..., None] * 2
    product = np.clip(np.array([120, 60, 70]) + weave, 0, 255)
    mixed = np.where(alpha[..., None] > 0, product, 255 * np.clip(drawn, 0, 1))
    return built, np.round(mixed).astype(np.uint8), alpha


def test_a_set_drawn_at_full_size_is_as_sharp_as_its_product_and_an_enlarged_one_is_not() -> None:
    found = {}
    for enlarged in (1.0, 3.0):
        built, picture, alpha = photographed(enlarged)
        found[enlarged] = sharpness_scores(picture, alpha, built)
    assert judge(GOOD | found[1.0]).passed, found
    reasons = judge(GOOD | found[3.0]).reasons
    assert [r for r in reasons if "softer than the product" in r], found
    assert found[1.0]["sharpness"] > 2 * found[3.0]["sharpness"]


def test_a_soft_photograph_may_have_a_soft_backdrop() -> None:
    _, picture, alpha = photographed(3.0)
    soft = cv2.GaussianBlur(picture, (0, 0), 1.6)
    both = np.where(alpha[..., None] > 0, soft, picture)
    focus = np.ones(alpha.shape, bool)
    assert sharpness(both, alpha, focus) > sharpness(picture, alpha, focus)


def test_where_nothing_is_to_be_sharp_it_is_not_asked() -> None:
    built, picture, alpha = photographed()
    paper = SceneSet(replace(built.plan, surface=None))
    assert sharpness_scores(picture, alpha, paper) == {}
    hanging = replace(built.plan.subject, pose="hanging")
    far = SceneSet(replace(plan("outdoor", "terrazzo", pose="hanging"), subject=hanging))
    assert far.plan.far_only
    assert sharpness_scores(picture, alpha, far) == {}
    # A product of a few pixels, or a set of which nothing is in focus, tells nothing either.
    tiny = np.zeros_like(alpha)
    tiny[400:440, 200:240] = 255
    assert sharpness_scores(picture, tiny, built) == {}
    assert math.isnan(sharpness(picture, alpha, np.zeros(alpha.shape, bool)))


def test_measures_of_flat_and_lively_plates() -> None:
    flat = to_lab(np.full((40, 40, 3), 0.5, np.float32))
    assert plate_spread(flat) == pytest.approx(0, abs=1e-4)
    assert plate_noise(flat) == pytest.approx(0, abs=1e-4)
    assert plate_mottle(flat, np.ones((40, 40))) == pytest.approx(0, abs=1e-3)
    assert math.isnan(plate_mottle(flat, np.zeros((40, 40))))


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A violet disc photographed on beige, its mask, and a composite on green."""
    photo = a_photo(240).pixels
    yy, xx = np.mgrid[0:240, 0:240]
    alpha = (np.hypot(yy - 132, xx - 115.2) < 65).astype(np.uint8) * 255
    variant = np.where(alpha[..., None] > 0, photo, np.uint8([60, 130, 90]))
    return variant, photo, alpha


def test_a_clean_outline_has_no_rim_and_one_of_old_backdrop_has() -> None:
    variant, photo, alpha = scene()
    assert rim(Look(variant, alpha), Look(photo, alpha)) < 0.01
    wide = cv2.dilate(alpha, np.ones((9, 9), np.uint8))
    kept = np.where(wide[..., None] > 0, photo, np.uint8([60, 130, 90]))
    assert rim(Look(kept, wide), Look(photo, wide)) > 0.3


def test_a_shadow_is_no_growth_and_a_painted_sleeve_is() -> None:
    variant, _, alpha = scene()
    assert silhouette_growth(Look(variant, alpha)) == 0.0
    shaded = variant.copy()
    beside = (cv2.dilate(alpha, np.ones((15, 15), np.uint8)) > 0) & (alpha == 0)
    shaded[beside] = (shaded[beside] * 0.5).astype(np.uint8)
    assert silhouette_growth(Look(shaded, alpha)) < 0.005
    grown = variant.copy()
    grown[beside] = (60, 40, 90)
    assert silhouette_growth(Look(grown, alpha)) > 0.05


def test_a_shadow_beside_the_product_grounds_it() -> None:
    variant, _, alpha = scene()
    assert grounding(Look(variant, alpha)) < 0.02
    near = cv2.GaussianBlur(alpha, (0, 0), 4).astype(np.float32)[..., None] / 255
    shaded = np.where(alpha[..., None] > 0, variant, variant * (1 - 0.4 * near)).astype(np.uint8)
    assert 0.1 < grounding(Look(shaded, alpha)) < 0.6


def stood() -> tuple[np.ndarray, np.ndarray]:
    """A box that stands on a grey table, without any shadow."""
    alpha = cv2.resize(silhouette(), (240, 300), interpolation=cv2.INTER_NEAREST)
    picture = np.where(alpha[..., None] > 0, np.uint8([90, 40, 60]), np.uint8([170, 165, 160]))
    return picture, alpha


def test_what_stands_is_grounded_by_the_dark_under_it_and_not_by_a_shadow_around() -> None:
    picture, alpha = stood()
    assert abs(standing(Look(picture, alpha))) < 0.03
    base = int(np.flatnonzero(alpha.any(axis=1))[-1]) + 1
    columns = np.flatnonzero(alpha.any(axis=0))
    touched = picture.copy()
    under = np.s_[base : base + 5, columns[0] : columns[-1] + 1]
    touched[under] = (0.6 * touched[under]).astype(np.uint8)
    assert standing(Look(touched, alpha)) > 0.3
    halo = cv2.GaussianBlur(alpha, (0, 0), 4).astype(np.float32)[..., None] / 255
    halo[base - 8 :] = 0
    above = np.where(alpha[..., None] > 0, picture, picture * (1 - 0.5 * halo)).astype(np.uint8)
    assert standing(Look(above, alpha)) < 0.05


def test_a_dark_table_is_no_contact() -> None:
    picture, alpha = stood()
    dark = np.where(alpha[..., None] > 0, picture, picture // 4)
    assert abs(standing(Look(dark.astype(np.uint8), alpha))) < 0.05


@pytest.mark.parametrize("scene", ["tabletop", "shelf", "podium", "wall-floor", "room"])
def test_what_a_set_stands_something_on_is_grounded_and_without_contact_it_floats(
    scene: str,
) -> None:
    built = SceneSet(plan(scene, "plaster"))
    alpha = silhouette()
    product = np.array([0.25, 0.1, 0.15], np.float32)

    def seen(light: np.ndarray) -> float:
        mixed = np.where(alpha[..., None] > 0, product, light)
        picture = np.round(255 * to_srgb(mixed.astype(np.float32))).astype(np.uint8)
        return standing(Look(picture, alpha))

    least = next(rule.least for rule in RULES if rule.score == "grounding")
    bare = np.full((*SIZE, 3), 0.6, np.float32)
    drawn = built.draw(*SIZE).linear * built.contact(alpha)[..., None]
    assert seen(drawn) >= least
    assert seen(bare) < least


def test_by_how_it_rests_its_shadow_is_looked_for_beside_under_or_nowhere() -> None:
    variant, photo, alpha = scene()
    shade = 1 - 0.4 * cv2.GaussianBlur(alpha, (0, 0), 4).astype(np.float32)[..., None] / 255
    variant = np.where(alpha[..., None] > 0, variant, variant * shade).astype(np.uint8)
    look = Look(variant, alpha)
    assert abs(grounding(look) - standing(look)) > 0.01
    height, width = alpha.shape
    placed = Placed(Frame(width, height, 0, 0), photo, alpha, photo)
    report = compare_product(variant, photo, alpha, placed.frame, look)
    found = {
        rests: picture_scores(look, placed, report, 1.0, rests) for rests in (LIES, STANDS, APART)
    }
    assert found[LIES]["grounding"] == grounding(look)
    assert found[STANDS]["grounding"] == standing(look)
    assert "grounding" not in found[APART]
    cut = picture_scores(look, placed, report, 1.0, LIES, cut_out=True)
    assert set(found[LIES]) - set(cut) == {"rim"}


def test_a_product_in_the_backdrops_colour_is_not_distinct() -> None:
    variant, _, alpha = scene()
    assert distinct(Look(variant, alpha)) > 30
    hidden = np.where(alpha[..., None] > 0, variant, np.uint8([61, 41, 91]))
    assert distinct(Look(hidden, alpha)) < 3
    half = np.where(
        (np.arange(240) < 115)[:, None, None] & (alpha == 0)[..., None], hidden, variant
    )
    assert distinct(Look(half.astype(np.uint8), alpha)) < 3  # the weak quarter counts, not the mean


def test_without_product_or_backdrop_the_measures_are_undefined() -> None:
    variant, photo, alpha = scene()
    for empty in (np.zeros_like(alpha), np.full_like(alpha, 255)):
        assert math.isnan(silhouette_growth(Look(variant, empty)))
        assert math.isnan(rim(Look(variant, empty), Look(photo, empty)))
        assert math.isnan(grounding(Look(variant, empty)))
        assert math.isnan(standing(Look(variant, empty)))
        assert math.isnan(distinct(Look(variant, empty)))
