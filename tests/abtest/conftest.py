from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from persona_img.domain.decision import Arms
from persona_img.domain.feedback import FEEDBACK_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HALVES = {"control": 0.5, "personalized": 0.5}


def simulate_feedback(
    shoppers: int,
    seed: int,
    lift: float = 0.0,
    shares: Mapping[str, float] = HALVES,
    base: float = 0.04,
) -> pd.DataFrame:
    """Shoppers of different tastes and activity; ``lift`` in every arm but control."""
    rng = np.random.default_rng(seed)
    arms = Arms("hero", shares)
    names = [f"shopper-{seed}-{i}" for i in range(shoppers)]
    arm = np.array([arms.assign(name) for name in names])
    taste = rng.beta(1, 1 / base - 1, shoppers) * np.where(arm == "control", 1.0, 1 + lift)
    rows = np.repeat(np.arange(shoppers), 1 + rng.poisson(rng.gamma(1, 5, shoppers)))
    clicked = (rng.random(len(rows)) < taste[rows]).astype("int64")
    table = pd.DataFrame(
        {
            "decision_id": [f"d{i}" for i in range(len(rows))],
            "test": "hero",
            "shopper": np.array(names)[rows],
            "product": "mug",
            "segment": np.array(["minimalists", "naturals"])[rows % 2],
            "arm": arm[rows],
            "style_key": "original",
            "digest": None,
            "propensity": 1.0,
            "policy_version": "p1",
            "position": 1,
            "shown_at": pd.Timestamp("2026-03-01", tz="UTC")
            + pd.to_timedelta(rng.integers(0, 86_400, len(rows)), unit="s"),
            "clicked": clicked,
            "converted": clicked * (rng.random(len(rows)) < 0.3),
        }
    )
    return table[list(FEEDBACK_COLUMNS)].sort_values("shown_at", ignore_index=True)


@pytest.fixture(scope="session")
def simulate() -> Callable[..., pd.DataFrame]:
    return simulate_feedback


@pytest.fixture(scope="session")
def feedback() -> pd.DataFrame:
    """Two thousand shoppers and a lift of 60 %."""
    return simulate_feedback(2_000, seed=1, lift=0.6)
