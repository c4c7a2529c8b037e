"""The true click model: log-odds that add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from persona_img.simulate.people import People
    from persona_img.simulate.tastes import Floats, Tastes

BASE_RATE = 0.045
"""Click rate of an average original at position 1, seen for the first time."""

POSITION = -0.35
"""Log-odds per natural logarithm of the position: the fourth place has about 0.62 of the odds."""

FATIGUE, FATIGUE_LIMIT = -0.22, 4
"""Log-odds per earlier exposure of the shopper to the product, and where tiredness ends."""

CONVERSION_RATE = 0.12
"""Chance that a click leads to a purchase."""

REGULAR, UNFAMILIAR = 2.0, 0.9
"""From this activity on, a shopper who clicked a changed picture buys this much less often: a
known shop "looked different"."""


@dataclass(frozen=True)
class ClickModel:
    """Chances of clicks and conversions, by index.

    All ``who`` (shopper, 0..N-1), ``what`` (product, 0..P-1) and ``style`` (0..T-1, 0 the original)
    are int64 arrays that broadcast against each other and against position and exposures.

    Attributes:
        people: N shoppers.
        tastes: Of their groups.
        category: int64 (P,), each product's category.
        kind: int64 (P,), each product's kind in ``tastes.effect``.
        appeal: float64 (P,), log-odds that the product itself adds.
    """

    people: People
    tastes: Tastes
    category: NDArray[np.int64]
    kind: NDArray[np.int64]
    appeal: Floats

    def click(
        self,
        who: ArrayLike,
        what: ArrayLike,
        style: ArrayLike,
        position: ArrayLike,
        seen: ArrayLike,
    ) -> Floats:
        """Chance of a click, float64 in (0, 1).

        Args:
            who: Shopper.
            what: Product.
            style: Style shown.
            position: Place in the list, from 1.
            seen: Earlier exposures of the shopper to the product, from 0.
        """
        i, p, t = np.broadcast_arrays(who, what, style)
        group, category = self.people.group[i], self.category[p]
        liking = self.tastes.effect[group, self.kind[p], t]
        own = np.einsum("...v,...v->...", self.people.leaning[i], self.tastes.onehot[t])
        log_odds = (
            np.log(BASE_RATE / (1 - BASE_RATE))
            + self.tastes.interest[group, category]
            + self.appeal[p]
            + self.people.eagerness[i]
            + liking
            + own
            + POSITION * np.log(np.asarray(position, dtype=np.float64))
            + FATIGUE * np.minimum(np.asarray(seen, dtype=np.float64), FATIGUE_LIMIT)
        )
        return np.asarray(1.0 / (1.0 + np.exp(-log_odds)), dtype=np.float64)

    def conversion(self, who: ArrayLike, style: ArrayLike) -> Floats:
        """Chance that a click leads to a purchase, float64 in (0, 1)."""
        activity = self.people.observed["activity"].to_numpy()[np.asarray(who)]
        changed = (activity >= REGULAR) & (np.asarray(style) > 0)
        return np.where(changed, CONVERSION_RATE * UNFAMILIAR, CONVERSION_RATE)
