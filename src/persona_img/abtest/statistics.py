"""What is computed of arms, through tea-tasting, which only this module imports, and SciPy.

Every setting is passed, so tea-tasting's global configuration does not reach in here. The imports
are inside the functions because they take seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Below this a spread is rounding, not variation between shoppers.
_NO_SPREAD = 1e-9
# The least that two arms can be planned with.
_FEWEST = 4
# Expected shoppers in every arm from which on chi-square is customarily trusted.
_EXPECTED = 5.0
# The chance of 0.001 is found to a tenth of itself.
_DRAWS = 100_000


@dataclass(frozen=True)
class Sample:
    """One arm's shoppers for one ratio: sum of numerators by sum of denominators.

    Attributes:
        arm: Whose they are.
        numerator: float64 of shape (N,), one value per shopper, e.g. clicks.
        denominator: float64 of shape (N,), e.g. impressions; ones give a mean per shopper.
    """

    arm: str
    numerator: NDArray[np.float64]
    denominator: NDArray[np.float64]

    @property
    def shoppers(self) -> int:
        """How many shoppers there are."""
        return len(self.numerator)

    @property
    def ratio(self) -> float:
        """Sum by sum; NaN where the denominators sum to 0."""
        total = float(self.denominator.sum())
        return float(self.numerator.sum()) / total if total else math.nan

    @property
    def variance(self) -> float:
        """One shopper's share in the ratio's variance (delta method); NaN below two shoppers.

        The ratio's own variance is this by the number of shoppers.
        """
        if self.shoppers < 2:
            return math.nan
        residual = self.numerator - self.ratio * self.denominator
        return float(residual.var(ddof=1) / self.denominator.mean() ** 2)


@dataclass(frozen=True)
class Estimate:
    """A treatment against control.

    Attributes:
        control: Ratio in control.
        treatment: Ratio in the treatment.
        lift: treatment / control - 1.
        low: Lower end of the lift's confidence interval.
        high: Upper end.
        p: Two-sided p-value of "no difference", not corrected for several arms.
        log_error: Standard error of log(treatment / control).
        reason: Why lift, interval and p are NaN; empty where they are defined.
    """

    control: float
    treatment: float
    lift: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    log_error: float = math.nan
    reason: str = ""


def compare(control: Sample, treatment: Sample, confidence: float, event: str) -> Estimate:
    """Relative difference of two ratios of means, by the delta method with Welch's t.

    The p-value is that of the difference, the interval that of the log ratio; near the border one
    may exclude "no difference" and the other not.

    Args:
        control: Shoppers of control.
        treatment: Shoppers of the other arm.
        confidence: Level of the interval, in (0, 1).
        event: What the numerator counts, for the reason: ``click``.

    Returns:
        The estimate; NaN with a reason where it is undefined.

    References:
        Deng, Knoblich, Lu 2018, "Applying the Delta Method in Metric Analytics", KDD.
    """
    reason = _undefined(control, treatment, event)
    if reason:
        return Estimate(control.ratio, treatment.ratio, reason=reason)
    from tea_tasting.metrics import RatioOfMeans

    metric = RatioOfMeans(
        "numerator",
        "denominator",
        alternative="two-sided",
        confidence_level=confidence,
        equal_var=False,
        use_t=True,
    )
    result = metric.analyze_aggregates(_aggregates(control), _aggregates(treatment))
    return Estimate(
        control=control.ratio,
        treatment=treatment.ratio,
        lift=float(result.rel_effect_size),
        low=float(result.rel_effect_size_ci_lower),
        high=float(result.rel_effect_size_ci_upper),
        p=float(result.pvalue),
        log_error=_log_error(control, treatment),
    )


@dataclass(frozen=True)
class SplitCheck:
    """How likely a split as uneven as this is, where shoppers are dealt as planned.

    Attributes:
        p: P-value of "the split is as planned"; NaN where no split of so few could fail.
        method: ``chi-square``, or ``simulated`` where an arm expects too few shoppers for it.
        expected: Shoppers that each arm should have, in the order given.
    """

    p: float
    method: Literal["chi-square", "simulated", ""]
    expected: tuple[float, ...]


def check_split(seen: Sequence[int], shares: Sequence[float], alpha: float) -> SplitCheck:
    """One chi-square test over all arms, those without a shopper included.

    Below :data:`_EXPECTED` expected shoppers in an arm its distribution is not that of the
    statistic; the statistic is then compared with splits that are drawn as planned.

    Args:
        seen: Shoppers of each arm.
        shares: Planned share of each arm, > 0, together 1.
        alpha: Below which a p counts as failing: where even the most uneven split has a higher
            chance, there is nothing to check.

    References:
        Pearson 1900; Cochran 1954, "Some Methods for Strengthening the Common chi-squared Tests",
        Biometrics 10, for the least expected counts.
    """
    planned = np.array(shares, dtype=np.float64) / math.fsum(shares)
    total = sum(seen)
    expected = planned * total
    least = float(planned.min())
    # All in one of the smallest arms: no split is less likely.
    if not total or np.count_nonzero(planned == least) * least**total >= alpha:
        return SplitCheck(math.nan, "", tuple(expected.tolist()))
    if expected.min() >= _EXPECTED:
        from scipy import stats

        p = float(stats.chisquare(seen, expected).pvalue)
        return SplitCheck(p, "chi-square", tuple(expected.tolist()))
    return SplitCheck(_drawn_p(seen, planned), "simulated", tuple(expected.tolist()))


def _drawn_p(seen: Sequence[int], planned: NDArray[np.float64]) -> float:
    """Share of splits drawn as planned that are at least as uneven as this one."""
    total = sum(seen)
    # Arms in one order: another one would draw other splits.
    order = np.lexsort((np.array(seen), planned))
    planned = planned[order]
    drawn = np.random.default_rng(0).multinomial(total, planned, size=_DRAWS)
    uneven = ((drawn - planned * total) ** 2 / (planned * total)).sum(axis=1)
    mine = ((np.array(seen)[order] - planned * total) ** 2 / (planned * total)).sum()
    # Equal but for rounding is as uneven.
    return float((1 + np.count_nonzero(uneven >= mine * (1 - 1e-9))) / (1 + _DRAWS))


def pair_size(mean: float, variance: float, lift: float, **plan: float) -> float:
    """Shoppers of control and one other arm together, to find ``lift``; see :func:`_power`."""
    metric, shopper = _power(mean, variance, rel_effect_size=lift, n_obs=_FEWEST, **plan)
    if metric.solve_power_from_aggregates(shopper, "power")[0].power >= plan["power"]:
        return float(_FEWEST)
    return float(metric.solve_power_from_aggregates(shopper, "n_obs")[0].n_obs)


def pair_lift(mean: float, variance: float, shoppers: int, **plan: float) -> float:
    """The lift that so many shoppers in two arms find; see :func:`_power`."""
    metric, shopper = _power(mean, variance, n_obs=shoppers, **plan)
    return float(metric.solve_power_from_aggregates(shopper, "rel_effect_size")[0].rel_effect_size)


def _power(mean: float, variance: float, **plan: float) -> tuple[Any, Any]:
    """A mean with one shopper's variance, and its test by the normal distribution.

    ``plan`` has ``alpha``, ``power``, ``ratio`` (treatment / control) and what is given of
    ``rel_effect_size`` and ``n_obs``.
    """
    from tea_tasting.aggr import Aggregates
    from tea_tasting.metrics import Mean

    metric = Mean("rate", alternative="two-sided", equal_var=False, use_t=False, **plan)
    return metric, Aggregates(count_=2, mean_={"rate": mean}, var_={"rate": variance})


def _aggregates(sample: Sample) -> Any:
    from tea_tasting.aggr import Aggregates

    covariance = np.cov(sample.numerator, sample.denominator)
    return Aggregates(
        count_=sample.shoppers,
        mean_={
            "numerator": float(sample.numerator.mean()),
            "denominator": float(sample.denominator.mean()),
        },
        var_={"numerator": float(covariance[0, 0]), "denominator": float(covariance[1, 1])},
        cov_={("numerator", "denominator"): float(covariance[0, 1])},
    )


def _log_error(control: Sample, treatment: Sample) -> float:
    parts = (s.variance / s.shoppers / s.ratio**2 for s in (control, treatment))
    return math.sqrt(math.fsum(parts))


def _undefined(control: Sample, treatment: Sample, event: str) -> str:
    """Why the two cannot be compared; empty where they can."""
    for sample in (control, treatment):
        if sample.shoppers < 2:
            seen = f"{sample.shoppers} exposed shopper" + ("" if sample.shoppers == 1 else "s")
            return f"arm {sample.arm} has {seen}; an interval needs two"
        if not sample.numerator.any():
            return (
                f"arm {sample.arm} has no {event} from {sample.shoppers} shoppers; a lift needs one"
            )
    if _log_error(control, treatment) < _NO_SPREAD:
        return "every shopper has the same rate; without spread there is no interval"
    return ""
