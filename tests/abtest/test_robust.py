"""Caps and the bot filter: one rule, whoever holds the rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.abtest import ABTest
from persona_img.abtest.metrics import CLICKS, CTR, Metric
from persona_img.abtest.robust import discrete_quantile, far_beyond
from persona_img.abtest.table_analysis import analyze_table

Simulate = Callable[..., pd.DataFrame]
ROLES = {"arm": "arm", "unit": "shopper", "time": "shown_at"}


def with_bot(feedback: pd.DataFrame, arm: str) -> pd.DataFrame:
    """One who clicks 30,000 times in an hour."""
    row = feedback[feedback["arm"] == arm].iloc[[0]].assign(shopper="bot", clicked=1, converted=0)
    return pd.concat([feedback, row.loc[row.index.repeat(30_000)]], ignore_index=True)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(0, 50), min_size=1, max_size=300),
    quantile=st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999, 1.0]),
)
def test_the_quantile_is_duckdbs(values: list[int], quantile: float) -> None:
    rows = ", ".join(f"({value})" for value in values)
    told = duckdb.sql(f"SELECT quantile_disc(x::DOUBLE, {quantile}) FROM (VALUES {rows}) t(x)")
    ((found,),) = told.fetchall()
    assert discrete_quantile(np.array(values, dtype=float), quantile) == found


@pytest.mark.parametrize("metric", [CTR, CLICKS])
def test_a_shops_test_says_what_its_table_says(
    simulate: Simulate, tmp_path: Path, metric: Metric
) -> None:
    feedback = with_bot(simulate(1_500, seed=4, lift=0.4), "control")
    table = feedback.assign(clicks=feedback["clicked"], impressions=1)
    table.to_parquet(tmp_path / "shown.parquet")
    named = [metric, Metric("other", "clicks", "impressions")]
    there = analyze_table(tmp_path / "shown.parquet", ROLES, named, plan=2_000)
    here = ABTest("hero", planned_shoppers=2_000, primary=metric, guardrails=()).analyze(feedback)
    (one,), two = here.comparisons, there.comparisons[0]
    assert one.lift == pytest.approx(two.lift, rel=1e-9)
    assert (one.always_low, one.always_high) == pytest.approx((two.low, two.high), rel=1e-9)
    assert one.p == pytest.approx(two.p_at_one_look, rel=1e-9)
    assert (here.bots, there.health.bots) == (1, 1)
    assert here.caps[metric.name] == there.caps[metric.name]
    assert 0 < here.caps[metric.name].units < 100


@pytest.mark.parametrize("arm", ["control", "personalized"])
def test_a_bot_changes_no_verdict_of_a_shop(simulate: Simulate, arm: str) -> None:
    plain = simulate(2_000, seed=9)
    test = ABTest("hero", planned_shoppers=2_000)
    before, after = test.analyze(plain), test.analyze(with_bot(plain, arm))
    assert after.bots == 1
    assert any("1 shopper was left out" in warning for warning in after.warnings)
    for one, two in zip(
        before.comparisons + before.guardrails, after.comparisons + after.guardrails, strict=True
    ):
        assert one.verdict == two.verdict
        assert one.lift == pytest.approx(two.lift, abs=1e-12)
    unfiltered = ABTest("hero", planned_shoppers=2_000, bot_filter=False).analyze(
        with_bot(plain, arm)
    )
    assert unfiltered.bots == 0


def test_what_hardly_anybody_has_is_neither_filtered_nor_capped() -> None:
    bought = np.zeros(1_000)
    bought[:3] = 500.0
    assert not far_beyond({"bought": bought})[0].any()
    assert math.isnan(discrete_quantile(np.zeros(0), 0.5))


def test_a_look_that_was_taken_is_not_before_it_for_who_was_no_shopper(simulate: Simulate) -> None:
    table = with_bot(simulate(2_000, seed=8), "control")
    test = ABTest("hero", planned_shoppers=2_001, always_valid=False)
    report = test.analyze(table)
    assert report.bots == 1
    assert report.comparisons[0].verdict != "too early"
    assert not any("before it" in warning for warning in report.warnings)
    early = dataclasses.replace(test, planned_shoppers=2_002).analyze(table)
    assert any("before it" in warning for warning in early.warnings)
