"""Statistics of an arm: the same from a frame, from DuckDB over files and from sums of parts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import ttest_ind

from contracts.moments import MomentsContract, by_hand
from persona_img.abtest.metrics import Metric
from persona_img.abtest.moments import Moments
from persona_img.abtest.statistics import compare_moments, too_thin
from persona_img.abtest.tables import Table
from persona_img.errors import InvalidInput

ROLES = {"arm": "arm", "unit": "shopper"}
CTR = Metric("ctr", "clicks", "shown")
some = st.lists(st.floats(0, 1e6), min_size=1, max_size=20)


class TestFromAFrame(MomentsContract):
    def fed(self, table: pd.DataFrame) -> dict[str, Moments]:
        return {
            arm: Moments.of(
                arm, dict(zip(("numerator", "denominator"), by_hand(table, arm), strict=True))
            )
            for arm in ("control", "personalized")
        }


class TestFromParts(MomentsContract):
    """Thirds of the shoppers, added up."""

    def fed(self, table: pd.DataFrame) -> dict[str, Moments]:
        whole = TestFromAFrame()
        parts = [whole.fed(table[table["shopper"] % 3 == part]) for part in range(3)]
        return {arm: parts[0][arm] + parts[1][arm] + parts[2][arm] for arm in parts[0]}


class FromAFile(MomentsContract):
    ending = ""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / f"log.{self.ending}"

    def written(self, table: pd.DataFrame) -> None:
        raise NotImplementedError

    def fed(self, table: pd.DataFrame) -> dict[str, Moments]:
        self.written(table)
        with Table(self.path, ROLES, [CTR]) as opened:
            opened.fold()
            return opened.moments(CTR)[""]


class TestFromParquet(FromAFile):
    ending = "parquet"

    def written(self, table: pd.DataFrame) -> None:
        table.sample(frac=1, random_state=1).to_parquet(self.path)


class TestFromCSV(FromAFile):
    ending = "csv"

    def written(self, table: pd.DataFrame) -> None:
        table.to_csv(self.path, index=False)


class TestFromARowAShopper(FromAFile):
    ending = "parquet"

    def written(self, table: pd.DataFrame) -> None:
        table.groupby(["shopper", "arm"], as_index=False).sum().to_parquet(self.path)


def test_counts_are_units_that_did_or_did_not() -> None:
    clicks = np.r_[np.ones(37), np.zeros(963)]
    told, counted = Moments.of("a", {"numerator": clicks}), Moments.of_counts("a", 37, 1000)
    assert counted.mean == pytest.approx(told.mean)
    assert counted.covariance == pytest.approx(told.covariance)
    assert counted.largest == pytest.approx(told.largest)
    with pytest.raises(InvalidInput, match="5 events of 4 trials"):
        Moments.of_counts("a", 5, 4)


@settings(max_examples=60, deadline=None)
@given(some, some)
def test_two_groups_add_up_to_both(one: list[float], other: list[float]) -> None:
    parts = [Moments.of("a", {"x": np.array(v), "y": np.array(v) ** 0.5}) for v in (one, other)]
    both = np.array(one + other)
    whole = Moments.of("a", {"x": both, "y": both**0.5})
    added = parts[0] + parts[1]
    assert added.units == whole.units
    assert added.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-9)
    scale = float(np.abs(both).max()) ** 2 + 1
    assert added.covariance == pytest.approx(
        whole.covariance, rel=1e-7, abs=1e-9 * scale, nan_ok=True
    )
    assert added.largest == pytest.approx(whole.largest, rel=1e-9, abs=1e-9)


def test_a_mean_is_what_welch_says() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.lognormal(1, 1, 300), rng.lognormal(1.1, 1, 500)
    found = compare_moments(
        Moments.of("control", {"numerator": a}), Moments.of("b", {"numerator": b}),
        ("numerator", None), 0.95, "revenue",
    )  # fmt: skip
    assert found.p == pytest.approx(stats.ttest_ind(b, a, equal_var=False).pvalue, rel=1e-9)
    assert found.p == pytest.approx(ttest_ind(b, a, usevar="unequal")[1], rel=1e-9)


def test_what_was_known_before_is_taken_out() -> None:
    rng = np.random.default_rng(2)
    before = [rng.gamma(2, 3, 2_000) for _ in range(2)]
    after = [x + rng.normal(5, 1, 2_000) for x in before]
    arms = [
        Moments.of(arm, {"numerator": y, "before": x})
        for arm, x, y in zip(("control", "b"), before, after, strict=True)
    ]
    plain = compare_moments(*arms, ("numerator", None), 0.95, "sale")
    less = compare_moments(*arms, ("numerator", None), 0.95, "sale", covariate=("before", None))
    known = np.corrcoef(np.concatenate(before), np.concatenate(after))[0, 1] ** 2
    assert (less.log_error / plain.log_error) ** 2 == pytest.approx(1 - known, rel=0.05)
    # The interval that tea-tasting gives is of the same error.
    degrees = 2 * 1_999
    reach = math.log((1 + less.high) / (1 + less.low)) / 2 / stats.t.ppf(0.975, degrees)
    assert less.log_error == pytest.approx(reach, rel=1e-3)


def test_sums_that_few_carry_are_worth_few() -> None:
    even = Moments.of("a", {"numerator": np.ones(400), "denominator": np.full(400, 2.0)})
    assert even.effective("numerator") == pytest.approx(400)
    one = Moments.of("a", {"numerator": np.r_[30_000.0, np.ones(399)]})
    assert one.effective("numerator") < 1.1
    assert too_thin(even, ("numerator", "denominator"), "click") == ""
    assert "worth those of 1 shoppers" in too_thin(one, ("numerator", None), "click")


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not finite"):
        Moments.of("a", {"x": np.array([1.0, math.nan])})
    with pytest.raises(InvalidInput, match="one value for each unit"):
        Moments.of("a", {"x": np.ones(2), "y": np.ones(3)})
    one, other = Moments.of("a", {"x": np.ones(2)}), Moments.of("a", {"y": np.ones(2)})
    with pytest.raises(InvalidInput, match="only the same add up"):
        _ = one + other
    with pytest.raises(InvalidInput, match="column 'z'"):
        one.at("z")
