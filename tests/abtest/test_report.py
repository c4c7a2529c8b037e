from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys

import pandas as pd
import pytest

from persona_img.abtest import ABTest


@pytest.mark.parametrize(
    ("simulated", "words"),
    [(True, "SIMULATED"), (False, "REAL"), (None, "OF UNSTATED ORIGIN")],
)
def test_every_rendering_says_who_the_shoppers_are(
    feedback: pd.DataFrame, simulated: bool | None, words: str
) -> None:
    report = ABTest("hero").analyze(feedback, simulated=simulated)
    assert words in str(report)
    assert words in report.table()
    assert report.to_dict()["shoppers_are"] == words.lower()


def test_json_round_trip_without_nan(feedback: pd.DataFrame) -> None:
    few = feedback[feedback["shopper"].isin(feedback["shopper"].unique()[:3])]
    report = ABTest("hero", planned_shoppers=50).analyze(few, by_segment=True)
    assert any(math.isnan(c.lift) for c in report.comparisons)
    text = json.dumps(report.to_dict(), allow_nan=False)
    assert json.loads(text) == report.to_dict()
    assert json.loads(text)["comparisons"][0]["lift"] is None


def test_text_shows_arms_lifts_guardrails_and_warnings(feedback: pd.DataFrame) -> None:
    report = ABTest("hero", planned_shoppers=90_000).analyze(feedback, by_segment=True)
    text = str(report)
    for arm in report.arms:
        assert f"{arm.shoppers:,}" in text
        assert f"{arm.ctr:.2%}" in text
    assert f"{report.comparisons[0].lift:+.1%}" in text
    for word in ("at any look", "conversion rate", "EXPLORATORY", "as planned", "warning: "):
        assert word in text


def test_undefined_is_a_dash_and_a_reason(feedback: pd.DataFrame) -> None:
    text = str(ABTest("hero").analyze(feedback.assign(clicked=0)))
    assert "undefined: arm control has no click" in text
    assert "nan" not in text


def test_metrics_are_flat_numbers(feedback: pd.DataFrame) -> None:
    report = ABTest("hero").analyze(feedback)
    metrics = report.metrics()
    assert metrics["lift/personalized"] == report.comparisons[0].lift
    assert metrics["ctr/control"] == report.arms[0].ctr
    assert all(isinstance(v, float) for v in metrics.values())


def test_a_report_cannot_be_changed(feedback: pd.DataFrame) -> None:
    report = ABTest("hero").analyze(feedback)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.test = "other"  # type: ignore[misc]


def test_arms_make_a_table(feedback: pd.DataFrame) -> None:
    table = pd.DataFrame(ABTest("hero").analyze(feedback).arms)
    assert {"arm", "shoppers", "impressions", "clicks", "ctr"} <= set(table.columns)


def test_the_package_imports_no_vendor() -> None:
    code = "import sys, persona_img.abtest; print('tea_tasting' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
