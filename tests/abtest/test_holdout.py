from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from persona_img.abtest import ABTest
from persona_img.abtest.report import ABReport
from persona_img.domain.holdout import Holdout

TENTH = Holdout("holdout", 0.1)


def split(feedback: pd.DataFrame) -> pd.DataFrame:
    """The same, with a tenth of the shoppers held out."""
    held = feedback["shopper"].map(TENTH.includes)
    rest = feedback[~held]
    out = feedback[held].assign(test="holdout", arm="control")
    return pd.concat([rest, out], ignore_index=True)


def analysed(feedback: pd.DataFrame, holdout: Holdout | None = TENTH) -> ABReport:
    return ABTest("hero", holdout=holdout).analyze(feedback, simulated=True)


def test_its_ctr_stands_beside_the_arms(feedback: pd.DataFrame) -> None:
    both = split(feedback)
    report, out = analysed(both), both[both["test"] == "holdout"]
    assert report.holdout is not None
    assert report.holdout.shoppers == out["shopper"].nunique()
    assert report.holdout.impressions == len(out)
    assert report.holdout.ctr == pytest.approx(out["clicked"].mean(), rel=1e-12)
    assert report.metrics()["ctr/holdout"] == report.holdout.ctr
    text = str(report)
    assert f"{report.holdout.ctr:.2%}" in text
    assert "10.0% of all shoppers" in text
    assert report.to_dict()["holdout"]["clicks"] == out["clicked"].sum()


def test_it_changes_no_verdict_on_the_test(feedback: pd.DataFrame) -> None:
    both = split(feedback)
    report, without = analysed(both), analysed(both[both["test"] == "hero"], None)
    assert dataclasses.replace(report, holdout=None) == without
    assert without.holdout is None
    assert "holdout" not in str(without)


def test_who_was_in_the_test_too_is_counted_and_left_out(feedback: pd.DataFrame) -> None:
    both = split(feedback)
    names = both.loc[both["test"] == "holdout", "shopper"].unique()[:7]
    before = both[both["shopper"].isin(names)].assign(test="hero")
    report, clean = analysed(pd.concat([both, before], ignore_index=True)), analysed(both)
    assert report.holdout is not None
    assert clean.holdout is not None
    assert report.holdout.shoppers == clean.holdout.shoppers - 7
    assert any("7 shoppers of the holdout" in warning for warning in report.warnings)
    assert not any("holdout" in warning for warning in clean.warnings)


def test_it_is_read_up_to_the_moment_of_the_planned_look(feedback: pd.DataFrame) -> None:
    both = split(feedback)
    came = both[both["test"] == "hero"].groupby("shopper")["shown_at"].min().sort_values()
    out = both[(both["test"] == "holdout") & (both["shown_at"] <= came.iloc[299])]
    test = ABTest("hero", holdout=TENTH, planned_shoppers=300, always_valid=False)
    texts = both.assign(shown_at=both["shown_at"].map(pd.Timestamp.isoformat))
    for table in (both, texts):
        held = test.analyze(table).holdout
        assert held is not None
        assert held.impressions == len(out) < (both["test"] == "holdout").sum()


def test_who_is_held_out_since_names_were_linked_counts_in_neither(feedback: pd.DataFrame) -> None:
    both = split(feedback)
    held = both.loc[both["test"] == "holdout", "shopper"].unique()[:5]
    seen = both[both["shopper"].isin(held)].assign(test="hero")  # by another name, before
    tested = both.loc[both["test"] == "hero", "shopper"].unique()[:3]
    photo = both[both["shopper"].isin(tested)].assign(test="holdout", arm="control")
    joined = frozenset([*held, *tested])
    table = pd.concat([both, seen, photo], ignore_index=True)
    report = ABTest("hero", holdout=TENTH, joined=joined).analyze(table, simulated=True)
    clean = analysed(both)
    assert report.arms == clean.arms
    assert report.holdout is not None
    assert clean.holdout is not None
    assert report.holdout.shoppers == clean.holdout.shoppers - 5
    told = [warning for warning in report.warnings if "held out" in warning]
    assert len(told) == 1
    assert "8 shoppers" in told[0]
    assert "names were linked" in told[0]


def test_who_is_no_shopper_in_the_arms_is_none_in_the_holdout(feedback: pd.DataFrame) -> None:
    both = split(feedback)
    out = both[both["test"] == "holdout"]
    bot = pd.concat([out.iloc[[0]].assign(shopper="bot", clicked=1)] * 3_000)
    report, clean = analysed(pd.concat([both, bot], ignore_index=True)), analysed(both)
    assert report.holdout == clean.holdout
    whole = ABTest("hero", holdout=TENTH, bot_filter=False)
    seen = whole.analyze(pd.concat([both, bot], ignore_index=True)).holdout
    assert seen is not None
    assert clean.holdout is not None
    assert seen.shoppers == clean.holdout.shoppers + 1
