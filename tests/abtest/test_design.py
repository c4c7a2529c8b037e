from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.abtest import ABTest, Baseline, minimal_detectable_lift, required_shoppers
from persona_img.errors import InvalidInput, NotEnoughData

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd


def test_textbook_number() -> None:
    """Normal approximation: (1.96 + 0.8416)^2 (p q + p' q') / difference^2 in each arm."""
    ctr, lift = 0.05, 0.05
    other = ctr * (1 + lift)
    both = ctr * (1 - ctr) + other * (1 - other)
    each = (1.959964 + 0.841621) ** 2 * both / (ctr * lift) ** 2
    assert each == pytest.approx(122_121, abs=5)
    need = required_shoppers(Baseline.assumed(ctr, 1), lift)
    assert need == pytest.approx(2 * each, rel=0.0001)


def test_a_planned_lift_is_found_as_often_as_planned() -> None:
    """Also a large one, and with uneven arms: drawn as clicks, one impression each."""
    rng = np.random.default_rng(0)
    ctr, lift, share = 0.05, 0.5, 0.25
    arms = {"control": 1 - share, "personalized": share}
    total = required_shoppers(Baseline.assumed(ctr, 1), lift, arms=arms)
    sizes = np.array([round(total * (1 - share)), round(total * share)])
    rates = rng.binomial(sizes, [ctr, ctr * (1 + lift)], size=(20_000, 2)) / sizes
    error = np.sqrt((rates * (1 - rates) / sizes).sum(axis=1))
    assert np.mean((rates[:, 1] - rates[:, 0]) / error > 1.959964) == pytest.approx(0.8, abs=0.02)


@settings(max_examples=20, deadline=None)
@given(
    ctr=st.floats(0.01, 0.2),
    impressions=st.floats(1, 30),
    lift=st.floats(0.02, 0.5),
    share=st.floats(0.1, 0.9),
)
def test_lift_and_shoppers_are_inverse(
    ctr: float, impressions: float, lift: float, share: float
) -> None:
    baseline = Baseline.assumed(ctr, impressions, 2.0)
    arms = {"control": 1 - share, "personalized": share}
    shoppers = required_shoppers(baseline, lift, arms=arms)
    found = minimal_detectable_lift(baseline, shoppers, arms=arms)
    assert found == pytest.approx(lift, rel=0.03)


def test_no_lift_leads_to_more_clicks_than_impressions() -> None:
    with pytest.raises(InvalidInput, match="no click rate"):
        required_shoppers(Baseline.assumed(0.4, 1), 2.0)
    with pytest.raises(InvalidInput, match="plan more shoppers"):
        minimal_detectable_lift(Baseline.assumed(0.5, 1), 8)


def test_what_needs_more_shoppers() -> None:
    base = Baseline.assumed(0.03, 6.0)
    need = required_shoppers(base, 0.1)
    assert required_shoppers(base, 0.05) > 3 * need
    assert required_shoppers(base, 0.1, power=0.9) > need
    assert required_shoppers(base, 0.1, confidence=0.99) > need
    assert required_shoppers(base, 0.1, arms={"control": 0.9, "personalized": 0.1}) > need
    assert required_shoppers(base, 0.1, arms={"control": 0.4, "a": 0.3, "b": 0.3}) > need
    assert required_shoppers(Baseline.assumed(0.03, 6.0, 2.0), 0.1) == pytest.approx(
        2 * need, rel=0.01
    )


def test_a_third_arm_takes_its_shoppers_and_its_share_of_the_false_alarms() -> None:
    base = Baseline.assumed(0.03, 6.0)
    three = required_shoppers(base, 0.1, arms={"control": 0.4, "a": 0.3, "b": 0.3})
    pair = required_shoppers(base, 0.1, arms={"control": 4 / 7, "a": 3 / 7}, confidence=0.975)
    assert three == pytest.approx(pair / 0.7, rel=0.001)


@pytest.mark.slow
def test_a_test_of_the_planned_size_finds_the_lift(simulate: Callable[..., pd.DataFrame]) -> None:
    baseline = Baseline.measured(simulate(4_000, seed=20), "hero")
    shoppers = required_shoppers(baseline, 0.3)
    found = [
        ABTest("hero").analyze(simulate(shoppers, seed=seed, lift=0.3)).comparisons[0].p < 0.05
        for seed in range(30)
    ]
    assert 0.6 <= np.mean(found) <= 0.95


def test_measured_variance_exceeds_that_of_independent_impressions(
    feedback: pd.DataFrame,
) -> None:
    control = feedback[feedback["arm"] == "control"]
    ctr, mean = control["clicked"].mean(), len(control) / control["shopper"].nunique()
    measured = Baseline.measured(feedback, "hero")
    assert measured.ctr == pytest.approx(ctr, rel=0.01)  # capped, as a test is read
    assert measured.variance > Baseline.assumed(ctr, mean).variance


def test_nothing_measured_is_no_baseline(feedback: pd.DataFrame) -> None:
    with pytest.raises(NotEnoughData, match="0 clicks"):
        Baseline.measured(feedback.assign(clicked=0), "hero")


@pytest.mark.parametrize("lift", [0.0, -1.0, math.nan, math.inf])
def test_impossible_lifts_are_refused(lift: float) -> None:
    with pytest.raises(InvalidInput, match="lift"):
        required_shoppers(Baseline.assumed(0.03, 6.0), lift)


@pytest.mark.parametrize(
    "plan", [{"power": 1.0}, {"confidence": 95.0}, {"arms": {"control": 1.0}}, {"arms": {"a": 1.0}}]
)
def test_impossible_plans_are_refused(plan: dict[str, object]) -> None:
    base = Baseline.assumed(0.03, 6.0)
    with pytest.raises(InvalidInput):
        required_shoppers(base, 0.1, **plan)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        minimal_detectable_lift(base, 1_000, **plan)  # type: ignore[arg-type]


def test_too_few_shoppers_find_nothing() -> None:
    with pytest.raises(InvalidInput, match="plan more"):
        minimal_detectable_lift(Baseline.assumed(0.03, 6.0), 3)


@pytest.mark.parametrize(
    ("ctr", "impressions", "effect"), [(0.0, 6, 1), (1.0, 6, 1), (0.03, 0.5, 1), (0.03, 6, 0.5)]
)
def test_impossible_baselines_are_refused(ctr: float, impressions: float, effect: float) -> None:
    with pytest.raises(InvalidInput):
        Baseline.assumed(ctr, impressions, effect)
