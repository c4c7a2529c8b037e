"""How long shoppers take to come, by how they came."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from persona_img.abtest.arrivals import Arrivals
from persona_img.errors import NotEnoughData

START = pd.Timestamp("2026-03-01", tz="UTC")


def came(hours: np.ndarray) -> pd.DataFrame:
    """A shopper at each hour, who comes back an hour before the end."""
    names = [f"s{i}" for i in range(len(hours))]
    both = np.concatenate([hours, np.full(len(hours), hours.max())])
    return pd.DataFrame(
        {"test": "hero", "shopper": names * 2, "shown_at": START + pd.to_timedelta(both, "h")}
    ).sample(frac=1, random_state=1)


def test_days_and_shoppers_are_those_of_the_history_and_then_go_on_as_late() -> None:
    # Ten days of a hundred new a day, after a first day of a thousand.
    hours = np.concatenate([np.linspace(0, 24, 1_000), np.linspace(24, 240, 900)])
    found = Arrivals.of(came(hours), "hero")
    assert found.span == pytest.approx(10)
    assert found.late == pytest.approx(100, rel=0.02)
    assert [found.days_for(n) for n in (1, 990, 1_400, 1_900, 2_900)] == [1, 1, 5, 10, 20]
    assert found.shoppers_in(1) == pytest.approx(1_000, abs=2)
    assert found.shoppers_in(20) == pytest.approx(2_900, abs=25)
    for days in (2, 7, 13):
        assert found.days_for(found.shoppers_in(days)) == days


def test_what_does_not_tell_is_refused() -> None:
    with pytest.raises(NotEnoughData, match="a day is the least"):
        Arrivals.of(came(np.array([0.0, 1.0])), "hero")
    with pytest.raises(NotEnoughData, match="a day is the least"):
        Arrivals.of(came(np.array([0.0, 100.0])), "other")
    early = came(np.array([0.0, 1.0, 2.0, 100.0]))
    early = early[early["shopper"] != "s3"]
    early["shown_at"] = early["shown_at"].where(early["shown_at"] < START + pd.Timedelta("5h"),
                                                START + pd.Timedelta("99h"))  # fmt: skip
    with pytest.raises(NotEnoughData, match="nobody new"):
        Arrivals.of(early, "hero")
