from __future__ import annotations

import math

import numpy as np
import pytest

from persona_img.abtest import always_valid_interval
from persona_img.abtest.statistics import Sample
from persona_img.errors import InvalidInput

RUNS, LOOKS, ARRIVALS = 250, 15, 150


def log_error(*arms: Sample) -> float:
    return math.sqrt(sum(s.variance / s.shoppers / s.ratio**2 for s in arms))


def watched_equal_arms(seed: int) -> tuple[bool, bool]:
    """Whether a usual and an always-valid interval excluded 0 at any of the looks.

    New shoppers come between looks, and the shoppers of earlier looks gather impressions.
    """
    rng = np.random.default_rng(seed)
    total = 2 * ARRIVALS * LOOKS
    arm = rng.permutation(np.arange(total) % 2)
    taste = rng.beta(1, 20, total)
    activity = rng.gamma(1, 1, total)
    clicks, shown = np.zeros(total), np.zeros(total)
    usual = sequential = False
    for look in range(1, LOOKS + 1):
        arrived = 2 * ARRIVALS * look
        new = rng.poisson(activity[:arrived])
        new[arrived - 2 * ARRIVALS :] += 1
        shown[:arrived] += new
        clicks[:arrived] += rng.binomial(new, taste[:arrived])
        pair = [
            Sample(
                str(a), clicks[:arrived][arm[:arrived] == a], shown[:arrived][arm[:arrived] == a]
            )
            for a in (0, 1)
        ]
        lift, error = pair[1].ratio / pair[0].ratio - 1, log_error(*pair)
        usual |= abs(math.log1p(lift)) > 1.96 * error
        low, high = always_valid_interval(lift, error, arrived, planned=total, alpha=0.05)
        sequential |= not low <= 0 <= high
    return usual, sequential


def test_watching_is_safe_with_it_and_unsafe_without() -> None:
    alarms = np.mean([watched_equal_arms(seed) for seed in range(RUNS)], axis=0)
    assert alarms[0] > 0.15
    assert alarms[1] < 0.05


def test_wider_than_one_look_and_narrowest_share_of_it_at_the_plan() -> None:
    widths = {}
    for shoppers in (100, 1_000, 10_000, 100_000):
        low, high = always_valid_interval(0.0, 0.1, shoppers, planned=10_000, alpha=0.05)
        assert math.log1p(low) == pytest.approx(-math.log1p(high))
        widths[shoppers] = math.log1p(high) / 0.1
    assert all(w > 1.96 for w in widths.values())
    assert min(widths, key=widths.__getitem__) == 10_000
    assert widths[10_000] == pytest.approx(3.03, abs=0.01)


def test_undefined_lift_stays_undefined() -> None:
    low, high = always_valid_interval(math.nan, math.nan, 500, planned=1_000, alpha=0.05)
    assert math.isnan(low)
    assert math.isnan(high)


@pytest.mark.parametrize(
    ("shoppers", "planned", "alpha"), [(0, 10, 0.05), (10, 0, 0.05), (10, 10, 0.0), (10, 10, 1.0)]
)
def test_values_out_of_range_are_refused(shoppers: int, planned: int, alpha: float) -> None:
    with pytest.raises(InvalidInput):
        always_valid_interval(0.1, 0.1, shoppers, planned=planned, alpha=alpha)
