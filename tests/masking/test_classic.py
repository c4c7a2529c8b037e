from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from contracts.masker import MaskerContract
from persona_img.imaging.photo import load_photo
from persona_img.masking.base import MIN_CONFIDENCE, supplied
from persona_img.masking.classic import ClassicMasker, cut_out
from persona_img.masking.leftover import without_leftovers
from persona_img.masking.refine import guided_plane

PHOTOS = sorted((Path(__file__).parents[1] / "data" / "photos").glob("*.jpg"))
RNG = np.random.default_rng(3)


def cloth(shape: tuple[int, int], colour: tuple[int, int, int]) -> np.ndarray:
    noise = np.random.default_rng(sum(colour)).normal(0, 5, (*shape, 1))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def trousers(size: int = 320, gap: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Two legs below a waist, dark on a light floor; truth is 1 for product."""
    truth = np.zeros((size, size), np.uint8)
    truth[60:120, 90:230] = 1
    truth[120:280, 90 : 160 - gap // 2] = 1
    truth[120:280, 160 + gap // 2 : 230] = 1
    photo = np.where(truth[..., None] > 0, cloth(truth.shape, (40, 50, 90)), 0)
    floor = cloth(truth.shape, (200, 195, 185))
    return np.where(truth[..., None] > 0, photo, floor).astype(np.uint8), truth


class TestClassicMasker(MaskerContract):
    def make(self) -> ClassicMasker:
        return ClassicMasker()


def iou(alpha: np.ndarray, truth: np.ndarray) -> float:
    got, want = alpha >= 128, truth > 0
    return float((got & want).sum() / (got | want).sum())


def test_a_plain_product_is_cut_out_closely_and_with_confidence() -> None:
    photo, truth = trousers()
    found = cut_out(photo)
    assert iou(found.alpha, truth) > 0.97
    assert found.confidence > 0.8
    assert found.source == "classic"


@pytest.mark.parametrize("path", PHOTOS, ids=lambda p: p.stem)
def test_real_photos_are_cut_out_with_confidence_and_always_alike(path: Path) -> None:
    photo = load_photo(path)
    found, again = cut_out(photo.pixels), cut_out(photo.pixels)
    assert found.confidence >= MIN_CONFIDENCE
    assert found.alpha.shape == photo.pixels.shape[:2]
    assert (found.alpha == again.alpha).all()
    assert 0.05 < (found.alpha == 255).mean() < 0.7
    assert (found.alpha == 0).mean() > 0.2


def test_a_product_in_the_floors_colour_is_not_trusted() -> None:
    photo = cloth((240, 240), (128, 126, 120))
    photo[80:160, 80:160] = np.clip(photo[80:160, 80:160].astype(int) + 4, 0, 255)
    assert cut_out(photo).confidence < MIN_CONFIDENCE


def test_stripes_in_the_floors_colour_are_not_trusted() -> None:
    """The light stripes reach the outline and would be bitten off unseen."""
    photo, truth = trousers(gap=0)
    floor = cloth(truth.shape, (200, 195, 185))
    stripes = (np.arange(320)[:, None] // 20 % 2 == 0) & (truth > 0)
    photo = np.where(stripes[..., None], floor, photo).astype(np.uint8)
    found = cut_out(photo)
    assert iou(found.alpha, truth) > 0.95 or found.confidence < MIN_CONFIDENCE


def test_pieces_of_the_product_that_the_cut_drops_are_noticed() -> None:
    """Each is too small to count as a piece; together they are a third of the product."""
    truth = np.zeros((320, 320), np.uint8)
    truth[110:210, 110:210] = 1
    whole = np.where(truth[..., None] > 0, cloth(truth.shape, (40, 50, 90)), 0)
    whole = np.where(truth[..., None] > 0, whole, cloth(truth.shape, (200, 195, 185)))
    assert cut_out(whole.astype(np.uint8)).checks["colours"] == 1.0
    for top in (40, 250):
        for left in (40, 100, 160, 220, 270):
            whole[top : top + 19, left : left + 19] = cloth((19, 19), (40, 50, 90))
    found = cut_out(whole.astype(np.uint8))
    assert found.checks["colours"] < 0.5
    assert found.confidence < MIN_CONFIDENCE


def test_floor_kept_between_the_legs_is_taken_out_again() -> None:
    photo, truth = trousers()
    kept = truth.copy()
    kept[120:200, 140:180] = 1
    mended = without_leftovers(photo, kept)
    assert iou(mended * 255, truth) > 0.98
    assert (mended <= kept).all()


def test_a_print_in_the_floors_colour_stays() -> None:
    """It is not beside any floor, so nothing says that one can see through there."""
    photo, truth = trousers(gap=0)
    photo[150:170, 150:170] = cloth((20, 20), (200, 195, 185))
    assert (without_leftovers(photo, truth)[140:180, 140:180] == 1).all()


@pytest.mark.parametrize("value", [0, 1])
def test_a_cut_of_nothing_or_of_all_is_left_alone(value: int) -> None:
    cut = np.full((40, 40), value, np.uint8)
    assert (without_leftovers(cloth((40, 40), (9, 90, 200)), cut) == cut).all()


def test_the_edge_is_soft_and_narrow_at_any_size() -> None:
    photo, _ = trousers()
    photo = cv2.GaussianBlur(photo, (0, 0), 1.0)
    large = cv2.resize(photo, (1600, 1600), interpolation=cv2.INTER_CUBIC)
    for picture in (photo, large):
        alpha = cut_out(picture).alpha
        soft = ((alpha > 0) & (alpha < 255)).sum()
        outline = cv2.morphologyEx(
            (alpha > 127).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3))
        )
        assert 0 < soft < 12 * outline.sum() * max(picture.shape) / 320


def test_the_guided_filter_follows_a_linear_guide_exactly() -> None:
    guide = RNG.random((60, 50, 3)).astype(np.float32)
    wanted = (guide @ np.float32([0.3, -0.2, 0.5]) + 0.1).astype(np.float32)
    slope, offset = guided_plane(guide, wanted, 4, 1e-6)
    np.testing.assert_allclose((slope * guide).sum(-1) + offset, wanted, atol=2e-3)


def test_a_supplied_mask_is_trusted() -> None:
    alpha = np.full((80, 80), 255, np.uint8)
    mask = supplied(alpha)
    assert mask.confidence == 1.0
    assert mask.source == "supplied"
    assert mask.alpha is alpha
