"""What was logged, as a target policy sees it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from persona_img.errors import InvalidInput, NotEnoughData

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Logged:
    """n logged impressions and how a target policy sees them.

    Attributes:
        shopper: (n,) names: clusters.
        reward: float64 (n,), finite, e.g. 0/1 clicks.
        propensity: float64 (n,) in (0, 1]: chance with which the shown action was chosen.
        target: float64 (n,) in [0, 1]: the target policy's chance of that action.
    """

    shopper: NDArray[np.object_]
    reward: Floats
    propensity: Floats
    target: Floats

    def __post_init__(self) -> None:
        lengths = {len(self.shopper), len(self.reward), len(self.propensity), len(self.target)}
        if len(lengths) != 1:
            raise InvalidInput(f"columns of {sorted(lengths)} rows; give one value per impression")
        if not len(self.reward):
            raise NotEnoughData("no logged impression; an estimate would be undefined")
        if not np.isfinite(self.reward).all():
            missing = int((~np.isfinite(self.reward)).sum())
            raise InvalidInput(f"{missing} rewards are no finite number; leave such rows out")
        if not np.all((self.propensity > 0) & (self.propensity <= 1)):
            raise InvalidInput("a propensity outside (0, 1]; log the probability of each choice")
        if not np.all((self.target >= 0) & (self.target <= 1)):
            raise InvalidInput("a target probability outside [0, 1]")

    @property
    def weight(self) -> Floats:
        """(n,) target over propensity; 1 on average where the log supports the target."""
        return self.target / self.propensity


@dataclass(frozen=True)
class Predicted:
    """What a reward model that did not see the shopper expects.

    Attributes:
        shown: float64 (n,), of the shown action.
        expected: float64 (n,), the mean over the target policy's actions.
    """

    shown: Floats
    expected: Floats

    def __post_init__(self) -> None:
        if self.shown.shape != self.expected.shape:
            raise InvalidInput(
                f"predictions of {self.shown.shape} and {self.expected.shape} rows; one of each"
            )
        if not (np.isfinite(self.shown).all() and np.isfinite(self.expected).all()):
            raise InvalidInput("a prediction that is no finite number; the model did not converge")


def effective_size(weight: Floats) -> float:
    """How many unweighted impressions the weighted ones are worth: (sum w)^2 / sum w^2.

    References:
        Kish 1965, "Survey Sampling".
    """
    squares = math.fsum(weight**2)
    return math.fsum(weight) ** 2 / squares if squares > 0 else 0.0


def mean_of(values: Sequence[float] | Floats) -> float:
    """The mean, exact to the last digit: the same in any order."""
    return math.fsum(values) / len(values)
