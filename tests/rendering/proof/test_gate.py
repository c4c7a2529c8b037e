from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from contracts.renderer import canvas
from examples import a_photo
from persona_img.imaging.colour import to_lab
from persona_img.imaging.copies import CopyIndex
from persona_img.imaging.light import LIGHTS
from persona_img.rendering.proof.gate import RULES, Rule, judge, plate_scores
from persona_img.rendering.proof.measure import (
    Look,
    distinct,
    grounding,
    plate_mottle,
    plate_noise,
    plate_spread,
    rim,
    silhouette_growth,
)
from persona_img.rendering.sources.plain import PlainBackdrops
from persona_img.rendering.tone import Lighting

GOOD = {
    "mask_confidence": 1.0, "core_changed": 0.0, "core_outside": 0.0, "product_share": 0.3,
    "rim": 0.0, "silhouette_growth": 0.0, "grounding": 0.3, "distinct": 30.0,
    "adherence": 0.9, "plate_spread": 5.0, "plate_noise": 0.3,
    "plate_mottle": 1.0, "colour_error": 2.0, "text_contrast": 9.0, "copy": 0.2,
}  # fmt: skip
BAD = {
    "mask_confidence": 0.49, "core_changed": 1.0, "core_outside": 1.0, "product_share": 0.02,
    "rim": 0.2, "silhouette_growth": 0.1, "grounding": 0.0, "distinct": 0.5,
    "adherence": 1e-4, "plate_spread": 0.0, "plate_noise": 20.0,
    "plate_mottle": 6.0, "colour_error": 30.0, "text_contrast": 2.0, "copy": 0.99,
}  # fmt: skip
STYLE = {"surface": "linen", "palette": "sage", "light": "soft"}


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


def scores(plate: np.ndarray, training: CopyIndex | None = None) -> dict[str, float]:
    _, mask = canvas(*plate.shape[:2])
    asked = PlainBackdrops().colour(STYLE)
    return plate_scores(plate, asked, Lighting(mask, LIGHTS["soft"]), training)


def refused(plate: np.ndarray, training: CopyIndex | None = None) -> set[str]:
    found = judge(GOOD | scores(plate, training))
    return {rule.score for rule in RULES if any(rule.score in r for r in found.reasons)}


@pytest.fixture(scope="module")
def paper() -> np.ndarray:
    return PlainBackdrops().plates(*canvas(256, 224), [STYLE], [1])[0]


def test_a_lit_sheet_of_the_right_colour_passes(paper: np.ndarray) -> None:
    assert refused(paper) == set()


def test_a_blank_sheet_noise_and_blotches_do_not(paper: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    blank = np.broadcast_to(paper[:1, :1], paper.shape).astype(np.float32)
    assert refused(blank) == {"plate_spread"}
    noise = np.clip(paper + rng.normal(0, 0.2, paper.shape), 0, 1).astype(np.float32)
    assert "plate_noise" in refused(noise)
    clouds = cv2.GaussianBlur(rng.normal(0, 1, paper.shape).astype(np.float32), (0, 0), 10)
    blotched = np.clip(paper + 0.08 * clouds / clouds.std(), 0, 1).astype(np.float32)
    assert "plate_mottle" in refused(blotched)


def test_another_colour_does_not_pass(paper: np.ndarray) -> None:
    assert "colour_error" in refused(np.clip(paper * np.float32([1.25, 0.8, 0.8]), 0, 1))


def test_a_copy_of_a_training_picture_does_not_pass(paper: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    clouds = cv2.GaussianBlur(rng.normal(0, 1, paper.shape[:2]).astype(np.float32), (0, 0), 14)
    plate = np.clip(paper + 0.05 * (clouds / clouds.std())[..., None], 0, 1).astype(np.float32)
    picture = np.round(plate * 255).astype(np.uint8)
    index = CopyIndex.of([picture], [np.ones(plate.shape[:2], np.float32)])
    assert "copy" in refused(plate, index)
    assert "copy" not in refused(plate[:, ::-1].copy(), index)


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
        assert math.isnan(distinct(Look(variant, empty)))
