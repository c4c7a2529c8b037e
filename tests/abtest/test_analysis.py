from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.abtest import ABReport, ABTest
from persona_img.abtest.metrics import Metric
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
    test = ABTest("hero", arms={"personalized": 0.3, "control": 0.7}, cap_of_ratio=1.0)
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


def test_a_shopper_in_two_arms_is_left_out_counted_and_warned_of(feedback: pd.DataFrame) -> None:
    shopper = feedback["shopper"].iloc[7]
    other = {"control": "personalized", "personalized": "control"}[feedback["arm"].iloc[7]]
    extra = feedback.iloc[[7]].assign(arm=other)
    report = TEST.analyze(pd.concat([feedback, extra]), by_segment=True)
    without = TEST.analyze(feedback[feedback["shopper"] != shopper], by_segment=True)
    assert report.crossed == 1
    assert any("1 shopper was seen in several arms" in w for w in report.warnings)
    assert "1 shopper was seen" in str(report)
    assert dataclasses.replace(report, crossed=0, warnings=()) == dataclasses.replace(
        without, warnings=()
    )
    assert report.metrics()["crossed"] == 1.0


def test_many_shoppers_in_two_arms_say_that_assignment_is_broken(feedback: pd.DataFrame) -> None:
    some = feedback[feedback["shopper"].isin(feedback["shopper"].unique()[:100])]
    other = some["arm"].map({"control": "personalized", "personalized": "control"})
    report = TEST.analyze(pd.concat([feedback, some.assign(arm=other)]))
    assert report.crossed == 100
    assert any("assignment is broken" in w for w in report.warnings)
    everybody = pd.concat([some, some.assign(arm=other)])
    nobody = TEST.analyze(everybody)
    assert nobody.crossed == 100
    assert nobody.comparisons[0].verdict == "undefined"
    assert nobody.sample_ratio.ok is None


def as_types(frame: pd.DataFrame, how: str) -> pd.DataFrame:
    """The same feedback as it may come out of files, databases and notebooks."""
    names = ["test", "shopper", "arm", "segment"]
    if how == "category":
        # Values that nobody here has: of another test, another arm, a segment that is gone.
        kinds = {n: pd.CategoricalDtype([*sorted(frame[n].unique()), "nobody"]) for n in names}
        return frame.astype(kinds).astype({"clicked": "category", "converted": "category"})
    if how == "arrow":
        return frame.convert_dtypes(dtype_backend="pyarrow")
    if how == "nullable":
        return frame.convert_dtypes().astype({"clicked": "boolean", "converted": "Int64"})
    if how == "floats":
        return frame.astype({"clicked": "float32", "converted": "float64"})
    if how == "text":
        return frame.astype({"clicked": str, "shown_at": str})
    if how == "another zone":
        return frame.assign(shown_at=frame["shown_at"].dt.tz_convert("Asia/Tokyo"))
    if how == "any index":
        return frame.set_axis(np.arange(len(frame)) // 3).assign(more=1)
    assert how == "a file"
    text = frame.to_csv(index=False)
    return pd.read_csv(io.StringIO(text))


@pytest.mark.parametrize(
    "how",
    ["category", "arrow", "nullable", "floats", "text", "another zone", "any index", "a file"],
)
def test_types_of_the_table_do_not_matter(feedback: pd.DataFrame, how: str) -> None:
    other = feedback.assign(test="other", shopper="x" + feedback["shopper"])
    both = pd.concat([feedback, other], ignore_index=True)
    plain = ABTest("hero", planned_shoppers=2_500).analyze(both, by_segment=True)
    turned = ABTest("hero", planned_shoppers=2_500).analyze(as_types(both, how), by_segment=True)
    assert plain.comparisons[0].verdict in ("too early", "better")
    assert turned.to_dict() == plain.to_dict()


def test_shoppers_may_be_numbers(feedback: pd.DataFrame) -> None:
    number = feedback["shopper"].str.rpartition("-")[2].astype(int)
    as_text = TEST.analyze(feedback.assign(shopper=number.astype(str)))
    for kind in ("int64", "float64", "Int32", "category", "object"):
        assert TEST.analyze(feedback.assign(shopper=number.astype(kind))) == as_text


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
        {"cap_of_ratio": 0.0},
        {"cap_of_mean": 1.5},
        {"primary": Metric("CTR", "clicks", "views")},
        {"primary": Metric("conversion rate", "conversions")},
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
    assert {c.verdict for c in lifts} == {"do not read"}
    assert all(c.verdict in {"do not read", "undefined"} for c in report.guardrails)
    assert math.isfinite(report.comparisons[0].lift)
    assert "do not read" in report.warnings[0]


def test_arms_that_differ_from_each_other_fail_the_split() -> None:
    """Three equal arms: each differs from control by what chance does, two differ too much."""
    counts = {"control": 1_000, "a": 1_100, "b": 900}
    shoppers = [(arm, f"{arm}-{i}") for arm, number in counts.items() for i in range(number)]
    table = pd.DataFrame(shoppers, columns=["arm", "shopper"]).assign(
        test="hero", segment="s", shown_at=pd.Timestamp("2026-01-01", tz="UTC"), converted=0
    )
    table["clicked"] = (table.index % 10 == 0).astype(int)
    report = ABTest("hero", arms=dict.fromkeys(counts, 1 / 3)).analyze(table)
    assert report.sample_ratio.ok is False
    assert report.sample_ratio.p == pytest.approx(np.exp(-10), rel=1e-6)
    assert {c.verdict for c in report.comparisons} == {"do not read"}
    assert "a 1100 of 1000 expected" in report.warnings[0]
    assert "NOT as planned, chi-square over all arms" in str(report)


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
    done = ABTest("hero", planned_shoppers=shoppers, always_valid=False).analyze(table)
    early = ABTest("hero", planned_shoppers=3 * shoppers, always_valid=False).analyze(table)
    assert done.comparisons[0].verdict == "better"
    assert not any("planned" in w for w in done.warnings)
    assert early.comparisons[0].verdict == "too early"
    assert any(f"{shoppers} of {3 * shoppers} planned" in w for w in early.warnings)
    assert early.comparisons[0].always_low < 0 < early.comparisons[0].always_high


def test_what_comes_after_the_one_look_changes_nothing(simulate: Simulate) -> None:
    table = simulate(2_000, seed=2, lift=0.4)
    rng = np.random.default_rng(3)
    table["shown_at"] = pd.Timestamp("2026-03-01", tz="UTC") + pd.to_timedelta(
        rng.permutation(len(table)), "min"
    )
    test = ABTest("hero", planned_shoppers=1_000, always_valid=False)
    by_time = table.sort_values("shown_at")
    later = [test.analyze(by_time.head(part * len(table) // 4)) for part in (2, 3, 4)]
    assert later[0] == later[1] == later[2]
    assert sum(arm.shoppers for arm in later[0].arms) == 1_000
    assert later[0].comparisons[0].judged_by == "one look"


def test_without_a_plan_the_usual_interval_gives_no_verdict(simulate: Simulate) -> None:
    report = TEST.analyze(simulate(2_000, seed=2, lift=0.35))
    (one,) = report.comparisons
    assert one.low > 0 > one.always_low
    assert (one.verdict, one.judged_by) == ("too early", "any look")
    assert {g.verdict for g in report.guardrails} <= {"holds", "unclear"}


def test_a_very_large_lift_may_be_believed_early(simulate: Simulate) -> None:
    table = simulate(2_000, seed=9, lift=2.0)
    early = ABTest("hero", planned_shoppers=10_000).analyze(table)
    assert early.comparisons[0].verdict == "better"
    assert early.comparisons[0].always_low > 0


def test_no_interval_for_watching_before_it_can_hold(simulate: Simulate) -> None:
    early = ABTest("hero", planned_shoppers=10_000).analyze(simulate(150, seed=9, lift=2.0))
    assert math.isnan(early.comparisons[0].always_low)
    assert early.comparisons[0].verdict in {"too early", "undefined"}


def test_whoever_looks_at_will_reads_the_other_interval(simulate: Simulate) -> None:
    table = simulate(2_000, seed=9, lift=2.0)
    shoppers = table["shopper"].nunique()
    plain = ABTest("hero", planned_shoppers=shoppers, always_valid=False).analyze(table)
    watched = ABTest("hero", planned_shoppers=shoppers).analyze(table)
    (one,), (two,) = plain.comparisons, watched.comparisons
    assert (one.verdict, one.judged_by) == ("better", "one look")
    assert (two.verdict, two.judged_by) == ("better", "any look")
    assert two.always_low < two.low < two.high < two.always_high
    assert "one look, at the end" in str(plain)
    assert "however often one looks" in str(watched)
    even = ABTest("hero", always_valid=True).analyze(simulate(2_000, seed=9))
    assert even.comparisons[0].verdict == "too early"
    assert even.secondary[0].verdict == "too early"
    done = ABTest("hero", always_valid=True, planned_shoppers=100).analyze(simulate(2_000, seed=9))
    assert (done.comparisons[0].verdict, done.comparisons[0].judged_by) == (
        "no difference shown",
        "any look",
    )


def test_before_the_plan_the_report_says_which_interval_is_judged(simulate: Simulate) -> None:
    early = ABTest("hero", planned_shoppers=90_000).analyze(simulate(2_000, seed=9, lift=2.0))
    assert early.comparisons[0].judged_by == "any look"
    assert "however often one looks" in str(early)
    broken = ABTest("hero", arms={"control": 0.1, "personalized": 0.9}).analyze(
        simulate(2_000, seed=9)
    )
    assert broken.comparisons[0].judged_by == ""


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
