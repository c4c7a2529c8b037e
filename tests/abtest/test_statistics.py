"""The shopper-level comparison keeps its promises, where a test by impression does not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from persona_img.abtest.statistics import Sample, compare, sample_ratio_p

RUNS = 600


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


@pytest.mark.parametrize("total", [90, 9_000])
def test_sample_ratio_p_follows_the_planned_ratio(total: int) -> None:
    control, treatment = total // 3, 2 * total // 3
    assert sample_ratio_p(control, treatment, 2.0) > 0.9
    assert sample_ratio_p(treatment, control, 2.0) < 1e-6
