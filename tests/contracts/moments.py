"""What whoever feeds a comparison must do: the same units give the same statistics."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from persona_img.abtest.moments import Moments
from persona_img.abtest.statistics import compare_moments

OF = ("numerator", "denominator")


def impressions(shoppers: int = 400, seed: int = 4) -> pd.DataFrame:
    """A row per impression of shoppers who differ in taste and activity."""
    rng = np.random.default_rng(seed)
    arm = np.where(rng.random(shoppers) < 0.4, "control", "personalized")
    shown = 1 + rng.poisson(rng.gamma(1, 5, shoppers))
    who = np.repeat(np.arange(shoppers), shown)
    clicked = rng.random(len(who)) < rng.beta(1, 9, shoppers)[who]
    return pd.DataFrame(
        {"shopper": who, "arm": arm[who], "clicks": clicked.astype(int), "shown": 1}
    )


def by_hand(table: pd.DataFrame, arm: str) -> tuple[np.ndarray, np.ndarray]:
    """Clicks and impressions of each shopper of an arm."""
    rows = table[table["arm"] == arm].groupby("shopper")[["clicks", "shown"]].sum()
    return rows["clicks"].to_numpy(float), rows["shown"].to_numpy(float)


class MomentsContract:
    """Subclass, and say with ``fed`` how a table of impressions comes to statistics by arm."""

    def fed(self, table: pd.DataFrame) -> dict[str, Moments]:
        raise NotImplementedError

    def test_units_means_and_covariances_are_those_of_the_shoppers(self) -> None:
        table = impressions()
        for arm, found in self.fed(table).items():
            clicks, shown = by_hand(table, arm)
            assert found.units == len(clicks)
            assert found.mean == pytest.approx([clicks.mean(), shown.mean()], rel=1e-12)
            assert found.covariance == pytest.approx(np.cov(clicks, shown), rel=1e-11)
            most = [clicks.max() / clicks.sum(), shown.max() / shown.sum()]
            assert found.largest == pytest.approx(most, rel=1e-12)

    def test_the_comparison_does_not_depend_on_who_fed_it(self) -> None:
        table = impressions()
        arms = self.fed(table)
        found = compare_moments(arms["control"], arms["personalized"], OF, 0.95, "click")
        direct = {
            arm: Moments.of(arm, dict(zip(OF, by_hand(table, arm), strict=True))) for arm in arms
        }
        told = compare_moments(direct["control"], direct["personalized"], OF, 0.95, "click")
        for name in ("control", "treatment", "lift", "low", "high", "p", "log_error"):
            assert getattr(found, name) == pytest.approx(getattr(told, name), rel=1e-9), name
            assert not math.isnan(getattr(found, name))
