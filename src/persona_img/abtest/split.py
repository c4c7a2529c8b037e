"""Whether the arms got the shoppers they should: at one look, and at every look."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Expected shoppers in every arm from which on chi-square is customarily trusted.
_EXPECTED = 5.0
# The chance of 0.001 is found to a tenth of itself.
_DRAWS = 100_000
# How many shoppers' worth of belief the sequential check begins with: it finds splits that are off
# by a few parts in a hundred soonest.
_BELIEF = 1_000.0


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


def split_at_any_look(seen: Sequence[int], shares: Sequence[float]) -> float:
    """P-value of "the split is as planned" that holds at every look, over all arms at once.

    The chance that it ever falls below a level is at most that level where shoppers are dealt as
    planned, however often one looks: it is one over a Bayes factor, which begins at 1.

    Args:
        seen: Shoppers of each arm.
        shares: Planned share of each arm, > 0.

    References:
        Lindon and Malek 2022, "Anytime-Valid Inference for Multinomial Count Data", NeurIPS.
    """
    planned = np.array(shares, dtype=np.float64) / math.fsum(shares)
    counts = np.array(seen, dtype=np.float64)
    belief = planned * _BELIEF
    log_factor = math.lgamma(_BELIEF) - math.lgamma(_BELIEF + counts.sum())
    log_factor += sum(
        math.lgamma(a + n) - math.lgamma(a) for a, n in zip(belief, counts, strict=True)
    )
    log_factor -= float(counts @ np.log(planned))
    return math.exp(min(0.0, -log_factor))
