"""The shopper-level comparison keeps its promises, where a test by impression does not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from persona_img.abtest.split import check_split
from persona_img.abtest.statistics import Estimate, Sample, compare_moments

RUNS = 600


def compare(control: Sample, treatment: Sample, confidence: float, event: str) -> Estimate:
    ratio = ("numerator", "denominator")
    return compare_moments(control.moments, treatment.moments, ratio, confidence, event)


def draw_arm(rng: np.random.Generator, shoppers: int, ctr: float, arm: str) -> Sample:
    """Tastes and activity differ a lot between shoppers, as they do."""
    taste = rng.beta(0.3, 0.3 * (1 / ctr - 1), shoppers)
    impressions = 1.0 + rng.poisson(rng.gamma(1, 8, shoppers))
    return Sample(arm, rng.binomial(impressions.astype(int), taste).astype(float), impressions)


def by_impression_p(control: Sample, treatment: Sample) -> float:
    clicks = np.array([control.numerator.sum(), treatment.numerator.sum()])
    shown = np.array([control.denominator.sum(), treatment.denominator.sum()])
    pooled = clicks.sum() / shown.sum()
    z = (clicks[0] / shown[0] - clicks[1] / shown[1]) / math.sqrt(
        pooled * (1 - pooled) * (1 / shown).sum()
    )
    return float(2 * stats.norm.sf(abs(z)))


@pytest.fixture(scope="module")
def same_arms() -> list[tuple[Sample, Sample]]:
    rng = np.random.default_rng(3)
    return [
        (draw_arm(rng, 500, 0.04, "control"), draw_arm(rng, 500, 0.04, "personalized"))
        for _ in range(RUNS)
    ]


def test_false_alarms_of_equal_arms_are_nominal_by_shopper(
    same_arms: list[tuple[Sample, Sample]],
) -> None:
    estimates = [compare(c, t, 0.95, "click") for c, t in same_arms]
    # Four binomial standard errors around 5 %.
    slack = 4 * math.sqrt(0.05 * 0.95 / RUNS)
    assert abs(np.mean([e.p < 0.05 for e in estimates]) - 0.05) < slack
    assert abs(np.mean([not e.low <= 0 <= e.high for e in estimates]) - 0.05) < slack


def test_false_alarms_by_impression_are_many(same_arms: list[tuple[Sample, Sample]]) -> None:
    alarms = np.mean([by_impression_p(c, t) < 0.05 for c, t in same_arms])
    assert alarms > 0.15


def test_interval_covers_a_true_lift() -> None:
    rng = np.random.default_rng(4)
    lifts = [
        compare(
            draw_arm(rng, 600, 0.04, "control"),
            draw_arm(rng, 600, 0.052, "personalized"),
            0.9,
            "click",
        )
        for _ in range(300)
    ]
    covered = np.mean([e.low <= 0.3 <= e.high for e in lifts])
    assert 0.83 < covered < 0.97
    assert np.median([e.lift for e in lifts]) == pytest.approx(0.3, abs=0.05)


def test_known_numbers_by_hand() -> None:
    control = Sample("control", np.array([1.0, 0.0, 2.0]), np.array([2.0, 3.0, 5.0]))
    treatment = Sample("b", np.array([2.0, 1.0, 3.0]), np.array([4.0, 2.0, 4.0]))
    estimate = compare(control, treatment, 0.95, "click")
    assert estimate.control == pytest.approx(0.3)
    assert estimate.treatment == pytest.approx(0.6)
    assert estimate.lift == pytest.approx(1.0)
    # Residuals of control: 0.4, -0.9, 0.5, sum of squares 1.22; mean impressions 10/3.
    assert control.variance == pytest.approx(1.22 / 2 / (10 / 3) ** 2)
    expected = math.sqrt(
        control.variance / 3 / 0.3**2 + treatment.variance / 3 / 0.6**2,
    )
    assert estimate.log_error == pytest.approx(expected)


@pytest.mark.parametrize(
    ("clicks", "impressions", "reason"),
    [
        ([0.0, 0.0, 0.0], [2.0, 3.0, 5.0], "no click"),
        ([1.0], [2.0], "1 exposed shopper;"),
        ([], [], "0 exposed shoppers"),
    ],
)
@pytest.mark.parametrize("swap", [False, True])
def test_undefined_is_nan_with_a_reason(
    clicks: list[float], impressions: list[float], reason: str, swap: bool
) -> None:
    full = Sample("full", np.array([1.0, 0.0, 2.0]), np.array([2.0, 3.0, 5.0]))
    poor = Sample("poor", np.array(clicks), np.array(impressions))
    pair = (poor, full) if swap else (full, poor)
    estimate = compare(*pair, 0.95, "click")
    assert reason in estimate.reason
    assert "poor" in estimate.reason
    values = (estimate.lift, estimate.low, estimate.high, estimate.p, estimate.log_error)
    assert all(math.isnan(v) for v in values)


def test_no_spread_is_undefined() -> None:
    """Every impression clicked, in both arms: nothing says how far the rates may be off."""
    always = Sample("a", np.array([2.0, 3.0, 7.0]), np.array([2.0, 3.0, 7.0]))
    estimate = compare(always, always, 0.95, "click")
    assert "spread" in estimate.reason
    assert math.isnan(estimate.p)


ALPHA = 0.001
THIRDS = (1 / 3, 1 / 3, 1 / 3)


def test_one_chi_square_over_all_arms() -> None:
    """Both differ from control by 300 shoppers, and from each other by 600."""
    found = check_split((10_000, 10_300, 9_700), THIRDS, ALPHA)
    assert found.p == pytest.approx(1.234e-4, rel=1e-3)
    assert found.method == "chi-square"
    assert found.expected == pytest.approx((10_000,) * 3)


@pytest.mark.parametrize("total", [90, 9_000])
def test_shares_need_not_be_equal(total: int) -> None:
    shares = (1 / 3, 2 / 3)
    assert check_split((total // 3, 2 * total // 3), shares, ALPHA).p > 0.9
    assert check_split((2 * total // 3, total // 3), shares, ALPHA).p < 1e-4


@settings(max_examples=30, deadline=None)
@given(
    arms=st.lists(
        st.tuples(st.integers(0, 500), st.floats(0.02, 1.0)), min_size=2, max_size=6, unique=True
    ),
    data=st.data(),
)
def test_the_order_of_arms_is_no_matter(arms: list[tuple[int, float]], data: st.DataObject) -> None:
    total = math.fsum(share for _, share in arms)
    turned = data.draw(st.permutations(arms))
    one, two = (
        check_split([n for n, _ in some], [s / total for _, s in some], ALPHA)
        for some in (arms, turned)
    )
    assert one.method == two.method
    assert one.p == pytest.approx(two.p, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("seen", [(20, 20, 0), (20_000, 20_000, 0)])
def test_an_arm_nobody_was_seen_in_counts(seen: tuple[int, ...]) -> None:
    assert check_split(seen, THIRDS, ALPHA).p < 0.001
    rare = check_split((50, 50, 0), (0.495, 0.495, 0.01), ALPHA)
    assert rare.p > 0.3
    assert rare.method == "simulated"


@pytest.mark.parametrize(("seen", "share"), [((0, 12), 0.5), ((4, 20), 0.1), ((30, 1), 0.9)])
def test_where_chi_square_does_not_hold_splits_are_drawn(
    seen: tuple[int, int], share: float
) -> None:
    found = check_split(seen, (share, 1 - share), ALPHA)
    total, expected = sum(seen), sum(seen) * share
    # Exact: every split at least as far from what is expected. With two arms, far is far.
    exact = sum(
        stats.binom.pmf(n, total, share)
        for n in range(total + 1)
        if abs(n - expected) >= abs(seen[0] - expected) - 1e-9
    )
    assert found.method == "simulated" or min(found.expected) >= 5
    if found.method == "simulated":
        assert found.p == pytest.approx(exact, rel=0.1, abs=2e-4)


@pytest.mark.slow
def test_few_shoppers_sound_no_false_alarm() -> None:
    rng = np.random.default_rng(5)
    alarms = [
        check_split(rng.multinomial(14, THIRDS).tolist(), THIRDS, 0.05).p < 0.05 for _ in range(300)
    ]
    assert np.mean(alarms) <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize("seen", [(0, 0), (6, 0), (4, 5)])
def test_too_few_to_fail_is_undefined(seen: tuple[int, int]) -> None:
    found = check_split(seen, (0.5, 0.5), ALPHA)
    assert math.isnan(found.p)
    assert found.method == ""
