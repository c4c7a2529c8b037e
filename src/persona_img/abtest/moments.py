"""What a comparison needs to know of an arm: counts, means, covariances, whoever counted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ratio = tuple[str, str | None]


@dataclass(frozen=True, eq=False)
class Moments:
    """Sufficient statistics of one arm's units, for k columns.

    They say the same whether a frame, DuckDB over a file or bare counts fed them, and those of two
    groups of units add up to those of both.

    Attributes:
        arm: Whose units they are.
        columns: Names of the k columns.
        units: How many units, those that were randomised, e.g. shoppers.
        mean: float64 (k,), over units.
        covariance: float64 (k, k), of units, with ``units - 1`` below; NaN for fewer than two.
        largest: float64 (k,), the largest unit's share in a column's sum, 0 to 1; 0 without a sum.
    """

    arm: str
    columns: tuple[str, ...]
    units: int
    mean: Floats
    covariance: Floats
    largest: Floats

    @classmethod
    def of(cls, arm: str, columns: Mapping[str, Floats]) -> Moments:
        """From one value a unit.

        Args:
            arm: Whose units they are.
            columns: Name to float64 (units,); all of one length.

        Raises:
            InvalidInput: no column, columns of several lengths, or a value that is not finite.
        """
        if len({len(values) for values in columns.values()}) != 1:
            raise InvalidInput(f"arm {arm}: give columns, all with one value for each unit")
        table = np.vstack([np.asarray(values, dtype=np.float64) for values in columns.values()])
        if not np.isfinite(table).all():
            raise InvalidInput(
                f"arm {arm}: a value is not finite; leave such units out, or count 0"
            )
        units = table.shape[1]
        k = len(table)
        covariance = np.full((k, k), math.nan)
        if units > 1:
            covariance = np.cov(table).reshape(k, k)
        mean = table.mean(axis=1) if units else np.zeros(k)
        most = np.abs(table).max(axis=1) if units else np.zeros(k)
        return cls(arm, tuple(columns), units, mean, covariance, _share(most, mean * units))

    @classmethod
    def of_counts(cls, arm: str, events: int, trials: int, *, column: str = "numerator") -> Moments:
        """From totals, where each trial is a unit of its own: 0 or 1 event each.

        Args:
            arm: Whose they are.
            events: How many trials had the event, 0 to ``trials``.
            trials: How many there were.
            column: What the event is called.

        Raises:
            InvalidInput: counts that cannot be.
        """
        if not 0 <= events <= trials:
            raise InvalidInput(
                f"arm {arm}: {events} events of {trials} trials; give 0 or more of each, and no "
                "more events than trials"
            )
        rate = events / trials if trials else 0.0
        spread = rate * (1 - rate) * trials / (trials - 1) if trials > 1 else math.nan
        mean = np.array([rate])
        largest = np.array([1 / events if events else 0.0])
        return cls(arm, (column,), trials, mean, np.array([[spread]]), largest)

    def __add__(self, other: Moments) -> Moments:
        """Of both groups of units together (Chan, Golub and LeVeque 1983)."""
        if self.columns != other.columns:
            raise InvalidInput(f"columns {self.columns} and {other.columns}: only the same add up")
        units = self.units + other.units
        if not self.units or not other.units:
            return self if self.units else other
        away = other.mean - self.mean
        within = sum(
            one.covariance * (one.units - 1) if one.units > 1 else np.zeros_like(one.covariance)
            for one in (self, other)
        )
        between = np.outer(away, away) * self.units * other.units / units
        mean = self.mean + away * other.units / units
        most = np.maximum(*(np.abs(one.largest * one.mean * one.units) for one in (self, other)))
        return Moments(
            self.arm, self.columns, units, mean, (within + between) / (units - 1),
            _share(most, mean * units),
        )  # fmt: skip

    def at(self, column: str) -> int:
        """Where a column stands.

        Raises:
            InvalidInput: there is none of that name.
        """
        if column not in self.columns:
            raise InvalidInput(f"column {column!r}: there are {', '.join(self.columns)}")
        return self.columns.index(column)

    def ratio(self, numerator: str, denominator: str | None = None) -> float:
        """Sum by sum, or the mean per unit; NaN where the denominators sum to 0."""
        top = float(self.mean[self.at(numerator)])
        if not self.units:
            return math.nan
        if denominator is None:
            return top
        below = float(self.mean[self.at(denominator)])
        return top / below if below else math.nan

    def variance(self, numerator: str, denominator: str | None = None) -> float:
        """One unit's share in the ratio's variance (delta method); NaN below two units.

        The ratio's own variance is this by the number of units.
        """
        return self.covariance_of((numerator, denominator), (numerator, denominator))

    def covariance_of(self, one: Ratio, other: Ratio) -> float:
        """One unit's share in the covariance of two ratios (delta method); NaN below two units.

        Args:
            one: Column of the numerator, and of the denominator; None is 1 for each unit.
            other: Likewise.
        """
        left, right = self._influence(one), self._influence(other)
        return float(left @ self.covariance @ right)

    def _influence(self, ratio: Ratio) -> Floats:
        """float64 (k,): how the ratio moves with each column's mean."""
        numerator, denominator = ratio
        moves = np.zeros(len(self.columns))
        if denominator is None:
            moves[self.at(numerator)] = 1.0
            return moves
        below = float(self.mean[self.at(denominator)]) or math.nan
        moves[self.at(numerator)] += 1.0 / below
        moves[self.at(denominator)] -= self.ratio(numerator, denominator) / below
        return moves

    def effective(self, column: str) -> float:
        """How many equal units a column's sum is worth: (sum)² by the sum of squares (Kish 1965).

        Units of whom one has nearly everything are worth little more than one.
        """
        if self.units < 2:
            return float(self.units)
        where = self.at(column)
        square = float(self.mean[where]) ** 2
        squares = square + float(self.covariance[where, where]) * (self.units - 1) / self.units
        return self.units * square / squares if squares > 0 else 0.0


def _share(most: Floats, total: Floats) -> Floats:
    return np.divide(most, np.abs(total), out=np.zeros_like(most), where=total != 0)
