from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from persona_img.errors import NotEnoughData
from persona_img.masking.confidence import SIGNS, checks_of, signs_of
from persona_img.masking.learning.calibration import (
    fit_confidence,
    least_chance,
    reliability,
)


def masks(count: int, seed: int) -> tuple[list[dict[str, float]], list[bool]]:
    """Signs of which two matter, and whether the mask is good, drawn from known odds."""
    rng = np.random.default_rng(seed)
    table = rng.normal(0.5, 1, (count, len(SIGNS)))
    odds = 1.0 - 2.0 * table[:, 0] + 1.0 * table[:, 4]
    good = rng.random(count) < 1 / (1 + np.exp(-odds))
    return [dict(zip(SIGNS, row, strict=True)) for row in table], good.tolist()


def chance(confidence: dict[str, Any], signs: dict[str, float]) -> float:
    odds = confidence["offset"] + sum(w * signs[n] for n, w in confidence["weights"].items())
    return float(1 / (1 + np.exp(-odds)))


def test_the_odds_behind_the_masks_are_found() -> None:
    confidence = fit_confidence(*masks(6000, 1))
    assert confidence["offset"] == pytest.approx(1.0, abs=0.15)
    assert confidence["weights"]["doubt"] == pytest.approx(-2.0, abs=0.25)
    assert confidence["weights"]["colours"] == pytest.approx(1.0, abs=0.2)
    assert confidence["weights"]["blob"] == pytest.approx(0.0, abs=0.15)


def test_a_mask_that_counts_three_times_is_three_masks() -> None:
    signs, good = masks(300, 4)
    weight = [3.0 if right else 1.0 for right in good]
    twice = [one for one, right in zip(signs, good, strict=True) if right] * 2
    weighed, plain = fit_confidence(signs, good, weight), fit_confidence(signs, good)
    assert chance(weighed, signs[0]) > chance(plain, signs[0]) + 0.02
    repeated = fit_confidence(signs + twice, good + [True] * len(twice))
    assert chance(weighed, signs[0]) == pytest.approx(chance(repeated, signs[0]), abs=0.02)


def test_a_fitted_confidence_is_reliable_and_an_overstated_one_is_not() -> None:
    confidence = fit_confidence(*masks(6000, 1))
    fair = reliability(confidence, *masks(3000, 2))
    assert fair["auc"] > 0.85
    assert fair["expected_error"] < 0.04
    proud = reliability(confidence | {"offset": 3.5}, *masks(3000, 2))
    assert proud["expected_error"] > 0.1
    assert proud["brier"] > fair["brier"]


def test_only_good_masks_have_no_auc() -> None:
    signs, _ = masks(50, 3)
    found = reliability(fit_confidence(*masks(500, 1)), signs, [True] * 50)
    assert np.isnan(found["auc"])


def test_too_few_of_either_kind_are_refused() -> None:
    signs, _ = masks(100, 1)
    with pytest.raises(NotEnoughData, match="19 good and 81 bad"):
        fit_confidence(signs, [i < 19 for i in range(100)])


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A dark square on a light floor, seen through in the middle of its lower edge."""
    rng = np.random.default_rng(2)
    binary = np.zeros((320, 320), np.uint8)
    binary[60:260, 60:260] = 1
    photo = np.where(binary[..., None] > 0, (40, 50, 90), (200, 195, 185)) + rng.normal(
        0, 4, (320, 320, 1)
    )
    photo[200:260, 145:175] = np.array([195, 190, 180]) + rng.normal(0, 4, (60, 30, 1))
    return np.clip(photo, 0, 255).astype(np.uint8), binary


def test_floor_that_was_kept_shows_in_the_signs() -> None:
    photo, kept = scene()
    right = kept.copy()
    right[200:260, 145:175] = 0
    wrong_signs = signs_of(photo, kept.astype(np.float32), kept.astype(np.float32), kept)
    right_signs = signs_of(photo, right.astype(np.float32), right.astype(np.float32), right)
    assert set(right_signs) == set(SIGNS)
    assert wrong_signs["leftover"] > right_signs["leftover"] + 1


def test_doubt_and_a_mirror_that_disagrees_show_in_the_signs() -> None:
    photo, binary = scene()
    sure = binary.astype(np.float32)
    unsure, other = sure.copy(), sure.copy()
    unsure[100:130, 100:130] = 0.5
    other[100:130, 100:130] = 0.0
    clear = signs_of(photo, sure, sure, binary)
    doubtful = signs_of(photo, unsure, unsure, binary)
    assert doubtful["doubt"] > clear["doubt"] + 1
    assert doubtful["blob"] > clear["blob"] + 1
    assert signs_of(photo, sure, other, binary)["mirror"] > clear["mirror"] + 1


def test_a_network_that_was_never_calibrated_is_not_trusted() -> None:
    photo, binary = scene()
    sure = binary.astype(np.float32)
    assert checks_of(photo, sure, sure, binary, None)["sure"] == 0.0
    calibration = {"offset": 9.0, "weights": dict.fromkeys(SIGNS, 0.0)}
    assert min(checks_of(photo, sure, sure, binary, calibration).values()) > 0.99


def test_the_least_chance_is_where_94_of_100_are_good() -> None:
    chance = [i / 100 for i in range(50, 100)]
    good = [c >= 0.7 for c in chance]
    # 30 good ones from .70 on: 30 of 31 are good, and 30 of 32 are not enough.
    assert least_chance(chance, good) == pytest.approx(0.69)
    assert least_chance(chance, good, wanted=0.99) == pytest.approx(0.70)
    assert least_chance(chance, [True] * 50) == 0.5
    assert least_chance([0.1, 0.2], [True, True]) == 0.5
    assert least_chance(chance, [False] * 50) == pytest.approx(0.99)


def test_the_least_chance_is_trusted_and_what_lies_below_is_not() -> None:
    photo, binary = scene()
    sure = binary.astype(np.float32)
    plain = {"offset": float(np.log(4)), "weights": dict.fromkeys(SIGNS, 0.0)}  # a chance of 0.8
    for least, expected in ((0.5, 0.8), (0.8, 0.5), (0.9, 0.8 / 0.9 / 2)):
        checks = checks_of(photo, sure, sure, binary, plain | {"least": least})
        assert checks["sure"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("value", [0, 1])
def test_nothing_and_everything_are_not_trusted(value: int) -> None:
    photo, _ = scene()
    binary = np.full((320, 320), value, np.uint8)
    calibration = {"offset": 9.0, "weights": dict.fromkeys(SIGNS, 0.0)}
    checks = checks_of(
        photo, binary.astype(np.float32), binary.astype(np.float32), binary, calibration
    )
    assert set(checks.values()) == {0.0}
