"""Simulated shoppers: what a shop may know of them, and what it may not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.simulate.tastes import Floats, Tastes

AGES = ("18-29", "30-44", "45-59", "60+")
DEVICES = ("mobile", "desktop", "tablet")
REGIONS = ("north", "east", "south", "west")

ACTIVITY_SPREAD = 0.8
"""Standard deviation of the logarithm of a shopper's activity."""


@dataclass(frozen=True)
class People:
    """N shoppers over C categories and V attribute values.

    Attributes:
        ids: N identifiers.
        observed: What a shop may know: shopper, age_band, device, region (str), activity (float64,
            mean about 1: visits relative to the average shopper).
        group: int64 (N,), hidden: the taste group. It leans on the age band and shows in browsing.
        eagerness: float64 (N,), hidden: log-odds added to every click.
        leaning: float64 (N, V), hidden: log-odds added to the group's taste, by attribute value.
        browsing: float64 (N, C), hidden: log weight of looking at a category.
    """

    ids: tuple[str, ...]
    observed: pd.DataFrame
    group: NDArray[np.int64]
    eagerness: Floats
    leaning: Floats
    browsing: Floats

    @classmethod
    def drawn(cls, count: int, tastes: Tastes, *, rng: np.random.Generator) -> People:
        """Shoppers at random; the same generator state gives the same shoppers."""
        groups, categories = tastes.browsing.shape
        age = rng.choice(len(AGES), count, p=(0.3, 0.35, 0.22, 0.13))
        by_age = np.exp(rng.normal(0.0, 0.7, (len(AGES), groups)))
        chances = np.cumsum(by_age / by_age.sum(axis=1, keepdims=True), axis=1)[age]
        group = np.minimum((rng.random((count, 1)) >= chances).sum(axis=1), groups - 1)
        activity = rng.lognormal(-(ACTIVITY_SPREAD**2) / 2, ACTIVITY_SPREAD, count)
        ids = tuple(f"s{number:05d}" for number in range(count))
        observed = pd.DataFrame(
            {
                "shopper": ids,
                "age_band": np.array(AGES, dtype=object)[age],
                "device": rng.choice(np.array(DEVICES, dtype=object), count, p=(0.62, 0.31, 0.07)),
                "region": rng.choice(np.array(REGIONS, dtype=object), count),
                "activity": activity,
            }
        )
        return cls(
            ids=ids,
            observed=observed,
            group=group.astype(np.int64),
            eagerness=rng.normal(0.0, 0.3, count),
            leaning=rng.normal(0.0, 0.05, (count, len(tastes.values))),
            browsing=tastes.browsing[group] + rng.normal(0.0, 0.5, (count, categories)),
        )

    def turned(self, turn: Floats) -> People:
        """The same people, whose tastes turn with the own activity.

        Args:
            turn: float64 (V,), log-odds that a value gains with each standard deviation of the
                logarithm of the activity above its mean over visits, and loses below: so the
                visits together like what they liked.
        """
        mean = ACTIVITY_SPREAD**2 / 2  # of a log-normal with mean 1, weighed by itself
        away = (np.log(self.observed["activity"].to_numpy()) - mean) / ACTIVITY_SPREAD
        return replace(self, leaning=self.leaning + away[:, None] * turn)
