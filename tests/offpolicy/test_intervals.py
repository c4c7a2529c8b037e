"""Intervals against logs whose truth is known, and against each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.offpolicy.intervals import bernstein, bootstrapped, summarised


def normal(seed: int, shoppers: int = 200, each: int = 5):
    """Contributions of mean 1, and who they are of."""
    rng = np.random.default_rng(seed)
    own = np.repeat(rng.normal(0, 1, shoppers), each)
    shopper = np.repeat([f"s{i}" for i in range(shoppers)], each).astype(object)
    return 1.0 + own + rng.normal(0, 1, shoppers * each), shopper


def skewed(seed: int, shoppers: int = 60, each: int = 4):
    """Contributions of mean 1, a few of them 20: clicks under a weight of 20."""
    rng = np.random.default_rng(seed)
    shopper = np.repeat([f"s{i}" for i in range(shoppers)], each).astype(object)
    return np.where(rng.random(shoppers * each) < 0.05, 20.0, 0.0), shopper


def test_of_normal_contributions_the_bootstrap_says_what_t_says():
    contributions, shopper = normal(1)
    t = summarised(contributions, shopper, 0.95)
    drawn = bootstrapped(contributions, shopper, 0.95, seed=1)
    assert drawn.value == t.value
    assert drawn.standard_error == t.standard_error
    assert (drawn.high - drawn.low) == pytest.approx(t.high - t.low, rel=0.06)
    assert drawn == bootstrapped(contributions, shopper, 0.95, seed=1)
    assert drawn != bootstrapped(contributions, shopper, 0.95, seed=2)


def test_of_heavy_tails_the_bootstrap_covers_more_often_than_t() -> None:
    covered = {"t": 0, "bootstrap": 0}
    shopper = np.repeat([f"s{i}" for i in range(60)], 3).astype(object)
    for seed in range(300):
        tails = np.random.default_rng(seed).normal(0, 1.5, 180)
        contributions = np.exp(tails - 1.5**2 / 2)  # of mean 1
        t = summarised(contributions, shopper, 0.95)
        drawn = bootstrapped(contributions, shopper, 0.95, seed=seed, resamples=400)
        covered["t"] += t.low <= 1.0 <= t.high
        covered["bootstrap"] += drawn.low <= 1.0 <= drawn.high
    assert covered["t"] < 0.88 * 300  # of 95 %
    assert covered["bootstrap"] >= covered["t"] + 8


def test_of_rare_clicks_the_bootstrap_covers_as_it_says_or_refuses() -> None:
    covered, told = 0, 0
    for seed in range(300):
        contributions, shopper = skewed(seed)
        try:
            drawn = bootstrapped(contributions, shopper, 0.95, seed=seed, resamples=400)
        except NotEnoughData:
            continue
        told += 1
        covered += drawn.low <= 1.0 <= drawn.high
    assert told > 280
    assert 0.93 <= covered / told <= 0.99


def test_bernstein_is_wider_than_either_and_misses_hardly_ever():
    missed = 0
    for seed in range(300):
        contributions, shopper = skewed(seed)
        sure = bernstein(contributions, shopper, 0.95, bounds=(0.0, 20.0))
        t = summarised(contributions, shopper, 0.95)
        assert sure.high - sure.low > t.high - t.low
        missed += not sure.low <= 1.0 <= sure.high
    assert missed <= 3


def test_bernstein_narrows_as_shoppers_come():
    widths = []
    for shoppers in (100, 1_000, 10_000):
        contributions, shopper = skewed(1, shoppers)
        sure = bernstein(contributions, shopper, 0.95, bounds=(0.0, 20.0))
        widths.append(sure.high - sure.low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_log_does_not_move_a_digit(seed):
    contributions, shopper = normal(3, 40)
    turn = np.random.default_rng(seed).permutation(len(shopper))
    for found in (
        lambda c, s: summarised(c, s, 0.9),
        lambda c, s: bootstrapped(c, s, 0.9, seed=4, resamples=100),
        lambda c, s: bernstein(c, s, 0.9, bounds=(-9.0, 9.0)),
    ):
        assert found(contributions[turn], shopper[turn]) == found(contributions, shopper)


def test_what_is_alike_has_no_width():
    shopper = np.array(["a", "a", "b", "c"], dtype=object)
    found = bootstrapped(np.full(4, 0.25), shopper, 0.95, seed=1)
    assert (found.low, found.value, found.high) == (0.25, 0.25, 0.25)


def test_one_shopper_who_differs_is_too_few_for_resamples():
    contributions = np.zeros(30)
    contributions[0] = 1.0
    shopper = np.array([f"s{i}" for i in range(30)], dtype=object)
    with pytest.raises(NotEnoughData, match="resamples are alike"):
        bootstrapped(contributions, shopper, 0.95, seed=1)


def test_what_cannot_be_asked_is_an_error():
    two = np.array(["a", "b"], dtype=object)
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        bernstein(np.zeros(2), two, 1.0, bounds=(0.0, 1.0))
    with pytest.raises(InvalidInput, match="outside the bounds 0 to 1"):
        bernstein(np.array([0.0, 2.0]), two, 0.95, bounds=(0.0, 1.0))
    with pytest.raises(InvalidInput, match="100 or more"):
        bootstrapped(np.zeros(2), two, 0.95, seed=1, resamples=10)
    for found in (summarised, lambda c, s, p: bernstein(c, s, p, bounds=(0.0, 1.0))):
        with pytest.raises(NotEnoughData, match="1 shopper"):
            found(np.zeros(2), np.array(["a", "a"], dtype=object), 0.95)
