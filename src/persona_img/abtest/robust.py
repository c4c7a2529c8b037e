"""Who is left out as no shopper, and for how much one unit may count: in frames as in files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from persona_img.abtest.moments import Moments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from persona_img.abtest.metrics import Metric

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

CAP_OF_RATIO, CAP_OF_MEAN = 0.99, 0.999
"""Quantiles of what a ratio divides by, and of a value itself, that a unit counts for at most."""

# What is far beyond all others is no shopper: so many times what 99 in 100 stay below, and at
# least so much. One in ten thousand of Pareto activity with exponent 1.5 is.
USUAL = 0.99
_FAR, _ANYWAY = 20.0, 50.0


@dataclass(frozen=True)
class Cap:
    """For how much a unit counts at most, in one metric.

    Attributes:
        column: What is capped: what the ratio divides by, whose unit keeps its own rate; or the
            value itself.
        quantile: Of all arms' units together, in (0, 1]; 1 caps nothing.
        most: The value there; infinite where nobody has more than others, and nothing is capped.
        units: How many units had more.
    """

    column: str
    quantile: float
    most: float
    units: int


def quantile_of(
    metric: Metric, of_ratio: float = CAP_OF_RATIO, of_mean: float = CAP_OF_MEAN
) -> float:
    """The quantile at which a metric is capped."""
    return of_mean if metric.by is None else of_ratio


def discrete_quantile(values: Floats, quantile: float) -> float:
    """The least value that the given part of all values does not exceed; NaN without values.

    It is the value DuckDB's ``quantile_disc`` gives; the rank is found without rounding, so that
    both take the same unit.

    Args:
        values: float64 (n,), in any order.
        quantile: In (0, 1].
    """
    if not len(values):
        return math.nan
    rank = max(math.ceil(len(values) * Fraction(repr(quantile))), 1) - 1
    return float(np.partition(values, rank)[rank])


def limit_of(usual: float | None) -> float | None:
    """Beyond which a unit is no shopper; None where hardly anybody has any, and so nobody is.

    Args:
        usual: What 99 in 100 do not exceed.
    """
    if usual is None or not usual > 0:
        return None
    return max(_FAR * usual, _ANYWAY)


def far_beyond(columns: Mapping[str, Floats]) -> tuple[Flags, dict[str, float]]:
    """Who is far beyond everybody in some column, and the limits.

    Args:
        columns: Name to float64 (units,), of all arms together.

    Returns:
        bool (units,), and column to the value beyond which a unit is left out.
    """
    limits: dict[str, float] = {}
    beyond = np.zeros(len(next(iter(columns.values()))), dtype=np.bool_)
    for name, values in columns.items():
        limit = limit_of(discrete_quantile(values, USUAL))
        if limit is not None:
            limits[name] = limit
            beyond |= values > limit
    return beyond, limits


def cap_of(metric: Metric, columns: Mapping[str, Floats], quantile: float) -> Cap:
    """Where a metric is capped.

    Args:
        metric: The metric.
        columns: Name to float64 (units,), of all arms together.
        quantile: In (0, 1].
    """
    column = metric.by or metric.of
    values = columns[column]
    most = discrete_quantile(values, quantile)
    if not most > 0:  # so few have any that nobody has more than others
        most = math.inf
    return Cap(column, quantile, most, int((values > most).sum()))


def capped_moments(arm: str, metric: Metric, columns: Mapping[str, Floats], cap: Cap) -> Moments:
    """Sufficient statistics of one arm's units, each counted up to the cap.

    Args:
        arm: Whose units they are.
        metric: Its columns become ``numerator`` and, of a ratio, ``denominator``.
        columns: Name to float64 (units,), of this arm.
        cap: Of all arms together.
    """
    top = columns[metric.of]
    if metric.by is None:
        return Moments.of(arm, {"numerator": np.minimum(top, cap.most)})
    below = columns[metric.by]
    share = np.minimum(1.0, cap.most / np.maximum(below, np.finfo(np.float64).tiny))
    return Moments.of(arm, {"numerator": top * share, "denominator": below * share})
