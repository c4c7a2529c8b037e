from __future__ import annotations

import numpy as np

from contracts.masker import boxed
from persona_img.masking.classic import coarse_cut
from persona_img.masking.confidence import SIGNS
from persona_img.masking.opinions import (
    COLOURS,
    NETWORK,
    Opinion,
    better,
    opinions_of,
    without_specks,
)

SURE = {"offset": 3.0, "weights": dict.fromkeys(SIGNS, 0.0)}
UNSURE = {"offset": -1.0, "weights": dict.fromkeys(SIGNS, 0.0)}


def chance_of_box() -> np.ndarray:
    chance = np.zeros((384, 288), np.float32)
    chance[96:288, 72:216] = 1.0
    return chance


def test_colours_are_asked_only_where_that_is_wanted() -> None:
    photo, chance = boxed(384, 288), chance_of_box()
    alone = opinions_of(photo, chance, chance)
    assert list(alone) == [NETWORK]
    both = opinions_of(photo, chance, chance, coarse_cut(photo))
    assert list(both) == [NETWORK, COLOURS]
    for cut in both.values():
        assert cut.binary.shape == chance.shape
        assert cut.chance.dtype == np.float32
        assert (cut.binary == (chance > 0.5)).mean() > 0.99


def test_the_cut_that_is_more_likely_right_is_kept() -> None:
    photo, chance = boxed(384, 288), chance_of_box()
    half = chance.copy()
    half[:, 144:] = 0.0  # the network lost half of the box
    cuts = {
        NETWORK: Opinion(half, (half > 0.5).astype(np.uint8)),
        COLOURS: Opinion(chance, (chance > 0.5).astype(np.uint8)),
    }
    kept, checks = better(photo, half, half, cuts, UNSURE | {COLOURS: SURE})
    assert kept is cuts[COLOURS]
    assert checks["sure"] > 0.9
    kept, checks = better(photo, half, half, cuts, SURE | {COLOURS: UNSURE})
    assert kept is cuts[NETWORK]
    assert checks["sure"] > 0.9


def test_where_both_are_about_as_likely_right_the_networks_cut_is_kept() -> None:
    photo, chance = boxed(384, 288), chance_of_box()
    cuts = opinions_of(photo, chance, chance, coarse_cut(photo))
    nearly = UNSURE | {"offset": -0.9}  # a chance of 0.29, the network's is 0.27
    assert better(photo, chance, chance, cuts, UNSURE | {COLOURS: nearly})[0] is cuts[NETWORK]
    clearly = UNSURE | {"offset": 0.0}
    assert better(photo, chance, chance, cuts, UNSURE | {COLOURS: clearly})[0] is cuts[COLOURS]


def test_without_a_calibration_the_networks_cut_is_kept_and_not_trusted() -> None:
    photo, chance = boxed(384, 288), chance_of_box()
    cuts = opinions_of(photo, chance, chance, coarse_cut(photo))
    for confidence in (None, UNSURE):
        kept, checks = better(photo, chance, chance, cuts, confidence)
        assert kept is cuts[NETWORK]
        assert checks["sure"] < 0.5


def test_a_cut_that_the_other_does_not_share_shows_in_its_checks() -> None:
    photo, chance = boxed(384, 288), chance_of_box()
    half = chance.copy()
    half[:, 144:] = 0.0
    apart = SURE | {"weights": dict.fromkeys(SIGNS, 0.0) | {"apart": -2.0}, "offset": -4.0}
    same = Opinion(chance, (chance > 0.5).astype(np.uint8))
    other = Opinion(half, (half > 0.5).astype(np.uint8))
    _, agreed = better(photo, chance, chance, {NETWORK: same, COLOURS: same}, apart)
    _, divided = better(photo, chance, chance, {NETWORK: same, COLOURS: other}, apart)
    assert agreed["sure"] > 0.9
    assert divided["sure"] < 0.1


def test_the_chance_counts_only_near_the_product() -> None:
    chance = chance_of_box()
    chance[20:30, 20:30] = 0.9
    soft = Opinion(chance, (chance_of_box() > 0.5).astype(np.uint8)).soft()
    assert soft[20:30, 20:30].max() == 0.0
    assert soft[100, 100] == 1.0


def test_what_is_small_and_far_from_the_product_is_not_part_of_it() -> None:
    sure = np.zeros((384, 288), bool)
    sure[100:250, 60:160] = True  # the product, 15,000 pixels
    sure[100:250, 165:168] = True  # a strap beside it
    sure[300:304, 200:280] = True  # a line on the floor
    sure[20:80, 200:230] = True  # a second product
    sure[110:114, 170:174] = True  # a speck
    binary = without_specks(sure)
    assert binary[150, 100] == binary[150, 166] == binary[50, 210] == 1
    assert binary[302, 220] == binary[112, 172] == 0
