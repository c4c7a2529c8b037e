"""How sure a mean over impressions is, where shoppers are what was randomised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.offpolicy.logged import mean_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.offpolicy.logged import Floats

_AT_ONCE = 256
"""Resamples that are drawn together: 60,000 shoppers are 120 MB of counts."""

_ALIKE = 1e-6
"""Of the standard error: a resample's that is smaller is rounding, its shoppers are all alike."""


@dataclass(frozen=True)
class Estimate:
    """A mean per impression with its uncertainty.

    Attributes:
        value: The estimate.
        standard_error: Clustered by shopper.
        low: Lower end of the two-sided interval.
        high: Upper end.
        confidence: Of the interval.
        impressions: Rows used.
        shoppers: Clusters.
    """

    value: float
    standard_error: float
    low: float
    high: float
    confidence: float
    impressions: int
    shoppers: int


@dataclass(frozen=True)
class _Clusters:
    """Impressions by shopper, in an order that is not the log's.

    Attributes:
        total: float64 (U,) sums of a shopper's contributions.
        size: float64 (U,) impressions of a shopper.
        value: The mean of all contributions.
    """

    total: Floats
    size: Floats
    value: float

    @property
    def standard_error(self) -> float:
        away = self.total - self.value * self.size
        shoppers = len(away)
        spread = float((away**2).sum()) * shoppers / (shoppers - 1)
        return float(np.sqrt(spread)) / float(self.size.sum())

    def estimate(self, low: float, high: float, confidence: float) -> Estimate:
        impressions, shoppers = int(self.size.sum()), len(self.size)
        error = self.standard_error
        return Estimate(self.value, error, low, high, confidence, impressions, shoppers)


def summarised(contributions: Floats, shopper: NDArray[np.object_], confidence: float) -> Estimate:
    """Mean of contributions, with a t interval of as many degrees of freedom as shoppers less one.

    Raises:
        InvalidInput: a confidence outside (0, 1).
        NotEnoughData: fewer than two shoppers.
    """
    found = _clusters(contributions, shopper, confidence)
    reach = float(stats.t.ppf((1 + confidence) / 2, len(found.size) - 1)) * found.standard_error
    return found.estimate(found.value - reach, found.value + reach, confidence)


def bootstrapped(
    contributions: Floats,
    shopper: NDArray[np.object_],
    confidence: float,
    *,
    seed: int,
    resamples: int = 2000,
) -> Estimate:
    """Mean of contributions, with a studentised bootstrap interval: whole shoppers are redrawn.

    Heavy weights make contributions skewed, and a t interval then misses the truth more often than
    it says, mostly on the side of the long tail; each resample's own standard error mends that.

    Args:
        contributions: (n,).
        shopper: (n,) names.
        confidence: Of the interval.
        seed: Of the resamples.
        resamples: How many.

    Raises:
        InvalidInput: a confidence outside (0, 1), or fewer than 100 resamples.
        NotEnoughData: fewer than two shoppers, or too few that differ for resamples to do so.

    References:
        Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 12.5.
    """
    if resamples < 100:
        raise InvalidInput(f"{resamples} resamples: give 100 or more, or the ends are noise")
    found = _clusters(contributions, shopper, confidence)
    if found.standard_error == 0.0:
        return found.estimate(found.value, found.value, confidence)
    shoppers = len(found.size)
    away = found.total - found.value * found.size
    moments = np.stack([away, found.size, away**2, away * found.size, found.size**2], axis=1)
    rng = np.random.default_rng(seed)
    ratios = []
    for start in range(0, resamples, _AT_ONCE):
        drawn = min(_AT_ONCE, resamples - start)
        counts = rng.multinomial(shoppers, np.full(shoppers, 1 / shoppers), size=drawn)
        shift, size, squares, mixed, sizes = (counts @ moments).T
        moved = shift / size
        spread = np.maximum(squares - 2 * moved * mixed + moved**2 * sizes, 0.0)
        error = np.sqrt(spread * shoppers / (shoppers - 1)) / size
        differs = error > _ALIKE * found.standard_error
        ratios.append(np.divide(moved, error, out=np.full(drawn, np.nan), where=differs))
    studentised = np.concatenate(ratios)
    if np.isnan(studentised).mean() > (1 - confidence) / 4:
        raise NotEnoughData(
            f"too few of {shoppers} shoppers have contributions that differ; resamples are alike"
        )
    ends = np.nanquantile(studentised, [(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = found.value - ends[::-1] * found.standard_error
    return found.estimate(float(low), float(high), confidence)


def bernstein(
    contributions: Floats,
    shopper: NDArray[np.object_],
    confidence: float,
    *,
    bounds: tuple[float, float],
) -> Estimate:
    """Mean of contributions, with an interval that holds for any number of shoppers.

    Shoppers count as what was drawn: each is worth its sum over the mean number of impressions.
    Wide, and never too sure: for a decision that must not be wrong.

    Args:
        contributions: (n,).
        shopper: (n,) names.
        confidence: Of the interval, at least.
        bounds: What one contribution can be, least and most: known beforehand, not seen.

    Raises:
        InvalidInput: a confidence outside (0, 1), or contributions outside the bounds.
        NotEnoughData: fewer than two shoppers.

    References:
        Maurer and Pontil 2009, "Empirical Bernstein Bounds and Sample Variance Penalization", COLT,
        theorem 4.
    """
    least, most = bounds
    if contributions.min() < least or contributions.max() > most:
        raise InvalidInput(
            f"contributions from {contributions.min():g} to {contributions.max():g} are outside "
            f"the bounds {least:g} to {most:g}; give what one can be at most"
        )
    found = _clusters(contributions, shopper, confidence)
    shoppers = len(found.size)
    worth = found.total * shoppers / found.size.sum()
    # A shopper with most impressions can be worth so much.
    widest = float(found.size.max() * shoppers / found.size.sum())
    span = max(most * widest, 0.0) - min(least * widest, 0.0)
    # Both sides, each by the theorem: 2 / delta, delta halved.
    surprise = np.log(4.0 / (1.0 - confidence))
    reach = np.sqrt(2.0 * worth.var(ddof=1) * surprise / shoppers)
    reach += 7.0 * span * surprise / (3.0 * (shoppers - 1))
    return found.estimate(found.value - float(reach), found.value + float(reach), confidence)


def _clusters(contributions: Floats, shopper: NDArray[np.object_], confidence: float) -> _Clusters:
    if not 0.0 < confidence < 1.0:
        raise InvalidInput(f"confidence {confidence}: give a probability between 0 and 1")
    names, code = np.unique(shopper.astype(str), return_inverse=True)
    if len(names) < 2:
        raise NotEnoughData(f"{len(names)} shopper; a standard error needs at least 2")
    # Sums in one order: the order of the log must not move a last digit.
    order = np.lexsort((contributions, code))
    total = np.bincount(code[order], weights=contributions[order]).astype(np.float64)
    size = np.bincount(code).astype(np.float64)
    return _Clusters(total, size, mean_of(contributions))
