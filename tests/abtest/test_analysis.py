from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.abtest import ABReport, ABTest
from persona_img.errors import InvalidInput, NotEnoughData

Simulate = Callable[..., pd.DataFrame]
TEST = ABTest("hero")


def test_a_large_lift_is_found(feedback: pd.DataFrame) -> None:
    report = TEST.analyze(feedback)
    (found,) = report.comparisons
    assert found.verdict == "better"
    assert found.low < 0.6 < found.high
    assert found.p < 0.05


def test_arms_are_counted(feedback: pd.DataFrame) -> None:
    for summary in TEST.analyze(feedback).arms:
        rows = feedback[feedback["arm"] == summary.arm]
        assert summary.shoppers == rows["shopper"].nunique()
        assert summary.impressions == len(rows)
        assert summary.clicks == rows["clicked"].sum()
        assert summary.conversions == rows["converted"].sum()
        assert summary.ctr == pytest.approx(rows["clicked"].mean())


def test_control_comes_first_and_rates_are_not_swapped(simulate: Simulate) -> None:
    test = ABTest("hero", arms={"personalized": 0.3, "control": 0.7})
    report = test.analyze(simulate(1_000, seed=2, lift=0.5, shares=test.arms))
    assert [a.arm for a in report.arms] == ["control", "personalized"]
    assert report.comparisons[0].control == report.arms[0].ctr
    assert report.comparisons[0].treatment == report.arms[1].ctr
    assert report.comparisons[0].lift > 0


def test_end_to_end_false_alarms_are_rare(simulate: Simulate) -> None:
    alarms = [
        TEST.analyze(simulate(300, seed=seed)).comparisons[0].verdict in {"better", "worse"}
        for seed in range(40)
    ]
    assert sum(alarms) <= 6


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_order_of_rows_does_not_matter(feedback: pd.DataFrame, seed: int) -> None:
    moving = feedback.assign(segment=np.where(feedback.index % 3, "naturals", "minimalists"))
    shuffled = moving.sample(frac=1, random_state=seed)
    plain, turned = (TEST.analyze(table, by_segment=True) for table in (moving, shuffled))
    assert turned.to_dict() == plain.to_dict()


@settings(max_examples=6, deadline=None)
@given(order=st.permutations(["control", "a", "b"]))
def test_order_of_arms_does_not_matter(simulate: Simulate, order: list[str]) -> None:
    shares = {"control": 0.5, "a": 0.3, "b": 0.2}
    table = simulate(400, seed=5, lift=0.2, shares=shares)

    def by_arm(report: ABReport) -> dict[str, object]:
        return {c.arm: c for c in report.comparisons}

    plain = ABTest("hero", arms=shares).analyze(table)
    turned = ABTest("hero", arms={arm: shares[arm] for arm in order}).analyze(table)
    assert by_arm(turned) == by_arm(plain)
    assert turned.sample_ratio == plain.sample_ratio


@settings(max_examples=8, deadline=None)
@given(copies=st.integers(1, 5))
def test_repeating_a_shoppers_history_narrows_nothing(feedback: pd.DataFrame, copies: int) -> None:
    """More impressions of the same shoppers are not more shoppers."""
    once, often = TEST.analyze(feedback), TEST.analyze(pd.concat([feedback] * copies))
    assert often.comparisons[0].low == pytest.approx(once.comparisons[0].low)
    assert often.comparisons[0].p == pytest.approx(once.comparisons[0].p)


def test_a_shopper_in_two_arms_is_named(feedback: pd.DataFrame) -> None:
    shopper = feedback["shopper"].iloc[7]
    other = {"control": "personalized", "personalized": "control"}[feedback["arm"].iloc[7]]
    extra = feedback.iloc[[7]].assign(arm=other)
    with pytest.raises(InvalidInput, match=rf"{shopper!r}.*control, personalized"):
        TEST.analyze(pd.concat([feedback, extra]))


def test_two_tests_do_not_mix(feedback: pd.DataFrame) -> None:
    arms = {"control": "personalized", "personalized": "control"}
    other = feedback.assign(test="checkout", arm=feedback["arm"].map(arms))
    assert TEST.analyze(pd.concat([feedback, other])).to_dict() == TEST.analyze(feedback).to_dict()
    with pytest.raises(NotEnoughData, match=r"'nope'.*hero"):
        ABTest("nope").analyze(feedback)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("arm", "treatment", "'treatment' is not in this test"),
        ("arm", None, "without arm"),
        ("shopper", None, "without shopper"),
        ("clicked", 2, "clicked 2"),
        ("clicked", np.nan, "clicked nan"),
        ("converted", -1, "converted -1"),
    ],
)
def test_bad_feedback_is_refused(
    feedback: pd.DataFrame, column: str, value: object, message: str
) -> None:
    bad = feedback.astype({column: "object"})
    bad.loc[3, column] = value
    with pytest.raises(InvalidInput, match=message):
        TEST.analyze(bad)


def test_a_missing_column_is_named(feedback: pd.DataFrame) -> None:
    with pytest.raises(InvalidInput, match="lacks converted"):
        TEST.analyze(feedback.drop(columns="converted"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"arms": {"control": 1.0}},
        {"arms": {"a": 0.5, "b": 0.5}},
        {"unit": "impression"},
        {"planned_shoppers": 0},
        {"confidence": 95},
        {"guardrail_margin": 0.0},
    ],
)
def test_a_wrong_plan_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        ABTest("hero", **wrong)  # type: ignore[arg-type]


def test_missing_shoppers_of_an_arm_are_noticed_and_nothing_is_trusted(
    simulate: Simulate,
) -> None:
    table = simulate(3_000, seed=6, lift=0.4)
    treated = sorted(table.loc[table["arm"] == "personalized", "shopper"].unique())
    kept = table[~table["shopper"].isin(treated[: len(treated) // 5])]
    report = TEST.analyze(kept, by_segment=True)
    assert report.sample_ratio.ok is False
    assert report.sample_ratio.p < 0.001
    lifts = report.comparisons + report.secondary + report.by_segment
    assert {c.verdict for c in lifts} == {"do not trust"}
    assert all(c.verdict in {"do not trust", "undefined"} for c in report.guardrails)
    assert math.isfinite(report.comparisons[0].lift)
    assert "do not trust" in report.warnings[0]


def test_one_missing_arm_of_three_fails_the_split(simulate: Simulate) -> None:
    shares = {"control": 0.4, "a": 0.3, "b": 0.3}
    table = simulate(600, seed=7, shares=shares)
    report = ABTest("hero", arms=shares).analyze(table[table["arm"] != "b"])
    assert report.sample_ratio.ok is False
    assert report.comparisons[1].verdict == "undefined"


def test_so_few_shoppers_cannot_check_the_split(feedback: pd.DataFrame) -> None:
    few = feedback["shopper"].unique()[:6]
    report = TEST.analyze(feedback[feedback["shopper"].isin(few)])
    assert report.sample_ratio.ok is None
    assert math.isnan(report.sample_ratio.p)
    assert "6 shoppers" in report.sample_ratio.reason


@pytest.mark.parametrize("arms", [2, 3])
def test_an_arm_without_clicks_is_undefined_never_p_1(simulate: Simulate, arms: int) -> None:
    shares = dict(zip(("control", "a", "b"), (1 / arms,) * arms, strict=False))
    table = simulate(300, seed=8, shares=shares)
    table.loc[table["arm"] == "a", "clicked"] = 0
    found = ABTest("hero", arms=shares).analyze(table).comparisons[0]
    assert found.verdict == "undefined"
    assert "arm a has no click" in found.reason
    assert all(math.isnan(v) for v in (found.lift, found.low, found.high, found.p))


def test_before_the_plan_the_verdict_waits(simulate: Simulate) -> None:
    table = simulate(2_000, seed=2, lift=0.4)
    shoppers = table["shopper"].nunique()
    done = ABTest("hero", planned_shoppers=shoppers).analyze(table)
    early = ABTest("hero", planned_shoppers=3 * shoppers).analyze(table)
    assert done.comparisons[0].verdict == "better"
    assert not any("planned" in w for w in done.warnings)
    assert early.comparisons[0].verdict == "too early"
    assert any(f"{shoppers} of {3 * shoppers} planned" in w for w in early.warnings)
    assert early.comparisons[0].always_low < 0 < early.comparisons[0].always_high


def test_a_very_large_lift_may_be_believed_early(simulate: Simulate) -> None:
    table = simulate(2_000, seed=9, lift=2.0)
    early = ABTest("hero", planned_shoppers=10_000).analyze(table)
    assert early.comparisons[0].verdict == "better"
    assert early.comparisons[0].always_low > 0


def test_no_interval_for_watching_before_it_can_hold(simulate: Simulate) -> None:
    early = ABTest("hero", planned_shoppers=10_000).analyze(simulate(150, seed=9, lift=2.0))
    assert math.isnan(early.comparisons[0].always_low)
    assert early.comparisons[0].verdict in {"too early", "undefined"}


def test_several_arms_are_corrected(simulate: Simulate) -> None:
    shares = {"control": 0.4, "a": 0.3, "b": 0.3}
    table = simulate(900, seed=10, lift=0.3, shares=shares)
    both = ABTest("hero", arms=shares).analyze(table)
    alone = ABTest("hero", arms={"control": 4 / 7, "a": 3 / 7}).analyze(table[table["arm"] != "b"])
    assert both.comparisons[0].p == pytest.approx(2 * alone.comparisons[0].p)
    assert both.comparisons[0].low < alone.comparisons[0].low


def test_guardrails_tell_harm_from_no_harm_and_from_ignorance(simulate: Simulate) -> None:
    table = simulate(3_000, seed=11)
    table["converted"] = ((table.index % 3) == 0).astype(int)
    holds = TEST.analyze(table).guardrails[0]
    assert (holds.metric, holds.verdict) == ("conversion rate", "holds")
    few = table[table["shopper"].isin(table["shopper"].unique()[:60])]
    assert TEST.analyze(few).guardrails[0].verdict == "unclear"
    table.loc[(table["arm"] == "personalized") & (table.index % 2 == 0), "converted"] = 0
    assert TEST.analyze(table).guardrails[0].verdict == "harmed"


def test_segments_are_exploratory_and_add_up(feedback: pd.DataFrame) -> None:
    assert TEST.analyze(feedback).by_segment == ()
    segments = TEST.analyze(feedback, by_segment=True).by_segment
    assert [c.segment for c in segments] == ["minimalists", "naturals"]
    assert {c.verdict for c in segments} == {"exploratory"}
    assert segments[0].lift != segments[1].lift


def test_a_shopper_counts_for_the_first_segment(feedback: pd.DataFrame) -> None:
    moved = feedback.copy()
    again = moved.duplicated("shopper", keep="first")
    moved.loc[again, "segment"] = "elsewhere"
    assert (
        TEST.analyze(moved, by_segment=True).by_segment
        == TEST.analyze(feedback, by_segment=True).by_segment
    )


def test_tiny_samples_are_flagged(feedback: pd.DataFrame) -> None:
    few = feedback["shopper"].unique()[:100]
    report = TEST.analyze(feedback[feedback["shopper"].isin(few)])
    assert sum("rough" in w for w in report.warnings) == 2
    assert not any("rough" in w for w in TEST.analyze(feedback).warnings)
