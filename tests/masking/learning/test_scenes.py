from __future__ import annotations

import numpy as np
import pytest

from contracts.masker import boxed
from persona_img.masking.inputs import SHAPES, border_prior, shape_of
from persona_img.masking.learning.corpus import UNKNOWN, label_of, true_alpha
from persona_img.masking.learning.scenes import Cutout, empty_floor, make_scene, mirrored

FLOORS = [np.full((400, 400, 3), 200, np.uint8), np.full((400, 400, 3), 90, np.uint8)]


def product() -> Cutout:
    alpha = np.zeros((200, 150), np.uint8)
    alpha[40:160, 30:120] = 255
    return Cutout(np.full((200, 150, 3), (180, 30, 40), np.uint8), alpha)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_scene_shows_its_product_where_the_mask_says(shape: tuple[int, int]) -> None:
    redder = 0
    for seed in range(24):
        rgb, alpha = make_scene(product(), FLOORS, shape, np.random.default_rng(seed))
        assert rgb.shape == (*shape, 3)
        assert alpha.shape == shape
        assert (alpha > 127).any()
        redness = rgb[..., 0].astype(int) - rgb[..., 1]
        backdrop = redness[alpha < 5] if (alpha < 5).any() else np.zeros(1)
        redder += bool(np.median(redness[alpha > 250]) > np.median(backdrop) + 20)
    assert redder >= 14  # the others lie on a backdrop of nearly their own colour


def test_the_same_seed_gives_the_same_scene_and_another_another() -> None:
    one, again, other = (
        make_scene(product(), FLOORS, SHAPES[0], np.random.default_rng(seed)) for seed in (4, 4, 5)
    )
    assert (one[0] == again[0]).all()
    assert (one[1] == again[1]).all()
    assert (one[0] != other[0]).any()


def test_an_empty_floor_shows_no_product_and_needs_room_beside_it() -> None:
    photo = boxed(384, 288)
    alpha = np.zeros((384, 288), np.uint8)
    alpha[96:288, 72:216] = 255
    floor = empty_floor(photo, alpha, np.random.default_rng(1))
    assert floor is not None
    assert (floor[..., 0].astype(int) - floor[..., 1]).max() < 40  # the box has 150
    assert abs(float(floor.mean()) - 190) < 3
    alpha[4:-4, 4:-4] = 255
    assert empty_floor(photo, alpha, np.random.default_rng(1)) is None


def test_a_mirrored_tile_has_no_seam() -> None:
    ramp = np.repeat(np.arange(60, dtype=np.uint8)[:, None], 50, axis=1)[..., None].repeat(3, 2)
    filled = mirrored(ramp, (300, 310), np.random.default_rng(2))
    assert filled.shape == (300, 310, 3)
    assert np.abs(np.diff(filled[..., 0].astype(int), axis=0)).max() <= 1


def test_baked_shadow_is_no_product() -> None:
    assert true_alpha(np.array([0, 60, 92, 255], np.uint8)).tolist() == [0, 0, 0, 255]


def test_a_label_is_unknown_where_colours_contradict_the_cut() -> None:
    photo = boxed(384, 288)
    alpha = np.zeros((384, 288), np.uint8)
    alpha[96:288, 72:216] = 255
    assert (label_of(photo, alpha) != UNKNOWN).mean() > 0.99
    kept = alpha.copy()
    kept[288:320, 120:170] = 255
    label = label_of(photo, kept)
    assert (label[292:316, 124:166] == UNKNOWN).all()
    assert (label[150:200, 100:150] == 254).all()


def test_the_prior_tells_product_from_border_and_shapes_are_nearest() -> None:
    prior = border_prior(boxed(384, 288))
    assert prior.shape == (96, 72)
    assert prior[30:60, 24:48].min() > 150
    assert np.median(prior[:8]) < 60
    assert shape_of(1600, 1200) == (384, 288)
    assert shape_of(300, 300) == (320, 320)
    assert shape_of(300, 900) == (288, 384)
    assert shape_of(1600, 1200, 512) == (512, 384)
    assert shape_of(300, 300, 512) == (448, 448)
