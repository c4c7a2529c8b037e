from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.assets import ASSETS
from persona_img.errors import InvalidInput
from persona_img.imaging.photo import load_photo
from persona_img.masking.correct import Stroke, correct

HEIGHT, WIDTH = 120, 160


def noisy(colours: np.ndarray, seed: int = 1) -> np.ndarray:
    grain = np.random.default_rng(seed).normal(0, 3, colours.shape[:2])[..., None]
    return np.clip(colours + grain, 0, 255).astype(np.uint8)


def dab(x: int, y: int, *, keep: bool, radius: int = 3, reach: int = 40) -> Stroke:
    return Stroke(keep, ((x, y),), radius, reach)


def iou(alpha: np.ndarray, truth: np.ndarray) -> float:
    found = alpha > 127
    return float((found & truth).sum() / (found | truth).sum())


def shirt(side: int = 400, floor: int = 190) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A dark red shirt with a pale round print on a grey floor; its mask, and the print's."""
    photo = np.full((side, side, 3), float(floor))
    product, printed = np.zeros((2, side, side), bool)
    product[80:340, 100:300] = True
    yy, xx = np.mgrid[:side, :side]
    printed[(yy - 200) ** 2 + (xx - 200) ** 2 < 45**2] = True
    photo[product], photo[printed] = (150, 20, 30), (225, 220, 200)
    return noisy(photo), product, printed


@pytest.mark.parametrize("floor", [190, 222])
def test_a_print_taken_for_floor_comes_back_by_one_point(floor: int) -> None:
    """Also where the floor has the print's own colour: the hole is wrong as a whole."""
    photo, product, printed = shirt(floor=floor)
    alpha = np.where(product & ~printed, 255, 0).astype(np.uint8)
    found = correct(photo, alpha, [dab(200, 200, keep=True, reach=80)])
    assert iou(found, product) > 0.99
    assert (found[printed] == 255).mean() > 0.98
    assert (found[:60] == alpha[:60]).all()


def test_a_fold_whose_shades_are_around_it_too_comes_back_whole() -> None:
    """On a photograph: a dress before a wall with twigs of its colour, more of it left out."""
    photo = load_photo(ASSETS / "catalog" / "photos" / "dress-06.jpg").pixels
    fold = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(fold, [np.array([[168, 250], [176, 250], [192, 430], [184, 430]])], 1)
    alpha = np.zeros(photo.shape[:2], np.uint8)
    alpha[200:480, 135:260] = 255
    alpha[fold > 0] = 0
    found = correct(photo, alpha, [dab(176, 330, keep=True, reach=107)])
    assert (found[fold > 0] > 250).mean() > 0.97


def test_a_shadow_taken_for_product_goes_by_one_point() -> None:
    photo, product, _ = shirt()
    shadow = np.zeros_like(product)
    shadow[300:360, 300:350] = True
    photo[shadow] = noisy(np.full((*photo.shape[:2], 3), 120.0))[shadow]
    alpha = np.where(product | shadow, 255, 0).astype(np.uint8)
    found = correct(photo, alpha, [dab(325, 330, keep=False, reach=80)])
    assert iou(found, product) > 0.99
    assert (found[shadow] == 0).mean() > 0.97


def test_the_loop_of_a_handle_stays_open_where_the_handle_is_kept() -> None:
    photo = np.full((300, 300, 3), 200.0)
    product = np.zeros((300, 300), np.uint8)
    cv2.rectangle(product, (60, 80), (160, 240), 1, cv2.FILLED)
    cv2.circle(product, (165, 160), 50, 1, 16)
    photo[product > 0] = (40, 60, 130)
    photo, truth = noisy(photo), product > 0
    bitten = truth.copy()
    bitten[120:200, 195:230] = False
    found = correct(photo, np.where(bitten, 255, 0).astype(np.uint8), [dab(214, 160, keep=True)])
    assert iou(found, truth) > 0.98
    assert found[160, 185] == 0


def test_a_piece_that_is_no_product_goes_whole_and_the_product_stays() -> None:
    photo, product, printed = shirt()
    tag = np.zeros_like(product)
    tag[20:60, 40:80] = True
    photo[20:60, 40:60], photo[20:60, 60:80] = (30, 30, 30), (240, 200, 40)
    alpha = np.where(product | tag, 255, 0).astype(np.uint8)
    found = correct(photo, alpha, [dab(50, 40, keep=False, reach=60)])
    assert (found[tag] == 0).all()
    assert (found[product] == 255).all()
    assert printed.any()


def test_what_looks_like_the_floor_is_not_flooded_from_an_open_edge() -> None:
    """Nothing tells how far a bite into the outline goes where product and floor are alike."""
    photo = noisy(np.full((200, 200, 3), 200.0))
    alpha = np.zeros((200, 200), np.uint8)
    alpha[60:140, 60:140] = 255
    found = correct(photo, alpha, [dab(150, 100, keep=True, radius=5)])
    assert found[100, 150] == 255
    assert (found != alpha).sum() < 600


def test_without_reach_exactly_the_strokes_are_drawn() -> None:
    photo = noisy(np.full((HEIGHT, WIDTH, 3), 90.0))
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    line = Stroke(True, ((20, 20), (100, 20), (100, 80)), 6, 0)
    found = correct(photo, alpha, [line])
    assert (found[16:25, 20:100] == 255).all()
    assert (found[30:, :90] == 0).all()
    assert 0 < ((found > 0) & (found < 255)).sum() < 900  # its rim is soft


def test_it_draws_at_the_photos_own_size() -> None:
    """The edge of a large photo is as sharp as the photo, not as the small window."""
    photo, product, printed = shirt(side=400)
    large = cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    alpha = np.where(product & ~printed, 255, 0).astype(np.uint8)
    alpha = cv2.resize(alpha, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    found = correct(large, alpha, [dab(800, 800, keep=True, radius=9, reach=320)])
    truth = cv2.resize(product.astype(np.uint8), None, fx=4, fy=4) > 0
    assert iou(found, truth) > 0.99
    assert (found[560:1040, 560:1040] > 250).all()


points = st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1))
drawn = st.lists(
    st.tuples(points, st.booleans(), st.integers(0, 8), st.integers(0, 30)),
    min_size=1,
    max_size=6,
    unique_by=lambda one: one[0],
)


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    blobs = cv2.GaussianBlur(rng.normal(0, 1, (HEIGHT, WIDTH)), (0, 0), 12)
    product = blobs > np.quantile(blobs, 0.6)
    photo = np.where(product[..., None], rng.integers(0, 255, 3), rng.integers(0, 255, 3))
    mask = cv2.GaussianBlur(blobs + 0.02 * rng.normal(0, 1, blobs.shape), (0, 0), 3)
    wrong = mask > np.quantile(mask, rng.uniform(0.1, 0.9))
    alpha = cv2.GaussianBlur(np.where(wrong, 255, 0).astype(np.uint8), (0, 0), 1)
    return noisy(photo.astype(float), seed), alpha


@settings(max_examples=60, deadline=None)
@given(drawn, st.integers(0, 10_000))
def test_a_persons_word_holds_and_nothing_far_away_changes(
    drawn: list[tuple[tuple[int, int], bool, int, int]], seed: int
) -> None:
    photo, alpha = scene(seed)
    strokes = [Stroke(keep, (point,), radius, reach) for point, keep, radius, reach in drawn]
    before = photo.copy(), alpha.copy()
    found = correct(photo, alpha, strokes)
    for (x, y), keep, _, _ in drawn:
        assert found[y, x] == (255 if keep else 0)
    yy, xx = np.mgrid[:HEIGHT, :WIDTH]
    near = np.zeros(alpha.shape, bool)
    for (x, y), _, radius, reach in drawn:
        near |= np.hypot(xx - x, yy - y) <= radius + reach + 2
    assert (found[~near] == alpha[~near]).all()
    assert (correct(photo, alpha, strokes[::-1]) == found).all()
    assert (photo == before[0]).all()
    assert (alpha == before[1]).all()


@settings(max_examples=40, deadline=None)
@given(drawn, st.integers(0, 10_000), st.booleans())
def test_keeping_only_adds_and_dropping_only_takes(
    drawn: list[tuple[tuple[int, int], bool, int, int]], seed: int, keep: bool
) -> None:
    photo, alpha = scene(seed)
    found = correct(photo, alpha, [Stroke(keep, (p,), r, reach) for p, _, r, reach in drawn])
    assert (found >= alpha).all() if keep else (found <= alpha).all()


def test_a_line_drawn_over_a_point_of_the_other_kind_leaves_the_point() -> None:
    photo, alpha = scene(1)
    line = Stroke(False, ((20, 50), (80, 50)), 4, 0)
    found = correct(photo, alpha, [dab(50, 50, keep=True, reach=0), line])
    assert found[50, 50] == 255
    assert (found[50, [20, 80]] == 0).all()


def test_a_point_is_one_thing_and_on_the_photo() -> None:
    photo, alpha = scene(1)
    with pytest.raises(InvalidInput, match="point 5,6: is both kept and dropped"):
        correct(photo, alpha, [dab(5, 6, keep=True), dab(5, 6, keep=False)])
    with pytest.raises(InvalidInput, match="point 160,3: the photo is 160 x 120"):
        correct(photo, alpha, [dab(160, 3, keep=True)])
